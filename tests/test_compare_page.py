"""The page: its numbers are the runs', its text is text, and nothing is left out."""

import base64
import json
import math
import re
import statistics
import subprocess
import sys
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.compare_runs import write_run
from zoo.__main__ import main
from zoo.compare import compare, html
from zoo.compare.charts import measured, number
from zoo.compare.page import embed

NAN = math.nan
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Tables as rows of texts, and a check that every element is closed where it must be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        if tag not in {"meta", "link", "img", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)
        if {"td", "th"} & set(self.open) and "svg" not in self.open:
            self.tables[-1][-1][-1] += f" {data}"

    def row(self, table: int, name: str) -> list[str]:
        return next([" ".join(c.split()) for c in row] for row in self.tables[table] if row[0].strip() == name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    for variant in ("nsgan", "wgan_gp", "lsgan"):
        for seed in range(3):
            fd = (100 * rng.random(5)).tolist()
            picture = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            losses = rng.normal(size=9).tolist()
            write_run(root / f"{variant}-{seed}", variant=variant, seed=seed, fd=fd, losses=losses, picture=picture)
    return root


@pytest.fixture(scope="module")
def text(runs: Path) -> str:
    """The page of these runs."""
    return html(compare([runs]))


def test_the_numbers_are_those_of_the_logs(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs), "-o", str(tmp_path / "out" / "page.html"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    page = Page((tmp_path / "out" / "page.html").read_text())
    best: dict[str, list[float]] = {}
    final: dict[str, list[float]] = {}
    for folder in sorted(runs.iterdir()):
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        values = [row["fd/digits-cnn"] for row in rows if "fd/digits-cnn" in row]
        name = json.loads((folder / "run.json").read_text())["variant"]
        best.setdefault(name, []).append(min(values))
        final.setdefault(name, []).append(values[-1])
    [section] = told["sections"]
    [measure] = section["measures"]
    assert (measure["score"], measure["better"], measure["protocol"]["n_fake"]) == ("fd/digits-cnn", "lower", 1000)
    for name in best:
        for when, values in (("best", best[name]), ("final", final[name])):
            got = measure["variants"][name][when]
            assert got["values"] == values
            assert got["mean"] == pytest.approx(statistics.mean(values))
            assert got["sd"] == pytest.approx(statistics.stdev(values))
            assert got["interval"] == pytest.approx([min(values), max(values)])  # of three seeds
        _, seeds, shown_best, _, shown_final, kimg, minutes, speed, _ = page.row(0, name)
        assert (seeds, kimg, minutes, speed) == ("3", "80", "2.67", "500")
        for shown, values in ((shown_best, best[name]), (shown_final, final[name])):
            ends = f"{min(values):#.4g} to {max(values):#.4g}"
            assert shown == f"{statistics.mean(values):#.4g} ± {statistics.stdev(values):#.2g}".rstrip(".") + f" {ends}"
    ranked = sorted(best, key=lambda name: statistics.mean(best[name]))
    assert [row[0].strip() for row in page.tables[0][1:]] == ranked
    won = sum(a < b for a in best[ranked[0]] for b in best[ranked[1]])
    assert page.row(1, ranked[0])[2] == f"{won / 9:.2f} {won}/9"
    assert measure["duels"]["best"][ranked[0]][ranked[1]]["probability"] == pytest.approx(won / 9)


def test_the_command_waits_for_no_torch(runs: Path, tmp_path: Path) -> None:
    code = "import sys; from zoo.__main__ import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "compare", str(runs), "-o", str(tmp_path / "page.html")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [f"9 runs of 3 variants: {tmp_path}/page.html", "False"]


def test_the_same_runs_make_the_same_page(runs: Path, text: str) -> None:
    assert html(compare([runs])) == text


def test_a_page_needs_nothing_from_elsewhere(text: str) -> None:
    page = Page(text)
    sources = [value for _, key, value in page.attributes if key in {"src", "href", "action", "srcset", "data"}]
    assert len(sources) == 9 + 1  # nine pictures, and an empty icon
    assert all(value and value.startswith(("data:", "#")) for value in sources)
    assert not re.search(r"https?:|@import|url\(|<script", text)
    assert not [key for _, key, _ in page.attributes if key.startswith("on") or key == "style"]
    policy = next(value for _, key, value in page.attributes if key == "content" and value and "src" in value)
    assert re.fullmatch(r"default-src 'none'; img-src data:; style-src 'sha256-[\w+/]{43}='", policy)


def test_pictures_and_charts_have_words(text: str) -> None:
    page = Page(text)
    alts = [value for tag, key, value in page.attributes if (tag, key) == ("img", "alt")]
    assert sorted(alts)[0] == "Samples of lsgan, seed 0, after 80 kimg"
    assert len(set(alts)) == 9
    assert any(re.fullmatch(r"(\w+ ends at [\d., ]+(; )?){3}\.", text) for text in page.texts)  # of the fd chart
    assert {value for tag, key, value in page.attributes if tag == "th" and key == "scope"} == {"col", "row"}


def test_hostile_names_are_text(tmp_path: Path) -> None:
    config = {"model": {"class_path": EVIL, "init_args": {EVIL: EVIL}}}
    found = [{"name": EVIL, "evidence": EVIL, "advice": EVIL, "kimg": 3}]
    for variant in (EVIL, '"><img src=x onerror=alert(1)>'):
        folder = tmp_path / "runs" / variant[:3].replace("<", "x").replace('"', "y")
        write_run(
            folder, variant=variant, dataset=EVIL, fd=[3.0, 2.0], losses=[1.0], status="failed", error=EVIL,
            config=config, pathologies=found,
        )  # fmt: skip
    text = html(compare([tmp_path / "runs"]))
    page = Page(text)
    tags = {tag for tag, _, _ in page.attributes}
    assert "script" not in tags
    assert "img" not in tags
    assert "<script" not in text
    assert page.texts.count(EVIL) > 5
    assert page.row(0, EVIL)[-1].endswith(EVIL)  # its pathology


def test_no_run_with_numbers_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "fine", variant="fine", fd=[9.0, 3.0], losses=[1.0])
    write_run(tmp_path / "lost", variant="lost", fd=[9.0, NAN], losses=[NAN, 1.0])
    write_run(tmp_path / "dead", variant="dead", fd=[8.0], status="failed", error="RuntimeError: loss/d is NaN")
    write_run(tmp_path / "mute", variant="mute", status="running", losses=[1.0])
    write_run(tmp_path / "typo", variant="typo", status="failed", error="no data")
    (write_run(tmp_path / "torn", variant="torn") / "run.json").write_text("{")
    (write_run(tmp_path / "eps", variant="eps", fd=[6.0]) / "samples").mkdir()
    (tmp_path / "eps" / "samples" / "20.png").write_text("%!PS-Adobe-3.0 EPSF-3.0")
    found = [{"name": "mode collapse", "evidence": "recall fell to 0.03", "advice": "More noise.", "kimg": 20}]
    write_run(tmp_path / "sick", variant="sick", fd=[7.0], pathologies=found)
    write_run(tmp_path / "elsewhere", variant="fine", dataset="mnist", losses=[1.0])
    page = Page(html(compare([tmp_path])))
    text = " ".join(page.texts)
    assert page.row(0, "lost")[2] == "9.000 1 seed"
    assert page.row(0, "lost")[4] == "NaN 1 of 1 NaN"
    assert page.row(0, "lost")[-1] == "1 NaN at the end"
    assert page.row(0, "dead")[-1] == "1 failed"
    assert page.row(0, "mute")[2] == "no scores"
    assert page.row(0, "sick")[-1] == "mode collapse"
    for said in (
        "failed at 0 kimg: RuntimeError: loss/d is NaN", "still running, or killed", "recall fell to 0.03",
        "More noise.", "is NaN or infinite in 1 of 2 measurements, the last too", "No run on these data has scores.",
        "lost: NaN or infinite", "2 runs left out", "logged no number: no data", " cannot be read: ",
        "torn/run.json is not JSON", "20.png is no picture of a run",
    ):  # fmt: skip
        assert said in text, said
    assert text.count("no picture") == 6 + 1


@pytest.mark.parametrize(
    ("n", "answer", "cells"),
    [
        (
            1,
            "One seed of each cannot say: another seed could turn it round. It takes at least 4 seeds",
            ("1.000", "1/1"),
        ),
        (3, "So few seeds cannot say", ("2.000 ± 1.0", "1.00 9/9")),
        (4, "Yes, at the 5 % level", ("2.500 ± 1.3", "1.00** 16/16")),
    ],
)
def test_the_answer_goes_with_the_seeds(tmp_path: Path, n: int, answer: str, cells: tuple[str, str]) -> None:
    for variant, value in (("a", 1.0), ("b", 9.0)):
        for seed in range(n):
            write_run(tmp_path / f"{variant}{seed}", variant=variant, seed=seed, fd=[value + seed])
    page = Page(html(compare([tmp_path])))
    assert any(answer in text for text in page.texts)
    assert page.row(0, "a")[2].startswith(cells[0])
    assert page.row(1, "a")[2] == cells[1]


def test_pictures_fit_their_share(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    grey = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    small, same = embed(tmp_path / "noise.png", 150_000), embed(tmp_path / "grey.png", 150_000)
    assert small.reduced
    assert len(small.src) <= 200_100  # base64 of 150,000 bytes
    assert not same.reduced
    with Image.open(BytesIO(base64.b64decode(same.src.partition(",")[2]))) as image:
        assert image.mode == "L"
        assert (np.asarray(image) == grey[..., 0]).all()
    (tmp_path / "noise.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"noise\.png cannot be read"):
        embed(tmp_path / "noise.png", 1000)


@pytest.mark.parametrize(
    ("value", "plain", "full"),
    [(None, "–", "–"), (NAN, "NaN", "NaN"), (1.0, "1", "1.000"), (-0.25, "−0.25", "−0.2500"),
     (12345.6, "12346", "12346"), (0.0, "0", "0"), (5.6e-7, "5.6e−07", "5.600e−07"), (1234.0, "1234", "1234")],
)  # fmt: skip
def test_numbers_as_text(value: float | None, plain: str, full: str) -> None:
    assert (number(value), measured(value)) == (plain, full)


def test_half_of_a_surrogate_pair_in_a_name_leaves_the_page(tmp_path: Path) -> None:
    write_run(tmp_path / "a", dataset="odd\ud800", config={}, fd=[9.0, 5.0])
    assert main(["compare", str(tmp_path / "a"), "-o", str(tmp_path / "a.html")]) == 0
    assert "odd?" in (tmp_path / "a.html").read_text()


def test_one_run_is_singular_and_a_line_that_ends_early_has_a_dot(tmp_path: Path, capsys) -> None:
    write_run(tmp_path / "a", fd=[9.0, 5.0])
    assert main(["compare", str(tmp_path / "a"), "-o", str(tmp_path / "a.html")]) == 0
    assert "1 run of 1 variant: " in capsys.readouterr().out
    write_run(tmp_path / "b", variant="lsgan", fd=[9.0, 5.0, 4.0])
    chart = re.findall(r"<svg[^>]*on-kimg.*?</svg>", html(compare([tmp_path])), re.DOTALL)[0]
    assert sorted(re.findall(r'class="v(\d) (leader|end)"', chart)) == [("0", "leader"), ("1", "end")]
