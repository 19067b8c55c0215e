"""Who may import whom, and how large a room may grow."""

import ast
import inspect
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from torch import nn

from zoo.variants import variants

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("zoo/**/*.py"), *ROOT.glob("datamodules/**/*.py"), ROOT / "train.py"])

INNER = {
    "zoo.gan", "zoo.training", "zoo.types", "zoo.freezing", "zoo.dynamics", "zoo.stabilizers", "zoo.penalties",
    "zoo.noise", "zoo.optim", "zoo.nonfinite", "zoo.ranks", "zoo.schedules", "zoo.initial", "zoo.sampling",
    "zoo.checks", "zoo.described",
}  # fmt: skip

# A module, by its longest matching prefix here, may import these of ours and nothing else of ours.
ALLOWED = {
    "train": {"zoo.cli", "zoo.cli_help"},
    "datamodules": set(),
    "zoo": set(),
    "zoo.noise": set(),
    "zoo.optim": set(),
    "zoo.initial": set(),
    "zoo.ranks": set(),
    "zoo.schedules": {"zoo.described"},
    "zoo.pictures": set(),
    "zoo.described": set(),
    "zoo.backbones": {"zoo.backbones", "zoo.described"},
    "zoo.metrics": {"zoo.metrics"},
    "zoo.types": {"zoo.noise"},
    "zoo.penalties": {"zoo.noise", "zoo.ranks", "zoo.types"},
    "zoo.freezing": set(),
    "zoo.checks": {"zoo.types"},
    "zoo.sampling": {"zoo.freezing", "zoo.noise", "zoo.types"},
    "zoo.dynamics": {"zoo.dynamics", "zoo.described", "zoo.types", "zoo.ranks"},
    "zoo.stabilizers": {"zoo.stabilizers", "zoo.described", "zoo.types", "zoo.noise", "zoo.penalties", "zoo.ranks"},
    "zoo.nonfinite": {"zoo.types"},
    "zoo.training": {
        "zoo.checks", "zoo.described", "zoo.freezing", "zoo.initial", "zoo.nonfinite", "zoo.noise", "zoo.optim",
        "zoo.ranks", "zoo.schedules", "zoo.types",
    },
    "zoo.gan": {
        "zoo.checks", "zoo.dynamics", "zoo.freezing", "zoo.noise", "zoo.sampling", "zoo.stabilizers", "zoo.training",
        "zoo.types",
    },
    "zoo.variants": {
        "zoo.dynamics", "zoo.gan", "zoo.noise", "zoo.optim", "zoo.penalties", "zoo.ranks", "zoo.stabilizers",
        "zoo.types", "zoo.variants._encoder",
    },
    "zoo.redaction": set(),
    "zoo.runs": {"zoo.sealed"},
    "zoo.loggers": {"zoo.metrics", "zoo.redaction"},
    "zoo.diagnosis": {"zoo.diagnosis"},
    "zoo.sealed": set(),
    "zoo.slurm": set(),
    "zoo.callbacks": {
        "zoo", "zoo.callbacks", "zoo.gan", "zoo.metrics", "zoo.pictures", "zoo.loggers", "zoo.ranks", "zoo.sealed",
        "zoo.slurm", "zoo.redaction"},
    "zoo.hub": {"zoo"},
    "zoo.cli_choices": {"zoo.backbones"},
    "zoo.cli_errors": {"zoo.cli_choices"},
    "zoo.cli_help": {"zoo.cli_choices", "zoo.cli_errors", "zoo.cli_files"},
    "zoo.cli_model": {"zoo.cli_choices", "zoo.cli_files", "zoo.described", "zoo.gan"},
    "zoo.cli_news": set(),
    "zoo.cli_classes": {"zoo.cli_errors"},
    "zoo.cli_files": {"zoo.cli_errors"},
    "zoo.cli": {"zoo"},
    "zoo.fitting": {"zoo"},
    "zoo.compare": {"zoo", "zoo.cli_files", "zoo.compare", "zoo.loggers", "zoo.runs"},
    "zoo.dashboard": {"zoo"},
    "zoo.lab": {"zoo"},
    "zoo.protocol": {"zoo"},
    "zoo.commands": {"zoo"},
    "zoo.arguments": set(),
    "zoo.__main__": {"zoo.cli_news", "zoo.commands", "zoo.cli_errors"},
}  # fmt: skip
OUTER = (
    "zoo.cli", "zoo.__main__", "zoo.commands", "zoo.compare", "zoo.fitting", "zoo.dashboard", "zoo.datamodules",
    "zoo.hub", "zoo.lab",
    "zoo.protocol",
)  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Our modules that a file imports, wherever in the file, for annotations too."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:  # of datamodules/, which lies beside zoo/
            found.update({f"zoo.{node.module or ''}"} if node.level > 1 else ())
        elif isinstance(node, ast.ImportFrom):
            package = node.module == "zoo"
            found.update(f"zoo.{a.name}" for a in node.names) if package else found.add(node.module)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return {name for name in found if name.split(".")[0] in {"zoo", "datamodules", "train", "tests"}}


def room(name: str) -> str:
    return ".".join(name.split(".")[:2])


def under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_stay_in_their_room(path: Path) -> None:
    name = module_name(path)
    room = max((p for p in ALLOWED if under(name, p)), key=len)
    assert name != "zoo" or room == "zoo"
    assert room != "zoo" or name == "zoo", f"{name} has no room of its own in ALLOWED"
    for imported in imports(path) - {"zoo.__version__"}:
        assert any(under(imported, p) for p in ALLOWED[room]), f"{name} may not import {imported}"
        inner = not any(under(name, p) for p in ("train", "zoo.__main__", *OUTER)) and name != "zoo"
        assert not (inner and any(under(imported, p) for p in OUTER)), f"{name} imports the outer ring"


def test_variants_do_not_import_each_other() -> None:
    for path in ROOT.glob("zoo/variants/[a-z]*.py"):
        assert not any(under(i, "zoo.variants") for i in imports(path) - {"zoo.variants._encoder"}), path


def test_wgan_gp_is_read_in_four_files() -> None:
    """A reader needs these to follow it from `training_step` to the changed weight; other helpers do as named."""
    files = ("variants/wgan_gp.py", "gan.py", "dynamics/alternating.py", "penalties.py")
    lengths = {file: len((ROOT / "zoo" / file).read_text().splitlines()) for file in files}
    assert sum(lengths.values()) <= 460, lengths


def test_no_network_of_a_single_paper_is_named_outside_of_its_file() -> None:
    """So that a paper with a network of its own edits nothing but its file and its YAML."""
    roles = set()
    for objective in variants().values():
        parameters = inspect.signature(objective).parameters.values()
        roles |= {p.name for p in parameters if p.annotation in (nn.Module, "nn.Module")}
    roles -= {"generator", "discriminator"}
    assert {"encoder", "diffusion_discriminator"} <= roles
    for path in FILES:
        if "variants" in path.parts or path.name == "cli_choices.py":  # which lists classes for help
            continue
        words = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not words & roles, f"{path} names {words & roles}"


def test_there_is_no_circle_of_rooms() -> None:
    """A room is a folder of zoo/ or a file at its root; annotations count."""
    inner = [path for path in FILES if not any(under(module_name(path), outer) for outer in OUTER)]
    rooms = {room(module_name(path)) for path in inner if module_name(path) not in {"zoo", "train", "zoo.__main__"}}
    arrows: dict[str, set[str]] = {name: set() for name in rooms}
    for path in inner:
        if (here := room(module_name(path))) in rooms:
            arrows[here] |= {room(name) for name in imports(path)} & (rooms - {here})
    assert list(TopologicalSorter(arrows).static_order())
