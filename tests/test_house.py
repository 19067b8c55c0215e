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

# A module, by its longest matching prefix here, may import these of ours and nothing else of ours.
ALLOWED = {
    "train": {"zoo.cli"},
    "datamodules": set(),
    "zoo": set(),
    "zoo.noise": set(),
    "zoo.optim": set(),
    "zoo.distributed": set(),
    "zoo.schedules": {"zoo.support.described"},
    "zoo.types": {"zoo.noise"},
    "zoo.penalties": {"zoo.noise", "zoo.distributed", "zoo.types"},
    "zoo.nonfinite": {"zoo.types"},
    "zoo.support": {"zoo.noise", "zoo.types", "zoo.support"},
    "zoo.backbones": {"zoo.backbones", "zoo.support.described"},
    "zoo.metrics": {"zoo.metrics"},
    "zoo.dynamics": {"zoo.dynamics", "zoo.support.described", "zoo.types", "zoo.distributed"},
    "zoo.stabilizers": {
        "zoo.stabilizers", "zoo.support.described", "zoo.support.checks", "zoo.schedules", "zoo.types", "zoo.noise",
        "zoo.penalties", "zoo.distributed",
    },
    "zoo.training": {
        "zoo.support", "zoo.nonfinite", "zoo.noise", "zoo.optim", "zoo.distributed", "zoo.schedules", "zoo.types",
    },
    "zoo.gan": {"zoo.dynamics", "zoo.noise", "zoo.stabilizers", "zoo.support", "zoo.training", "zoo.types"},
    "zoo.variants": {
        "zoo.dynamics", "zoo.gan", "zoo.noise", "zoo.optim", "zoo.penalties", "zoo.distributed", "zoo.stabilizers",
        "zoo.types", "zoo.variants._encoder",
    },
    "zoo.run": {"zoo.run", "zoo.metrics", "zoo.noise", "zoo.gan"},
    "zoo.diagnostics": {
        "zoo.diagnostics", "zoo.distributed", "zoo.gan", "zoo.metrics", "zoo.noise", "zoo.optim", "zoo.run",
        "zoo.support", "zoo.types",
    },
    "zoo.callbacks": {
        "zoo", "zoo.callbacks", "zoo.diagnostics", "zoo.distributed", "zoo.gan", "zoo.metrics", "zoo.run",
    },
    "zoo.cli.choices": {"zoo.backbones"},
    "zoo.cli.errors": {"zoo.cli.choices"},
    "zoo.cli.classes": {"zoo.cli.errors"},
    "zoo.cli.configs": {"zoo.cli.errors"},
    "zoo.cli.help": {"zoo.cli.choices", "zoo.cli.errors", "zoo.cli.configs"},
    "zoo.cli": {"zoo"},
    "zoo.commands": {"zoo"},
    "zoo.compare": {"zoo", "zoo.cli.configs", "zoo.compare", "zoo.run"},
    "zoo.dashboard": {"zoo"},
    "zoo.hub": {"zoo"},
    "zoo.lab": {"zoo"},
    "zoo.play": {"zoo"},
    "zoo.benchmark": {"zoo"},
    "zoo.__main__": {"zoo.cli", "zoo.commands"},
}  # fmt: skip
OUTER = (
    "train", "zoo.__main__", "zoo.cli", "zoo.commands", "zoo.compare", "zoo.dashboard", "zoo.datamodules", "zoo.hub",
    "zoo.lab", "zoo.benchmark", "zoo.play",
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
    return {name for name in found if name.split(".")[0] in {"zoo", "datamodules", "train", "tests", "benchmarks"}}


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
        inner = not any(under(name, p) for p in OUTER) and name != "zoo"
        assert not (inner and any(under(imported, p) for p in OUTER)), f"{name} imports the outer ring"


def test_variants_do_not_import_each_other() -> None:
    for path in ROOT.glob("zoo/variants/[a-z]*.py"):
        assert not any(under(i, "zoo.variants") for i in imports(path) - {"zoo.variants._encoder"}), path


def test_wgan_gp_is_read_in_four_files() -> None:
    """A reader needs these to follow it from `training_step` to the changed weight; other helpers do as named."""
    files = ("variants/wgan_gp.py", "gan.py", "dynamics/alternating.py", "penalties.py")
    lengths = {file: len((ROOT / "zoo" / file).read_text().splitlines()) for file in files}
    assert sum(lengths.values()) <= 460, lengths


def test_no_test_imports_from_another_test_file() -> None:
    """What several need has a file of its own: games, fits, processes, bundles, ..."""
    for path in ROOT.glob("tests/**/*.py"):
        assert not any(name.rpartition(".")[2].startswith("test_") for name in imports(path)), path


def test_the_root_is_the_core() -> None:
    files = sorted(path.name for path in (ROOT / "zoo").glob("*.py"))
    assert len(files) <= 11, files
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_no_network_of_a_single_paper_is_named_outside_of_its_file() -> None:
    """So that a paper with a network of its own edits nothing but its file and its YAML."""
    roles = set()
    for objective in variants().values():
        parameters = inspect.signature(objective).parameters.values()
        roles |= {p.name for p in parameters if p.annotation in (nn.Module, "nn.Module")}
    roles -= {"generator", "discriminator"}
    assert {"encoder", "diffusion_discriminator"} <= roles
    for path in FILES:
        if "variants" in path.parts or path.name == "choices.py":  # which lists classes for help
            continue
        words = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not words & roles, f"{path} names {words & roles}"


def test_there_is_no_circle_of_rooms() -> None:
    """A room is a folder of zoo/ or a file at its root; annotations count."""
    inner = [path for path in FILES if not any(under(module_name(path), outer) for outer in OUTER)]
    rooms = {room(module_name(path)) for path in inner if module_name(path) != "zoo"}
    arrows: dict[str, set[str]] = {name: set() for name in rooms}
    for path in inner:
        if (here := room(module_name(path))) in rooms:
            arrows[here] |= {room(name) for name in imports(path)} & (rooms - {here})
    assert list(TopologicalSorter(arrows).static_order())
