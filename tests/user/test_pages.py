"""Every command and Python block of README.md and docs/*.md, typed in a copy of the checkout, in order.

A block that fails here fails for a reader. `pytest -vv` lists what is run; a marked block is skipped with its reason.
The pages of docs/ are read after README.md: each begins with README's first training.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.user.pages import PAGES, ROOT, RUN, SHOWN, Block, blocks
from tests.user.session import Session

CHECKOUT = ("zoo", "datamodules", "configs", "docs", "train.py", "README.md", "pyproject.toml")
DATA = os.environ.get("GAN_ZOO_DATA")  # a folder with FashionMNIST/ and so on, as data/ of the checkout


def cases() -> list:
    """Blocks to run, those of docs/ and those marked so for the slow half."""
    found = []
    for block in (block for page in PAGES for block in blocks(page) if block.language in RUN):
        slow = "slow" in block.marks or block.page != "README.md"
        found.append(pytest.param(block, id=f"{block}-{block.language}", marks=pytest.mark.slow if slow else ()))
    return found


@pytest.fixture(scope="module")
def terminals(tmp_path_factory):
    """A session for each page, begun when the page is opened."""
    opened: dict[str, Session] = {}

    def terminal(page: str) -> Session:
        if page not in opened:
            folder = tmp_path_factory.mktemp(Path(page).stem)
            for name in CHECKOUT:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, folder / name)
            if DATA:
                (folder / "data").symlink_to(DATA)
            opened[page] = Session(folder, Path(sys.executable), path=folder)
            if page != "README.md":
                opened[page].type(first_training())
        return opened[page]

    return terminal


def first_training() -> str:
    commands = [c for b in blocks("README.md") if b.language == "bash" and not b.marks for c in b.commands()]
    return next(command for command in commands if " train " in command or " fit " in command)


@pytest.mark.parametrize("block", cases())
def test_a_block_works_as_typed(block: Block, terminals) -> None:
    if "not run" in block.marks:
        pytest.skip(f"{block} is not run: {block.marks['not run']}")
    needed = block.marks.get("needs")
    if needed and not (DATA and (Path(DATA) / needed).exists()):
        pytest.skip(f"{block} needs {needed} in the folder of GAN_ZOO_DATA")
    terminal = terminals(block.page)
    if block.language == "python":
        terminal.python_block(block.text, block.marks.get("saved as", "block.py"))
    elif block.language == "yaml":
        name = block.marks.get("saved as", "block.yaml")
        (terminal.folder / name).write_text(block.text, encoding="utf-8")
        base = "-c configs/nsgan.yaml -c configs/data/digits.yaml"
        terminal.type(f"python train.py fit {base} -c {name} --print_config")
    else:
        for command in block.commands():
            terminal.type(command)


def test_every_fence_is_a_block_of_a_known_kind() -> None:
    for page in PAGES:
        found = blocks(page)
        fences = [line for line in (ROOT / page).read_text("utf-8").splitlines() if line.strip().startswith("```")]
        assert len(fences) == 2 * len(found), page
        for block in found:
            assert block.language in (*RUN, *SHOWN), f"{block}: a block is bash, python, yaml, or text to look at"


def test_a_mark_stands_above_a_block_that_is_run_and_gives_a_reason(tmp_path, monkeypatch) -> None:
    marks = "<!-- not run: needs an account -->\n<!-- slow: an hour -->\n"
    text = f"{marks}```bash\na \\\n  b\n# no\nc\n```\n\n```\nout\n```\n"
    monkeypatch.setattr("tests.user.pages.ROOT", tmp_path)
    (tmp_path / "page.md").write_text(text)
    first, second = blocks("page.md")
    assert first.marks == {"not run": "needs an account", "slow": "an hour"}
    assert [" ".join(command.split()) for command in first.commands()] == ["a b", "c"]
    assert (first.line, second.line, second.language, second.marks) == (3, 10, "", {})
