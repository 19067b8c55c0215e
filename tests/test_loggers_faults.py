"""W&B's server fails in the middle of a run: training goes on at full speed, all is on the disk, it is said once."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest
from lightning.pytorch import Callback

from tests.counting import BATCHES, fit
from tests.fakes.wandb import Answer, FakeWandb, Request
from tests.test_loggers import records
from zoo.callbacks import Samples
from zoo.cli.main import ROOT
from zoo.run.loggers import MetricsLog, WandbLogger
from zoo.run.records import read_metrics

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


def trained(folder: str, url: str) -> dict[str, Any]:
    """Train with W&B's server told in the environment, and what was said and took how long."""
    said = []
    warnings.showwarning = lambda message, *_, **__: said.append(str(message))
    turn = Turn(url)
    logger = WandbLogger(save_dir=folder, init_timeout=3, finish_timeout=1)
    began = time.monotonic()
    loggers = [MetricsLog(folder), logger]
    module, _ = fit(Path(folder), Samples(every_kimg=10, n=1), turn, logger=loggers, epochs=EPOCHS)
    return {
        "steps": module.steps, "all": time.monotonic() - began, "seconds": turn.seconds,
        "said": [line for line in said if "W&B" in line],
    }  # fmt: skip


MOODS = {
    "silent": "Timed out finishing run",
    "401": "Fatal error while uploading data",
    "dead": "Timed out finishing run",
    "500": "Timed out finishing run",
}


def in_a_process(folder: Path, url: str, server: FakeWandb) -> dict[str, Any]:
    """What `trained` returns in a process of its own, since W&B's client keeps its settings."""
    code = (
        "import json, os, sys; from tests.test_loggers_faults import trained; "
        "print(json.dumps(trained(*sys.argv[1:])), flush=True); os._exit(0)"
    )
    env = {**os.environ, **server.environment(folder.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, folder, url], cwd=ROOT, env=env, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize(
    "mood", [pytest.param(mood, marks=[] if mood in {"silent", "401"} else [pytest.mark.slow]) for mood in MOODS]
)
def test_a_server_that_fails_in_mid_run_costs_the_run_nothing(mood: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with Moody() as server:
        told = in_a_process(run, f"{server.url}/turn/{mood}", server)
        if mood == "dead":
            server.__enter__()  # to be left again
    assert told["steps"] == EPOCHS * BATCHES
    [line] = told["said"]
    [folder] = run.glob("wandb/run-*")
    assert line == f"W&B: {MOODS[mood]}; `wandb sync {folder}` sends what it lacks"
    [log] = folder.glob("*.wandb")
    rows = [record["history"]["item"] for record in records(log, "history")]
    ours = read_metrics(run / "metrics.jsonl")
    assert len(ours) == EPOCHS * BATCHES
    kimg = [row["progress/kimg"] for row in rows if "loss/g" in row]
    assert kimg == pytest.approx([row["progress/kimg"] for row in ours])
    well, ill = (quantiles(part)[0] for part in (told["seconds"][: HALF - 1], told["seconds"][HALF - 1 :]))
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
    assert told["all"] < 3 + 15 + 10
