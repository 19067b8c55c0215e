"""Bad input as data: what is typed, what lies in the folder, and the words that the one line of the answer must have.

A case runs in a folder of its own. `{zoo}` is the checkout and `{gan}` a published checkpoint, of a GAN of 8 x 8 grey
images.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

Content = str | bytes | None | Callable[[Path], object]  # text, bytes, a folder, or what makes the file at a path

FIT = (
    "train fit -c {zoo}/configs/nsgan.yaml -c {zoo}/configs/data/digits.yaml --data.image_size=8 "
    "--trainer.max_steps=1 --trainer.accelerator=cpu --trainer.logger=false --trainer.callbacks=[] "
    "--model.generator.width=2 --model.discriminator.width=2 "
)


class Case(NamedTuple):
    """One mistake."""

    argv: str
    words: tuple[str, ...]
    files: Mapping[str, Content] = {}
    read_only: bool = False  # whether nothing can be written in the folder
    slow: bool = False  # whether it repeats another mistake with another option

    def argument_list(self, **places: object) -> list[str]:
        return [
            word.format(**places) if "{zoo}" in word or "{gan}" in word else word for word in shlex.split(self.argv)
        ]

    def lay(self, folder: Path) -> None:
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir()
            elif callable(content):
                content(path)
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)

    def __str__(self) -> str:
        typed = self.argv.removeprefix(FIT).replace("{zoo}/", "")
        texts = [c for c in self.files.values() if isinstance(c, str) and len(c) < 80 and typed in {"-c mine.yaml"}]
        return " ".join([*texts, typed])[:100]


def again(case: Case) -> Case:
    """A mistake of which there is another case, for the slow half."""
    return case._replace(slow=True)


def fit(argv: str, *words: str, **files: Content) -> Case:
    """An option of `train.py fit`."""
    return Case(FIT + argv, words, files)


def yaml(text: str | bytes, *words: str) -> Case:
    """A file beside the others."""
    return Case(FIT + "-c mine.yaml", ("mine.yaml", *words), {"mine.yaml": text})


def zoo(argv: str, *words: str, files: Mapping[str, Content] | None = None) -> Case:
    """A command of `python -m zoo`."""
    return Case(f"zoo {argv}", words, files or {})
