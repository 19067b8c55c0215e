"""The command line when something goes wrong: full disks, damaged checkpoints, signals, SLURM."""

import errno
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch

from tests.fits import BARE, DIGITS, QUICK, fit, only
from tests.games import same, snapshot
from zoo.__main__ import main as zoo_main
from zoo.cli.main import ZooCLI, main
from zoo.gan import GAN

SAVING = [*QUICK, "--trainer.callbacks=zoo.callbacks.Checkpoints", "--trainer.callbacks.every_kimg=0.064"]  # a batch


def last_line(said: str) -> str:
    """Of what went to stderr; there must be one error."""
    lines = [line for line in said.splitlines() if line]
    assert [line.startswith("error") for line in lines].count(True) == 1, said
    assert "Traceback" not in said
    return lines[-1]


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> ZooCLI:
    """A run that nothing happened to."""
    return fit(*SAVING, f"--trainer.default_root_dir={tmp_path_factory.mktemp('runs')}")


def test_a_full_disk_is_one_line_and_costs_nothing_once_there_is_room(straight, tmp_path, monkeypatch, capsys) -> None:
    fsync, full = os.fsync, [True]

    def fill(descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if full[0] and name.endswith("last.ckpt.part") and len(list(Path(name).parent.glob("previous.ckpt"))):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(SystemExit) as stopped:
        fit(*SAVING, f"--trainer.default_root_dir={tmp_path / 'cut'}")
    assert stopped.value.code == 1
    folder = only(tmp_path / "cut")
    last = folder / "last.ckpt"
    said = last_line(capsys.readouterr().err)
    assert said == (
        f"error: {last}: No space left on device; make room and go on from 0.064 kimg with --ckpt_path {last}"
    )
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["error"]) == ("failed", f"OSError: [Errno 28] No space left on device: '{last}'")
    full[0] = False
    resumed = fit(*SAVING, f"--ckpt_path={last}")
    assert same(snapshot(straight.model), snapshot(resumed.model))
    for a, b in zip(straight.trainer.optimizers, resumed.trainer.optimizers, strict=True):
        for p, q in zip(a.state.values(), b.state.values(), strict=True):
            assert same(p, q)


def test_a_disk_that_was_full_from_the_start_has_nothing_to_go_on_from(tmp_path, monkeypatch, capsys) -> None:
    def fill(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(SystemExit) as stopped:
        fit(*SAVING, f"--trainer.default_root_dir={tmp_path}")
    assert stopped.value.code == 1
    line = last_line(capsys.readouterr().err)
    assert line.startswith(f"error: {tmp_path}/nsgan-")
    assert line.endswith("/config.yaml: Disk quota exceeded; nothing was saved yet")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def damaged(straight: ZooCLI, tmp_path_factory) -> Path:
    """The last checkpoint of a run, with a bit flipped, and the one before it."""
    last = Path(shutil.copytree(straight.run.folder, tmp_path_factory.mktemp("damaged") / "run")) / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 4
    last.write_bytes(content)
    torch.load(last, weights_only=True)  # which is garbage, or not, to whoever does not look
    return last


READERS = {
    "fit": ["fit", *QUICK, "--ckpt_path={last}", "--trainer.default_root_dir={out}"],
    "sample": ["sample", "{last}", "-o", "{out}/grid.png"],
    "evaluate": ["evaluate", "{last}", "-c", DIGITS],
    "export": ["export", "{last}", "{out}/published"],
}


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_checkpoint_is_refused_by_every_command(reader: str, damaged: Path, tmp_path, capsys) -> None:
    """`validate` and `init_from` are in corpus/checkpoints.py."""
    words = [str(word).format(last=damaged, out=tmp_path) for word in READERS[reader]]
    if words[0] == "fit":
        with pytest.raises(SystemExit) as stopped:
            main(words)
        status = stopped.value.code
    else:
        status = zoo_main(words)
    assert status == 2
    said = last_line(capsys.readouterr().err)
    assert f"{damaged} is damaged: its checksum is another; whole beside it: previous.ckpt (0.32 kimg)" in said
    assert not list(tmp_path.iterdir())


SLURM = {
    "SLURM_JOB_ID": "4711", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
    "SLURM_JOB_NAME": "train",
}  # fmt: skip


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """A job, and where its `scontrol` keeps what it was asked."""
    asked = tmp_path / "asked"
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    scontrol.chmod(0o755)
    for name, value in {**SLURM, "PATH": f"{scontrol.parent}:{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    return asked


def signalled(monkeypatch, number: int, step: int) -> None:
    train = GAN.training_step

    def step_and_signal(gan: GAN, *batch: object) -> None:
        if gan.steps == step:
            signal.raise_signal(number)
        train(gan, *batch)

    monkeypatch.setattr(GAN, "training_step", step_and_signal)


def test_sigusr1_requeues_the_job_which_goes_on_by_itself(slurm: Path, straight, tmp_path, monkeypatch) -> None:
    arguments = [*QUICK, BARE, f"--trainer.default_root_dir={tmp_path / 'runs'}"]
    monkeypatch.setattr(sys, "orig_argv", ["python", "train.py", "fit"])
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGUSR1, 2)
        with pytest.raises(SystemExit) as stopped:
            fit(*arguments)
    assert not stopped.value.code
    assert slurm.read_text() == "requeue 4711\n"
    folder = only(tmp_path / "runs")
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["job"], record["result"]["steps"]) == ("interrupted", "4711", 3)
    assert not list(tmp_path.rglob("hpc_ckpt*"))  # Lightning's own, from the middle of a batch

    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    resumed = fit(*arguments)
    assert only(tmp_path / "runs") == folder
    assert same(snapshot(straight.model), snapshot(resumed.model))
    monkeypatch.setattr(sys, "orig_argv", ["python", "train.py", "fit", "--seed_everything=1"])
    fit(*arguments)
    assert len(list((tmp_path / "runs").iterdir())) == 2  # another command in the same job is another run


def test_sigterm_requeues_nothing(slurm: Path, tmp_path, monkeypatch) -> None:
    """Under Lightning's own bar, too, which prints otherwise."""
    signalled(monkeypatch, signal.SIGTERM, 2)
    with pytest.raises(SystemExit) as stopped:
        fit(*QUICK, BARE.replace("]", ",progress]"), f"--trainer.default_root_dir={tmp_path / 'runs'}")
    assert not stopped.value.code
    assert not slurm.exists()
    assert (only(tmp_path / "runs") / "last.ckpt").is_file()


def test_a_requeue_that_is_refused_is_said(slurm: Path, tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "bin" / "scontrol").write_text("#!/bin/sh\necho 'Invalid job id' >&2\nexit 1\n")
    signalled(monkeypatch, signal.SIGUSR2, 2)  # submitit's
    with pytest.raises(SystemExit) as stopped:
        fit(*QUICK, BARE, f"--trainer.default_root_dir={tmp_path / 'runs'}")
    assert stopped.value.code == 1
    last = only(tmp_path / "runs") / "last.ckpt"
    said = last_line(capsys.readouterr().err)
    assert said == f"error: scontrol requeue 4711: Invalid job id; go on with --ckpt_path {last}"
