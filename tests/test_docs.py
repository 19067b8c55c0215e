"""What the documents say is what the code says."""

import importlib.util
import re
from pathlib import Path

from zoo.lab import page
from zoo.variants import variants

ROOT = Path(__file__).parent.parent


def build():
    spec = importlib.util.spec_from_file_location("build", ROOT / "docs/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_documents_are_up_to_date() -> None:
    for path, text in build().documents().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `python docs/build.py`"


def test_every_variant_has_its_equations_its_paper_and_a_configuration() -> None:
    docs = build()
    for member in variants().values():
        losses = docs.equations(member)
        assert losses[0].startswith("L_D")
        assert any(line.startswith("L_G") for line in losses)
        assert any(year in docs.paper(member) for year in map(str, range(2014, 2025)))
        assert docs.configurations(member)


def test_every_variant_has_a_page_with_the_same_sections() -> None:
    pages = {p: t for p, t in build().documents().items() if p.parent.name == "variants"}
    assert {p.resolve() for p in (ROOT / "docs/variants").glob("*.md")} == set(pages)
    for text in pages.values():
        heads = [line[3:].split(",")[0] for line in text.splitlines() if line.startswith("## ")]
        assert heads == ["Usage", "What each logged number means", "Implementation", "Results"]


def test_a_losses_definitions_are_cut_off_in_the_table() -> None:
    assert build()._loss("L_D = E max(0, D(x)) + ‖v‖, v = αx, α ~ U[0, 1]") == "E max(0, D(x)) + ‖v‖"
    assert build()._loss("L_G1,E = E‖x‖²") == "E‖x‖²"


def test_every_relative_link_of_the_documents_leads_to_a_file() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            assert link.startswith("http") or (path.parent / link).exists(), f"{path.relative_to(ROOT)}: {link}"


def test_the_index_links_every_page_and_is_short() -> None:
    text = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    links = {(ROOT / "docs" / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)", text)}
    assert not {path.name for path in ROOT.glob("docs/*.md") if path.resolve() not in links} - {"README.md"}
    assert (ROOT / "docs/variants").resolve() in links
    assert len(text.splitlines()) <= 65


def test_the_labs_page_is_made_of_what_was_saved_beside_it(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    assert (ROOT / "docs/lab.md").read_text() == page(Path("docs/lab")), "run `python -m zoo lab --all -o docs/lab`"
