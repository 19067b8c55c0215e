"""The rows of a run; W&B with every reason to fail, before a run and in its middle."""

import http.server
import json
import math
import os
import pty
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from tests.counting import BATCHES, fit
from tests.fakes.wandb import Answer, FakeWandb, Request, records
from tests.processes import apart
from zoo.callbacks import Samples
from zoo.run.loggers import MetricsLog, WandbLogger, log_alert, log_picture
from zoo.run.records import read_metrics

# MetricsLog


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "run")
    log.log_metrics({"progress/kimg": 0.1, "loss/d": torch.tensor(0.25)}, step=0)
    log.log_metrics({"progress/kimg": 0.2, "fd": math.nan, "lo": -math.inf, "hi": math.inf, "epoch": 3}, step=7)
    path = tmp_path / "run" / "metrics.jsonl"
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)  # NaN and Infinity are not JSON
    first, second = read_metrics(path)
    assert (first["step"], first["progress/kimg"], first["loss/d"]) == (0, 0.1, 0.25)
    assert math.isnan(second["fd"])
    assert (second["lo"], second["hi"], second["epoch"]) == (-math.inf, math.inf, 3)
    assert 0 <= first["time"] <= second["time"] < 5


def test_every_folder_is_the_runs(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "run")
    assert log.save_dir == log.log_dir == str(tmp_path / "run")
    assert log.name == "run"


def test_a_row_is_on_disk_when_it_was_logged(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    for n in range(3):
        log.log_metrics({"x": n})
        assert [row["x"] for row in read_metrics(tmp_path / "metrics.jsonl")] == list(range(n + 1))


def test_a_torn_row_is_skipped_and_then_replaced(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "time": 90.5, "x": 1}\n{"step": 2, "time": 91.0, "x"')
    assert [row["x"] for row in read_metrics(path)] == [1]
    MetricsLog(tmp_path).log_metrics({"x": 2}, step=2)
    first, second = read_metrics(path)
    assert (first["x"], second["x"]) == (1, 2)
    assert 90.5 <= second["time"] < 95  # the clock goes on where the rows end


def test_any_other_damage_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for damage in ("{half", "7"):
        path.write_text(f'{{"step": 1, "time": 1}}\n{damage}\n{{"step": 3, "time": 3}}\n')
        with pytest.raises(ValueError, match=r"metrics.jsonl:2 is not a JSON object"):
            read_metrics(path)


def test_a_resumed_run_replaces_the_rows_after_its_checkpoint(tmp_path: Path) -> None:
    killed, resumed = MetricsLog(tmp_path), MetricsLog(tmp_path)
    for kimg in (1.0, 2.0, 3.0, 4.0):
        killed.log_metrics({"progress/kimg": kimg, "what": "score"})
        killed.log_metrics({"progress/kimg": kimg, "who": "killed"})
    for kimg in (3.0, float(np.float32(3.1)), 3.1, 5.0):  # the second is above the third
        resumed.log_metrics({"progress/kimg": kimg, "who": "resumed"})
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row.get("who", "-") for row in rows] == ["-", "killed"] * 2 + ["-"] + ["resumed"] * 4
    assert [round(row["progress/kimg"], 3) for row in rows] == [1, 1, 2, 2, 3, 3, 3.1, 3.1, 5]


def test_only_rank_zero_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    MetricsLog(tmp_path).log_metrics({"x": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_picture_goes_to_the_loggers_that_take_one(tmp_path: Path) -> None:
    class Album:
        def log_image(self, key: str, images: list[np.ndarray]) -> None:
            self.seen = (key, images)

    album, picture = Album(), np.zeros((2, 2, 3), np.uint8)
    log_picture([MetricsLog(tmp_path), album], "samples/grid", picture, 1.0)  # type: ignore[list-item]
    assert album.seen == ("samples/grid", [picture])


# WandbLogger


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "ofline"}, r"mode='ofline' is no W&B mode: choose from auto, online, offline, disabled"),
        ({"offline": True}, r'instead of offline=True, write mode="offline"'),
        ({"log_model": "all"}, r"publish a model with `python -m zoo publish`"),
    ],
)
def test_wandb_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WandbLogger(**arguments)


def test_wandb_takes_lightnings_own_defaults() -> None:
    WandbLogger(offline=False, log_model=False, anonymous=None)


class Tell(Callback):
    def on_train_end(self, trainer: Any, module: Any) -> None:
        log_alert(trainer.loggers, "mode collapse", "all samples are alike")


def trained(
    folder: Path, *callbacks: Callback, epochs: int = 1, spoil: Callable | None = None, **options: Any
) -> dict[str, Any]:
    """Train with W&B and what the environment says of it; for a process of its own, since its client keeps that."""
    said = []
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, *_, **__: said.append(str(message))
    logger = WandbLogger(save_dir=folder, name=folder.name, group="sngan-ring", **options)
    began = time.monotonic()
    if spoil:
        logger.experiment.log = spoil
    loggers = [MetricsLog(folder), logger]
    module, _ = fit(folder, Samples(every_kimg=10, n=1), *callbacks, logger=loggers, epochs=epochs)
    return {
        "steps": module.steps, "seconds": time.monotonic() - began, "id": logger.version,
        "said": [line for line in said if "W&B" in line],
    }  # fmt: skip


class Refuses(http.server.BaseHTTPRequestHandler):
    """A server that knows no key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


def died(*_: Any, **__: Any) -> None:
    raise ConnectionError("the service died")


def played() -> list[dict[str, Any]]:
    """The runs of a case, whose folder is its home."""
    home = Path(os.environ["HOME"])
    os.dup2(os.open(home / "err", os.O_WRONLY | os.O_CREAT), 2)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    if home.name != "no key":
        if home.name == "bad key":
            os.close(0)
        return [trained(home / "a", Tell(), init_timeout=3)]
    os.dup2(int(os.environ["TERMINAL"]), 0)
    sys.stdin = os.fdopen(0, closefd=False)
    runs = [trained(home / name, Tell()) for name in "ab"] + [trained(home / "spoilt", spoil=died)]
    os.environ["WANDB_MODE"] = "disabled"
    return [*runs, trained(home / "disabled")]


class Case:
    """What a process with a home of its own reported and left."""

    def __init__(self, home: Path, runs: list[dict[str, Any]]) -> None:
        self.home, self.runs = home, runs

    def rows(self, run: str) -> list[dict[str, Any]]:
        """W&B's rows of the one offline run below a folder."""
        return [record["history"]["item"] for record in self.records(run, "history")]

    def records(self, run: str, kind: str) -> list[dict[str, Any]]:
        [log] = (self.home / run).glob("wandb/offline-run-*/*.wandb")
        return records(log, kind)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Case]]:
    """All at once, since most of their time is waiting."""
    home = tmp_path_factory.mktemp("wandb")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    nobody, terminal = pty.openpty()
    key = {"WANDB_API_KEY": "0123456789" * 4}
    environments = {
        "no key": {"TERMINAL": str(terminal)},
        "bad key": {"WANDB_API_KEY": "short"},
        "refused key": {**key, "WANDB_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}"},
        "no server": {**key, "WANDB_BASE_URL": "http://127.0.0.1:9"},
    }
    for name in environments:
        (home / name).mkdir()
    common = {"WANDB_ERROR_REPORTING": "false", "WANDB_X_DISABLE_VIEWER": "true"}
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        told = apart(played, *({"HOME": str(home / name), **common, **more} for name, more in environments.items()))
    yield {name: Case(home / name, runs) for name, runs in zip(environments, told, strict=True)}
    server.shutdown()
    os.close(nobody)
    os.close(terminal)


def test_without_a_key_it_asks_nobody_and_writes_beside_the_run(cases: dict[str, Case]) -> None:
    case = cases["no key"]
    assert case.runs[0]["said"] == []
    assert "anonymous" not in (case.home / "err").read_text()
    rows = case.rows("a")
    assert len(rows) == 12  # ten steps and two pictures
    losses = [row for row in rows if "loss/g" in row]
    assert [round(row["progress/kimg"], 3) for row in losses] == [n / 10 for n in range(1, 11)]
    assert {row["loss/g"] for row in losses} == {2.25}
    assert not (case.home / ".local").exists()  # nothing is staged in the home folder


def test_every_row_and_every_chart_is_over_kimg(cases: dict[str, Case]) -> None:
    rows = cases["no key"].rows("a")
    assert all("progress/kimg" in row for row in rows)
    axes = [r["metric"] for r in cases["no key"].records("a", "metric") if "glob_name" in r["metric"]]
    assert [(m["glob_name"], m["step_metric"]) for m in axes] == [("*", "progress/kimg")]


def test_a_picture_keeps_its_pixels(cases: dict[str, Case]) -> None:
    rows = [row for row in cases["no key"].rows("a") if "samples/grid.path" in row]
    assert [row["progress/kimg"] for row in rows] == [0, 1]
    [run] = (cases["no key"].home / "a" / "wandb").glob("offline-run-*")
    for row, grey in zip(rows, (128, 140), strict=True):  # (0 + 1) * 127.5 and (0.1 + 1) * 127.5
        pixels = np.asarray(Image.open(run / "files" / row["samples/grid.path"]))
        assert pixels.shape == (32, 32, 3)
        assert (pixels == grey).all()


def test_an_alert_goes_to_wandb(cases: dict[str, Case]) -> None:
    [alert] = cases["no key"].records("a", "alert")
    told = {key: value for key, value in alert["alert"].items() if key in ("title", "text", "level")}
    assert told == {"title": "mode collapse", "text": "all samples are alike", "level": "WARN"}


def test_the_run_has_its_names(cases: dict[str, Case]) -> None:
    [record] = cases["no key"].records("b", "run")
    assert (record["run"]["display_name"], record["run"]["run_group"]) == ("b", "sngan-ring")
    assert record["run"]["project"] == "gan-zoo"


def test_two_fits_are_two_runs(cases: dict[str, Case]) -> None:
    a, b, *_ = cases["no key"].runs
    assert a["id"] != b["id"]
    assert len(cases["no key"].rows("b")) == len(cases["no key"].rows("a"))


def test_a_breakdown_in_the_middle_costs_one_warning(cases: dict[str, Case]) -> None:
    spoilt = cases["no key"].runs[2]
    assert spoilt["steps"] == 10
    assert spoilt["said"] == ["W&B failed (the service died): the run goes on without it"]
    assert len(read_metrics(cases["no key"].home / "spoilt" / "metrics.jsonl")) == 10


def test_disabled_leaves_only_our_own_rows(cases: dict[str, Case]) -> None:
    folder = cases["no key"].home / "disabled"
    assert cases["no key"].runs[3]["steps"] == 10
    assert sorted(p.name for p in folder.iterdir()) == ["metrics.jsonl", "samples"]


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("bad key", "W&B cannot use the credentials it found (WANDB_API_KEY invalid"),
        ("refused key", "W&B could not be reached (Failed to get resume status"),
        ("no server", "W&B could not be reached (Failed to get resume status"),
    ],
)
def test_a_key_that_does_not_work_is_offline_with_one_line(cases: dict[str, Case], name: str, because: str) -> None:
    [run] = cases[name].runs
    assert run["steps"] == 10
    [line] = run["said"]
    assert line.startswith(because)
    assert line.endswith("logging offline, send it later with `wandb sync`")
    assert len(cases[name].rows("a")) == 12
    assert run["seconds"] < cases["no key"].runs[0]["seconds"] + 3 + 15


# W&B's server fails in the middle of a run: training goes on at full speed, all is on the disk, it is said once.

EPOCHS, HALF = 20, 100  # the run's epochs, and after which of its 200 steps the server turns


class Moody(FakeWandb):
    """Answers as it should until it is asked for `/turn/<mood>`."""

    mood = "well"

    def respond(self, request: Request) -> Answer:
        if request.path.startswith("/turn/"):
            self.mood = request.path.rpartition("/")[2]
            if self.mood == "dead":
                threading.Thread(target=self.__exit__).start()
            return Answer()
        if self.mood == "silent":
            time.sleep(1000)
        return super().respond(request) if self.mood == "well" else Answer(int(self.mood))


class Turn(Callback):
    """Turns the server, and takes the time of every step, with what is logged after it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.began: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        if len(self.began) == HALF:
            urllib.request.urlopen(self.url, timeout=5).close()
        self.began.append(time.perf_counter())

    @property
    def seconds(self) -> list[float]:
        return [b - a for n, (a, b) in enumerate(zip(self.began, self.began[1:], strict=False)) if n != HALF - 1]


def in_a_process(folder: Path, url: str, server: FakeWandb) -> dict[str, Any]:
    def run() -> dict[str, Any]:
        turn = Turn(url)
        outcome = trained(folder, turn, epochs=EPOCHS, init_timeout=3, finish_timeout=1)
        return {**outcome, "each": turn.seconds}

    return apart(run, server.environment(folder.parent), seconds=200)[0]


@pytest.mark.parametrize(
    ("mood", "why"),
    [
        ("silent", "Timed out finishing run"),
        pytest.param("401", "Fatal error while uploading data", marks=pytest.mark.slow),
        pytest.param("dead", "Timed out finishing run", marks=pytest.mark.slow),
        pytest.param("500", "Timed out finishing run", marks=pytest.mark.slow),
    ],
)
def test_a_server_that_fails_in_mid_run_costs_the_run_nothing(mood: str, why: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with Moody() as server:
        told = in_a_process(run, f"{server.url}/turn/{mood}", server)
        if mood == "dead":
            server.__enter__()  # to be left again
    assert told["steps"] == EPOCHS * BATCHES
    [line] = told["said"]
    [folder] = run.glob("wandb/run-*")
    assert line == f"W&B: {why}; `wandb sync {folder}` sends what it lacks"
    [log] = folder.glob("*.wandb")
    rows = [record["history"]["item"] for record in records(log, "history")]
    ours = read_metrics(run / "metrics.jsonl")
    assert len(ours) == EPOCHS * BATCHES
    kimg = [row["progress/kimg"] for row in rows if "loss/g" in row]
    assert kimg == pytest.approx([row["progress/kimg"] for row in ours])
    well, ill = (quantiles(part)[0] for part in (told["each"][: HALF - 1], told["each"][HALF - 1 :]))
    print(f"\n{mood}: three steps in four took over {well * 1e3:.2f} ms before and {ill * 1e3:.2f} ms after")
    assert ill < 2 * well + 0.005  # other work on the machine slows some steps, waiting for a server slows all


@pytest.mark.slow
def test_a_server_that_never_answers_is_offline_with_one_line(tmp_path: Path) -> None:
    with Moody() as server:
        server.mood = "silent"
        told = in_a_process(tmp_path / "run", "data:,", server)
    [line] = told["said"]
    assert line.startswith("W&B could not be reached")
    assert len(list((tmp_path / "run").glob("wandb/offline-run-*"))) == 1
    assert told["seconds"] < 3 + 15 + 10
