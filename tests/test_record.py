"""What a run says of itself in run.json."""

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch.utils.data import DataLoader, TensorDataset

from tests.counting import Counter, Scores, When, fit, stop
from zoo.callbacks import Budget, Checkpoints, RunRecord, Samples, record


def load(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def test_the_record_of_a_finished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    during: list[dict[str, Any]] = []
    scores = Scores({0.2: 3.0, 0.5: math.nan})
    parts = (Samples(every_kimg=1), scores, Checkpoints(), When(2, lambda: during.append(load(tmp_path))))
    fit(tmp_path, RunRecord(tmp_path, variant="sngan", dataset="ring"), *parts, Budget(0.5))
    [early], run = during, load(tmp_path)
    assert (early["status"], early["ended"]) == ("running", None)
    assert (run["status"], run["error"]) == ("finished", None)
    assert (run["variant"], run["objective"], run["dataset"], run["seed"]) == ("sngan", "Counter", "ring", 7)
    assert run["started"] <= run["ended"]
    assert run["started"].endswith("+00:00")
    assert run["versions"]["torch"] == str(torch.__version__)
    assert (run["device"], run["ranks"]) == ("cpu", 1)
    result = run["result"]
    assert (result["kimg"], result["steps"]) == (0.5, 5)
    assert result["images_per_second"] == pytest.approx(500 / result["seconds"], rel=0.1)
    assert result["score"] == {
        "name": "fd/pixels8", "last": "nan", "last_kimg": 0.5, "best": 3.0, "best_kimg": 0.2,
    }  # fmt: skip
    assert result["metrics"]["loss/g"] == 2.25
    assert result["metrics"]["fd/pixels8"] == "nan"
    assert result["checkpoints"] == ["last.ckpt", "best.ckpt"]
    said = capsys.readouterr().err.splitlines()
    assert said[-5:-3] == [f"Run: {tmp_path}", f"Samples: {tmp_path}/samples/000000.500.png"]
    assert said[-3] == f"Sample:  python -m zoo sample {tmp_path} -o grid.png"
    assert said[-2] == f"Compare: python -m zoo compare {tmp_path.parent}"
    assert said[-1].endswith(f"--ckpt_path {tmp_path}")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (RuntimeError("no luck\nat all"), "failed", "RuntimeError: no luck"),
        (ValueError(), "failed", "ValueError: "),
        (KeyboardInterrupt(), "interrupted", None),
    ],
)
def test_the_record_of_a_run_cut_short(tmp_path: Path, error: BaseException, status: str, line: str | None) -> None:
    with pytest.raises((RuntimeError, ValueError, SystemExit)):
        fit(tmp_path, RunRecord(tmp_path, "v", "d"), When(3, stop(error)))
    run = load(tmp_path)
    assert (run["status"], run["error"], run["result"]["steps"]) == (status, line, 3)
    assert run["ended"] is not None


@pytest.mark.parametrize("hook", ["setup", "on_fit_start", "on_train_start", "on_train_epoch_end", "on_fit_end"])
def test_the_record_of_an_error_outside_the_batches(tmp_path: Path, hook: str) -> None:
    bad = Callback()
    monkey = stop(OSError("no such data"))
    setattr(bad, hook, lambda *_, **__: monkey())
    with pytest.raises(OSError, match="no such data"):
        fit(tmp_path, bad, RunRecord(tmp_path, "v", "d"))
    run = load(tmp_path)
    assert (run["status"], run["error"]) == ("failed", "OSError: no such data")
    assert run["started"] <= run["ended"]


def test_the_record_goes_on_over_a_resume(tmp_path: Path) -> None:
    fit(tmp_path, RunRecord(tmp_path, "v", "d"), Checkpoints(), Budget(0.4))
    first = load(tmp_path)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]["RunRecord"]
    assert state["started"] == first["started"]
    edited = torch.load(tmp_path / "last.ckpt", weights_only=True)
    edited["callbacks"]["RunRecord"] |= {"seconds": 1000.0, "wandb_id": "abc"}
    torch.save(edited, tmp_path / "last.ckpt")
    fit(tmp_path, RunRecord(tmp_path, "v", "d"), Checkpoints(), Budget(0.8), resume="last.ckpt")
    second = load(tmp_path)
    assert second["started"] == first["started"]
    assert 1000 < second["result"]["seconds"] < 1100
    assert second["result"]["images_per_second"] == pytest.approx(0.8, rel=0.2)
    assert second["wandb_id"] == "abc"


def test_a_test_run_leaves_the_record_alone(tmp_path: Path) -> None:
    _, trainer = fit(tmp_path, RunRecord(tmp_path, "v", "d"))
    before = (tmp_path / "run.json").read_text()
    with pytest.raises(Exception, match="test_step"):
        trainer.test(Counter(), DataLoader(TensorDataset(torch.zeros(2, 2))))
    assert (tmp_path / "run.json").read_text() == before


def test_git_is_the_checkouts_own(tmp_path: Path) -> None:
    assert record._git(tmp_path) is None

    def git(*command: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        told = ["git", "-C", str(tmp_path), *identity, *command]
        return subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    assert record._git(tmp_path) is None  # no commit yet
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "one")
    assert record._git(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "file").write_text("2")
    assert record._git(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": True}
    (tmp_path / "below").mkdir()
    assert record._git(tmp_path / "below") is None


def test_no_git_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert record._git(record.CHECKOUT) is None
