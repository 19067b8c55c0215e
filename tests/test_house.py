"""Who may import whom, and how large a room may grow."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("zoo/**/*.py"), *ROOT.glob("datamodules/**/*.py"), ROOT / "train.py"])

INNER = {
    "zoo.gan", "zoo.engine", "zoo.types", "zoo.freezing", "zoo.dynamics", "zoo.stabilizers", "zoo.penalties",
    "zoo.noise", "zoo.optim", "zoo.guard", "zoo.ranks", "zoo.schedules", "zoo.initial",
    "zoo.resuming", "zoo.overhead", "zoo.encoded",
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
    "zoo.penalties": {"zoo.noise", "zoo.ranks"},
    "zoo.types": {"zoo.noise"},
    "zoo.freezing": set(),
    "zoo.dynamics": {"zoo.dynamics", "zoo.described", "zoo.types", "zoo.ranks", "zoo.freezing"},
    "zoo.stabilizers": {"zoo.stabilizers", "zoo.described", "zoo.types", "zoo.noise", "zoo.penalties", "zoo.ranks"},
    "zoo.guard": {"zoo.freezing", "zoo.types"},
    "zoo.resuming": {"zoo.ranks", "zoo.types"},
    "zoo.overhead": set(),
    "zoo.engine": {
        "zoo.described", "zoo.freezing", "zoo.guard", "zoo.initial", "zoo.noise", "zoo.overhead", "zoo.ranks",
        "zoo.resuming", "zoo.schedules", "zoo.types",
    },
    "zoo.gan": INNER - {"zoo.encoded", "zoo.gan", "zoo.overhead", "zoo.penalties", "zoo.ranks", "zoo.resuming"},
    "zoo.encoded": {"zoo.gan"},
    "zoo.variants": INNER - {"zoo.engine", "zoo.initial", "zoo.overhead", "zoo.resuming"},
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
    """Our modules that a file imports at run time, wherever in the file."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
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
        assert not any(under(i, "zoo.variants") for i in imports(path)), path
