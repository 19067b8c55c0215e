"""The notebooks are those of their scripts, small, and say nothing of a machine; they run from end to end."""

import importlib.util
from pathlib import Path

import jupytext
import nbformat
import pytest

from zoo.cli.main import ROOT

SCRIPTS = sorted((ROOT / "docs/notebooks").glob("*.py"))


def execute():
    spec = importlib.util.spec_from_file_location("execute", ROOT / "docs/execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sources(notebook) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_notebook_is_its_scripts_and_has_outputs(script: Path) -> None:
    path = script.with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    assert sources(notebook) == sources(jupytext.read(script)), f"run `python docs/execute.py {script.name}`"
    assert path.stat().st_size < 1_000_000
    assert any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))
    assert not [word for word in (str(ROOT), str(Path.home()), "site-packages", "/tmp/") if word in path.read_text()]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_notebook_runs(script: Path) -> None:
    notebook = execute().executed(script)
    assert all(cell.outputs for cell in notebook.cells[-1:] if cell.cell_type == "code")
