"""The page in a real browser."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compare_runs import write_run
from zoo.compare import compare, html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")


class Browser:
    """A headless Chromium, told what to do through its debugging pipe (descriptors 3 and 4, messages ended by NUL)."""

    def __init__(self, home: Path) -> None:
        there, self.out = os.pipe()
        self.into, back = os.pipe()
        self.events: list[dict[str, Any]] = []
        self._count, self._rest = 0, b""
        told = f'exec "$0" "$@" 3<&{there} 4>&{back}'
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={home}")
        self.process = subprocess.Popen(
            ["bash", "-c", told, str(CHROMIUM), *flags], pass_fds=(there, back), stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(back)
        target = self.call("Target.createTarget", session=False, url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", session=False, targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, *, session: bool = True, **params: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        message |= {"sessionId": self.session} if session else {}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page: Path) -> None:
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def ask(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def size(self, width: int, media: str = "screen", scheme: str = "light") -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        wish = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=wish)

    def close(self) -> None:
        try:
            self.call("Browser.close", session=False)
            self.process.wait(10)
        finally:
            self.process.kill()
            os.close(self.out)
            os.close(self.into)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self.into, 1 << 20)
            assert part, "the browser is gone"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compare")
    picture = np.tile(np.arange(128, dtype=np.uint8)[:, None, None], (1, 128, 3))
    for variant, score in (("nsgan", 10.0), ("wgan_gp", 20.0), ("<script>document.title='gone'</script>", 30.0)):
        for seed in range(2):
            fd = [400.0, score + seed, float("nan"), score]
            name = f"{len(variant)}-{seed}"
            write_run(root / "runs" / name, variant=variant, seed=seed, fd=fd, losses=[1.0, 2.0], picture=picture)
    (root / "page.html").write_text(html(compare([root / "runs"])), encoding="utf-8")
    return root / "page.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


def test_the_page_asks_for_nothing_and_breaks_no_rule(page: Path, browser: Browser) -> None:
    browser.open(page)
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert page.as_uri() in asked
    assert all(url == page.as_uri() or url.startswith("data:") for url in asked), asked
    broken = [e for e in browser.events if e.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}]
    assert broken == []  # such as a style that the content security policy refuses
    assert browser.ask("document.title") == "GAN zoo: 6 runs of 3 variants on digits"
    assert browser.ask("document.querySelectorAll('script').length") == 0
    assert browser.ask("document.compatMode") == "CSS1Compat"


def test_the_axis_and_the_variants_can_be_chosen(page: Path, browser: Browser) -> None:
    browser.open(page)
    shown = "[...document.querySelectorAll('{}')].filter(e => e.getClientRects().length).length"
    on_kimg, on_clock, second = (shown.format(s) for s in ("svg.on-kimg", "svg.on-clock", "svg.chart g.v1"))
    before = browser.ask(on_kimg)
    assert before >= 4
    assert browser.ask(on_clock) == 0
    browser.ask("document.getElementById('axis-clock').click()")
    assert (browser.ask(on_kimg), browser.ask(on_clock)) == (0, before)
    assert browser.ask(second) > 0
    browser.ask("document.getElementById('show-1').click()")
    assert browser.ask(second) == 0


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(page: Path, browser: Browser, width: int, scheme: str) -> None:
    browser.size(width, scheme=scheme)
    browser.open(page)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask("[...document.images].every(i => i.complete && i.naturalWidth === 128)")
    letters = browser.ask("parseFloat(getComputedStyle(document.querySelector('.chart')).fontSize)")
    scale = browser.ask("document.querySelector('.chart').getBoundingClientRect().width / 400")
    assert letters * scale >= 9  # pixels
    colours = browser.ask(
        "['body', '.v0.mean path', '.chart .v1.name text', '.flags, .lost, .notes summary', 'caption'].map(s => {"
        " const e = document.querySelector(s), c = document.createElement('canvas').getContext('2d');"
        " const style = getComputedStyle(e); c.fillStyle = s === 'body' ? style.backgroundColor :"
        " e instanceof SVGElement ? (e.tagName === 'text' ? style.fill : style.stroke) : style.color;"
        " c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data].slice(0, 3) })"
    )
    paper, line, *words = map(luminance, colours)
    assert (paper > 0.8) == (scheme == "light")
    assert contrast(paper, line) >= 3  # WCAG 2.2, 1.4.11 and 1.4.3
    assert all(contrast(paper, word) >= 4.5 for word in words), colours


def test_it_prints(page: Path, browser: Browser) -> None:
    browser.size(1280, scheme="dark", media="print")
    browser.open(page)
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.ask("getComputedStyle(document.querySelector('nav input')).display") == "none"
    printed = browser.call("Page.printToPDF")["data"]
    assert printed.startswith("JVBERi0")  # %PDF-


def luminance(colour: list[int]) -> float:
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)
