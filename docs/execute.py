"""Run the notebooks' scripts and keep them with their outputs: `python docs/execute.py [docs/notebooks/NAME.py ...]`.

A script of `docs/notebooks` (jupytext, "percent") becomes a notebook beside it. What goes to stderr is left out: it
names places of one machine and times.
"""

import sys
import tempfile
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent / "notebooks"
LIMIT = 1800  # seconds a cell may take, on a machine that has other work too


def executed(script: Path) -> nbformat.NotebookNode:
    """The notebook of a script, run in an empty folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = jupytext.read(script)
    with tempfile.TemporaryDirectory() as folder:
        options = {"timeout": LIMIT, "coalesce_streams": True, "resources": {"metadata": {"path": folder}}}
        NotebookClient(notebook, **options).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("execution", None)  # when
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for data in (output.get("data", {}) for output in cell.outputs):
                if "image/png" in data:
                    data["image/png"] = smaller(data["image/png"])
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    return notebook


def smaller(png: str) -> str:
    """A picture, base64, in 256 colours."""
    memory = BytesIO()
    Image.open(BytesIO(b64decode(png))).convert("RGB").quantize(256).save(memory, "PNG", optimize=True)
    return b64encode(memory.getvalue()).decode()


if __name__ == "__main__":
    for script in map(Path, sys.argv[1:]) if len(sys.argv) > 1 else sorted(FOLDER.glob("*.py")):
        nbformat.write(executed(script), script.with_suffix(".ipynb"))
        print(script.with_suffix(".ipynb"), flush=True)
