"""The rows of a run, and W&B with every reason it has to fail."""

import http.server
import json
import math
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from zoo.run.loggers import MetricsLog, WandbLogger, log_picture
from zoo.run.records import read_metrics

ROOT = Path(__file__).parent.parent

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


CHILD = """
import json, sys, time, warnings
from zoo.run.loggers import MetricsLog, WandbLogger, log_alert
early = "wandb" in sys.modules
from lightning.pytorch import Callback
from tests.counting import fit
from zoo.callbacks import Samples
early = early or "wandb" in sys.modules

said = []
warnings.showwarning = lambda message, *_, **__: said.append(str(message))

class Tell(Callback):
    def on_train_end(self, trainer, module):
        log_alert(trainer.loggers, "mode collapse", "all samples are alike")

def run(folder, spoil=None, **options):
    logger = WandbLogger(save_dir=folder, name=folder.name, group="sngan-ring", **options)
    said.clear()
    began = time.monotonic()
    parts = [Samples(every_kimg=10, n=1), Tell()]
    if spoil:
        logger.experiment.log = spoil
    module, _ = fit(folder, *parts, logger=[MetricsLog(folder), logger])
    return {
        "early": early,
        "steps": module.steps, "seconds": time.monotonic() - began,
        "said": [line for line in said if "W&B" in line], "id": logger.version,
    }
"""


class Case:
    """A child process with a home of its own, and what it reported and left."""

    def __init__(self, home: Path, body: str, *, stdin: int = subprocess.DEVNULL, **env: str) -> None:
        self.home = home
        home.mkdir()
        program = f"{CHILD}\nimport os\nfrom pathlib import Path\nhome = Path({str(home)!r})\n{body}"
        clean = {"PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "1"}
        clean |= {"WANDB_ERROR_REPORTING": "false", "WANDB_X_DISABLE_VIEWER": "true", **env}
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, env=clean, stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def wait(self) -> None:
        out, self.err = self._process.communicate(timeout=100)
        assert self._process.returncode == 0, self.err
        self.runs = [json.loads(line[4:]) for line in out.splitlines() if line.startswith("RUN ")]

    def rows(self, run: str) -> list[dict[str, Any]]:
        """W&B's rows of the one offline run below a folder, read by W&B's own tool."""
        return [record["history"]["item"] for record in self.records(run, "history")]

    def records(self, run: str, kind: str) -> list[dict[str, Any]]:
        [log] = (self.home / run).glob("wandb/offline-run-*/*.wandb")
        return records(log, kind)


def records(log: Path, kind: str) -> list[dict[str, Any]]:
    """What W&B has of a run on the disk, read by W&B's own tool."""
    spec = find_spec("wandb")
    assert spec is not None
    core = Path(spec.submodule_search_locations[0]) / "bin" / "wandb-core"
    command = [core, "leet", "inspect", "--no-observability", "--json", "--run-file", log]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return [record for record in map(json.loads, told.stdout.splitlines()) if record["type"] == kind]


class Refuses(http.server.BaseHTTPRequestHandler):
    """A server that knows no key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *args: Any) -> None:
        pass


KEY = "0123456789" * 4
SAY = "print('RUN', json.dumps(run(home / {run!r}{options})))\n"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Case]]:
    """All at once, since most of their time is imports and waiting."""
    home = tmp_path_factory.mktemp("wandb")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    nobody, terminal = pty.openpty()
    many = SAY.format(run="a", options="") + SAY.format(run="b", options="")
    many += "def spoil(*_, **__): raise ConnectionError('the service died')\n"
    many += SAY.format(run="spoilt", options=", spoil=spoil")
    many += "os.environ['WANDB_MODE'] = 'disabled'\n" + SAY.format(run="disabled", options="")
    one = SAY.format(run="a", options=", init_timeout=3")
    made = {
        "no key": Case(home / "none", many, stdin=terminal),
        "bad key": Case(home / "bad", "os.close(0)\n" + one, WANDB_API_KEY="short"),
        "refused key": Case(
            home / "refused", one, WANDB_API_KEY=KEY,
            WANDB_BASE_URL=f"http://127.0.0.1:{server.server_address[1]}",
        ),
        "no server": Case(
            home / "gone", one, WANDB_API_KEY=KEY, WANDB_BASE_URL="http://127.0.0.1:9"
        ),
    }  # fmt: skip
    for case in made.values():
        case.wait()
    yield made
    server.shutdown()
    os.close(nobody)
    os.close(terminal)


def test_without_a_key_it_asks_nobody_and_writes_beside_the_run(cases: dict[str, Case]) -> None:
    case = cases["no key"]
    assert case.runs[0]["said"] == []
    assert "anonymous" not in case.err
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
    assert run["seconds"] < 3 + 15


def test_wandb_is_imported_when_a_run_is_opened_and_not_before(cases: dict[str, Case]) -> None:
    assert [run["early"] for case in cases.values() for run in case.runs] == [False] * 7
