"""What the documents say is what the code says."""

import importlib.util
from pathlib import Path

from zoo.lab import page
from zoo.variants import variants

ROOT = Path(__file__).parent.parent


def build():
    spec = importlib.util.spec_from_file_location("build", ROOT / "docs/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_lists_every_member_as_its_docstring_does() -> None:
    docs = build()
    assert (ROOT / "README.md").read_text() == docs.readme(), "run `python docs/build.py`"
    for member in variants().values():
        losses = docs.equations(member)
        assert losses[0].startswith("L_D")
        assert any(line.startswith("L_G") for line in losses)
        assert any(year in docs.paper(member) for year in map(str, range(2014, 2020)))
        assert docs.configurations(member)


def test_every_member_has_its_page() -> None:
    docs = build()
    assert {p.resolve() for p in (ROOT / "docs/variants").glob("*.md")} == set(docs.pages())
    for path, text in docs.pages().items():
        assert path.read_text() == text, "run `python docs/build.py`"
        heads = [line for line in text.splitlines() if line.startswith("## ")]
        assert [h[3:].split(",")[0] for h in heads] == [
            "Usage", "What each logged number means", "Implementation", "Results",
        ]  # fmt: skip


def test_the_labs_page_is_made_of_what_was_saved_beside_it(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    assert (ROOT / "docs/lab.md").read_text() == page(Path("docs/lab")), "run `python -m zoo lab --all -o docs/lab`"
