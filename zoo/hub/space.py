"""The files that make a published folder a Space of the Hugging Face Hub, too: a page to play with the model.

They are no part of the format: no checksum lists them, and the zoo neither reads nor fetches them. The card's metadata
have the rest that a Space needs, `METADATA`.
"""

from pathlib import Path
from typing import Any

APP = '''"""The page of this model: `python app.py` serves it here; a Space of the Hugging Face Hub runs it."""

from pathlib import Path

from zoo.play import page

page(Path(__file__).parent).launch()
'''
FILES = {"app.py": APP, "requirements.txt": "gan-zoo[play]\n"}
METADATA: dict[str, Any] = {"sdk": "gradio", "app_file": "app.py", "python_version": "3.11"}  # the Hub's is older


def sent(folder: Path) -> list[str]:
    """The names of those that a folder has."""
    return [name for name in FILES if (folder / name).is_file()]
