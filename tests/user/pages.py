"""The commands and the Python blocks of README.md and docs/*.md, as a reader types them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))]
RUN = ("bash", "python", "yaml")
SHOWN = ("", "text", "json")  # output and other things to look at

FENCE = re.compile(r"^( *)(`{3,})(\w*) *$")
MARK = re.compile(r"^ *<!-- *(not run|slow|needs|saved as): *(.+?) *-->$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Directly above it may stand comments: `not run: reason`; `slow: reason`, for `make test-slow` alone;
    `needs: folder`, for a data set that must be in the folder of `GAN_ZOO_DATA`; and `saved as: name`, for a Python or
    YAML file that later blocks use.
    """

    page: str
    line: int  # of the opening fence, from 1
    language: str
    text: str
    marks: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[str]:
        """Of a bash block: one for each line, with its continuations."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page."""
    return list(_blocks(page, (ROOT / page).read_text(encoding="utf-8").splitlines()))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        if match := FENCE.match(lines[number]):
            indent, fence, language = match.groups()
            end = next(i for i in range(number + 1, len(lines)) if lines[i].strip() == fence)
            text = "\n".join(line.removeprefix(indent) for line in lines[number + 1 : end]) + "\n"
            yield Block(page, number + 1, language, text, _marks(lines[:number]))
            number = end
        number += 1


def _marks(before: list[str]) -> dict[str, str]:
    """Of the comments directly above."""
    found = {}
    for line in reversed(before):
        match = MARK.match(line)
        if match is None:
            break
        found[match[1]] = match[2]
    return found
