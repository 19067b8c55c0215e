"""Two ranks from the command line are one run; a rank that dies or does not answer ends the job in a minute."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

from zoo.callbacks import Patience
from zoo.cli.main import ROOT, main
from zoo.run.records import read_metrics
from zoo.training import ManualTraining

LAUNCHERS = {
    "lightning": [],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"],
}


OWN_WORDS = "the culprit's own words"
WAITED = "another rank has died, see its own error, or has not answered for 4 s"


def fail() -> None:
    raise RuntimeError(OWN_WORDS)


ENDS = {
    "kill": (lambda: os.kill(os.getpid(), signal.SIGKILL), WAITED),
    "fail": (fail, OWN_WORDS),
    "stop": (lambda: os.kill(os.getpid(), signal.SIGSTOP), WAITED),
    "sleep": (lambda: time.sleep(10_000), WAITED),
}


def job(launcher: str, end: str, rank: int, folder: Path) -> subprocess.Popen:
    words = [
        "fit", "-c", "configs/nsgan.yaml", "-c", "configs/data/digits.yaml", "--trainer.accelerator=cpu",
        "--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_steps=100000", "--trainer.logger=false",
        f"--trainer.default_root_dir={folder / 'runs'}", "--data.image_size=8", "--data.batch_size=8",
        "--model.generator.width=4", "--model.discriminator.width=4", "--patience.seconds=4", "--budget.kimg=null",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MEETS": end, "RANK_THAT_DOES": str(rank), "SAYS": str(folder)}
    with Path(folder, "output").open("w") as output:
        return subprocess.Popen(
            [sys.executable, *LAUNCHERS[launcher], "-m", "tests.test_ranks_cli", *words],
            cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip


def alive(folder: Path) -> list[int]:
    """Which of the ranks are there; a zombie, whom nobody has waited for, is not."""
    pids = [int(path.suffix[1:]) for path in folder.glob("rank.*")]
    states = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    return [
        pid for pid, stat in states.items() if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "end", "rank"),
    [each for each in product(LAUNCHERS, ENDS, (0, 1)) if each != ("lightning", "stop", 0)],
)
def test_the_job_ends_within_a_minute(launcher: str, end: str, rank: int, tmp_path: Path) -> None:
    """But where its main process is stopped, which Lightning has made rank 0: then the job is."""
    process = job(launcher, end, rank, tmp_path)
    try:
        seconds = time_to_end(process, tmp_path)
    finally:
        for pid in [process.pid] * (process.poll() is None) + alive(tmp_path):
            os.kill(pid, signal.SIGKILL)
    print(f"{launcher}, {end}, rank {rank}: {seconds:.0f} s")
    assert ENDS[end][1] in (tmp_path / "output").read_text()


def time_to_end(process: subprocess.Popen, folder: Path) -> float:
    """Seconds from the moment at which a rank met its end to that at which none was left."""
    deadline = time.monotonic() + 240
    while not (folder / "met").exists():
        assert process.poll() is None, (folder / "output").read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    began = time.monotonic()
    assert process.wait(60) != 0
    while alive(folder):
        assert time.monotonic() < began + 60, alive(folder)
        time.sleep(0.2)
    return time.monotonic() - began


def test_impossible_patience_is_refused() -> None:
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="Patience: seconds must be positive and finite"):
            Patience(seconds)


@pytest.mark.parametrize("launcher", ["lightning", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_two_ranks_are_one_run(launcher: str, tmp_path: Path) -> None:
    words = [
        "fit", "-c", "configs/nsgan.yaml", "-c", "configs/data/digits.yaml", "--trainer.accelerator=cpu",
        "--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_steps=4", "--trainer.log_every_n_steps=2",
        f"--trainer.default_root_dir={tmp_path / 'runs'}", "--data.image_size=8", "--data.batch_size=8",
        "--model.generator.width=4", "--model.discriminator.width=4", "--diagnostics.retrain_d=true",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    command = [sys.executable, *LAUNCHERS[launcher], "train.py", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]

    (run,) = (tmp_path / "runs").iterdir()
    assert len(list(run.glob("wandb/offline-run-*"))) == 1
    assert json.loads((run / "frozen_generator.json").read_text())
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["ranks"], record["result"]["steps"]) == ("finished", 2, 4)
    assert record["result"]["kimg"] == 4 * 2 * 8 / 1000
    rows = [row for row in read_metrics(run / "metrics.jsonl") if "loss/d" in row]
    assert [row["progress/kimg"] for row in rows] == [0.032, 0.064]


def _die() -> None:
    """As `train.py`, but that one rank meets its end after six batches."""
    count = ManualTraining.count

    def counted(gan: ManualTraining, images: int) -> None:
        count(gan, images)
        folder = Path(os.environ["SAYS"])
        (folder / f"rank.{os.getpid()}").touch()
        if gan.steps == 6 and gan.global_rank == int(os.environ["RANK_THAT_DOES"]):
            (folder / "met").touch()
            ENDS[os.environ["MEETS"]][0]()

    ManualTraining.count = counted
    main()


if __name__ == "__main__":
    _die()
