"""The page in a real browser."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compare_runs import write_run
from zoo.compare import compare, html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
SHOWN = "[...doc.querySelectorAll('{}')].filter(e => e.getClientRects().length).length"
COLOURS = """
['body', '.v0 .mean path, .v0.mean path', '.chart .v1.name text', '.flags, .lost, .notes summary', 'caption'].map(s => {
  const e = doc.querySelector(s), style = view.getComputedStyle(e), svg = e instanceof view.SVGElement;
  const c = document.createElement('canvas').getContext('2d');
  c.fillStyle = s === 'body' ? style.backgroundColor
    : e.tagName === 'text' ? style.fill : svg ? style.stroke : style.color;
  c.fillRect(0, 0, 1, 1);
  return [...c.getImageData(0, 0, 1, 1).data].slice(0, 3) })
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("compare")
    picture = np.tile(np.arange(128, dtype=np.uint8)[:, None, None], (1, 128, 3))
    for variant, score in (("nsgan", 10.0), ("wgan_gp", 20.0), ("<script>document.title='gone'</script>", 30.0)):
        for seed in range(2):
            fd = [400.0, score + seed, float("nan"), score]
            write_run(
                root / f"{len(variant)}-{seed}", variant=variant, seed=seed, fd=fd, losses=[1.0, 2.0], picture=picture
            )
    return html(compare([root]))


def load(text: str, folder: Path, *flags: str) -> tuple[str, list[str]]:
    """The document as it stands after loading, and the messages of its console."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={folder}/home", *flags, (folder / "page.html").as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return run.stdout, [line for line in run.stderr.splitlines() if "CONSOLE" in line]


def ask(page: str, folder: Path, expression: str, *, width: int = 1280, scheme: str = "light") -> Any:
    """The value of an expression about `doc` and its window `view`: the page in a frame of `width` pixels."""
    found, console = load(
        f'<!doctype html><iframe style="width: {width}px; height: 800px; border: 0" srcdoc="{escape(page)}"></iframe>'
        "<script>onload = () => { const doc = document.querySelector('iframe').contentDocument, view = doc.defaultView;"
        f"document.body.textContent = '<<' + JSON.stringify({expression}) + '>>' }}</script>",
        folder, f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
    )  # fmt: skip
    assert console == []
    return json.loads(unescape(found[found.index("&lt;&lt;") + 8 : found.rindex("&gt;&gt;")]))


def test_the_page_breaks_no_rule_and_runs_no_script(page: str, tmp_path: Path) -> None:
    found, console = load(page, tmp_path)
    assert console == []
    assert "<title>GAN zoo: 6 runs of 3 variants on digits</title>" in found
    assert "<script" not in found
    assert ask(page, tmp_path, "doc.compatMode") == "CSS1Compat"
    _, console = load(page.replace("<style>", "<style> "), tmp_path)
    assert "Content Security Policy" in console[0]  # is enforced: the style sheet has another hash now


def test_the_axis_and_the_variants_can_be_chosen(page: str, tmp_path: Path) -> None:
    shown = ", ".join(SHOWN.format(s) for s in ("svg.on-kimg", "svg.on-clock", "svg.chart g.v1"))
    clicks = [f"doc.getElementById('{name}').click()" for name in ("axis-clock", "show-1")]
    first, _, clock, _, hidden = ask(page, tmp_path, f"[[{shown}], {clicks[0]}, [{shown}], {clicks[1]}, [{shown}]]")
    assert first[0] >= 4
    assert first[2] > 0
    assert clock == [0, first[0], first[2]]
    assert hidden[2] == 0


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(page: str, tmp_path: Path, width: int, scheme: str) -> None:
    chart = "doc.querySelector('.chart')"
    letters = f"parseFloat(view.getComputedStyle({chart}).fontSize) * {chart}.getBoundingClientRect().width / 400"
    pictures = "[...doc.images].every(i => i.complete && i.naturalWidth === 128)"
    names = "[...doc.querySelectorAll('fieldset.variants')].every(f => f.scrollWidth <= f.clientWidth)"
    told = f"[doc.documentElement.scrollWidth, {letters}, {pictures} && {names}, {COLOURS}]"
    wide, pixels, complete, colours = ask(page, tmp_path, told, width=width, scheme=scheme)
    assert wide <= width
    assert pixels >= 8.5
    assert complete
    paper, line, *words = map(luminance, colours)
    assert (paper > 0.8) == (scheme == "light")
    assert contrast(paper, line) >= 3  # WCAG 2.2, 1.4.11 and 1.4.3
    assert all(contrast(paper, word) >= 4.5 for word in words), colours


def test_it_prints_on_white(page: str, tmp_path: Path) -> None:
    swapped = re.sub("@media (print|screen)", lambda m: f"@media {'screen' if m[1] == 'print' else 'print'}", page)
    swapped = re.sub("<meta http-equiv[^>]*>", "", swapped)
    style = "view.getComputedStyle(doc.querySelector('{}')).{}"
    told = f"[{style.format('body', 'backgroundColor')}, {style.format('nav input', 'display')}]"
    assert ask(swapped, tmp_path, told, scheme="dark") == ["rgb(255, 255, 255)", "none"]


def luminance(colour: list[int]) -> float:
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)
