"""Real runs that are killed, told to stop, or left without a disk."""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.games import same
from tests.processes import begun, ended
from zoo.cli.main import ROOT
from zoo.run import files
from zoo.run.records import read_metrics

CONFIGS = ROOT / "configs"
BATCH, EVERY = 0.016, 0.1  # kimg: a checkpoint every 6 or 7 batches
TINY = [
    "fit", "-c", CONFIGS / "nsgan.yaml", "-c", CONFIGS / "data/ring.yaml", "--data.samples=256",
    f"--data.batch_size={BATCH * 1000:.0f}", "--model.generator.width=16", "--model.discriminator.width=16",
    "--budget.kimg=1000000", "--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false", "--trainer.callbacks=zoo.callbacks.Checkpoints",
    f"--trainer.callbacks.every_kimg={EVERY}",
]  # fmt: skip


def start(*words: object, output: Path, **environment: str) -> int:
    """The id of the process of a `train.py` with these words."""
    return begun(ROOT, "train.py", *words, output=[output, output], **environment)


def until(condition: Callable[[], object], said: Path, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.001)


def folder_of(root: Path) -> Path:
    (folder,) = root.iterdir()
    return folder


def first_save(root: Path, said: Path) -> Path:
    """The folder of the one run below `root`, once there is something in it to go on from."""
    until(lambda: list(root.glob("*/last.ckpt")), said)
    return folder_of(root)


def parts(folder: Path) -> list[Path]:
    return list(folder.glob("*.part"))


@pytest.mark.slow
def test_a_hundred_kills_cost_no_more_than_is_said_and_change_nothing(tmp_path: Path) -> None:
    draw = random.Random(0)
    words = [*TINY, f"--trainer.default_root_dir={tmp_path / 'runs'}"]
    output = tmp_path / "said"
    run = start(*words, output=output)
    folder = first_save(tmp_path / "runs", output)
    last = folder / "last.ckpt"
    lost, inside, kimg = [], 0, 0.0
    for kill in range(100):
        if kill:
            was = last.stat().st_ino
            run = start(*words, f"--ckpt_path={last}", output=output)
            if kill % 5:  # every fifth may die before it has trained
                until(lambda was=was: last.stat().st_ino != was, output)
        time.sleep(draw.uniform(0, 0.5))
        if kill % 2:
            until(lambda: parts(folder), output)
        os.kill(run, signal.SIGKILL)
        assert ended(run) == -signal.SIGKILL, output.read_text()
        inside += bool(parts(folder))
        before, kimg = kimg, files.read(last)["game"]["images"] / 1000
        assert kimg >= before
        recorded = read_metrics(folder / "metrics.jsonl")[-1]["progress/kimg"]
        lost.append(recorded - kimg)
        assert lost[-1] <= EVERY + BATCH + 1e-9
    print(f"\n{inside} of 100 kills inside a save; lost at most {max(lost):.3f} kimg; {kimg:g} kimg in the end")
    assert inside >= 10
    assert max(lost) > 0

    steps = files.read(last)["game"]["steps"] + 20
    limit = f"--trainer.max_steps={steps}"
    assert ended(start(*words, limit, f"--ckpt_path={last}", output=output)) == 0, output.read_text()
    assert not parts(folder)
    straight = [*TINY, limit, f"--trainer.default_root_dir={tmp_path / 'straight'}"]
    assert ended(start(*straight, output=tmp_path / "straight-said")) == 0
    theirs, ours = (files.read(f / "last.ckpt") for f in (folder_of(tmp_path / "straight"), folder))
    assert same(theirs["state_dict"], ours["state_dict"])
    for a, b in zip(theirs["optimizer_states"], ours["optimizer_states"], strict=True):
        assert all(same(a["state"][key], b["state"][key]) for key in a["state"])
    kimg = [row["progress/kimg"] for row in read_metrics(folder / "metrics.jsonl")]
    assert kimg == pytest.approx([BATCH * n for n in range(1, steps + 1)])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_real_signal_saves_and_is_status_0(number: signal.Signals, tmp_path: Path) -> None:
    """Also in the middle of a save, and twice."""
    output = tmp_path / "said"
    run = start(*TINY, f"--trainer.default_root_dir={tmp_path / 'runs'}", output=output)
    folder = first_save(tmp_path / "runs", output)
    until(lambda: parts(folder), output)
    os.kill(run, number)
    os.kill(run, number)
    assert ended(run) == 0, output.read_text()
    assert "Traceback" not in output.read_text()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "interrupted"
    game = files.read(folder / "last.ckpt")["game"]
    assert game["steps"] == record["result"]["steps"]
    assert read_metrics(folder / "metrics.jsonl")[-1]["progress/kimg"] == game["images"] / 1000
    assert not parts(folder)


def alive(process: int) -> bool:
    """Whether it is there and no zombie, which nobody may have reaped."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


RANKS = ["--trainer.devices=2", "--trainer.strategy=ddp"]
LAUNCHERS = {
    "lightning": ([], [0]),  # the first rank is told, which has started the other
    "torchrun": (["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"], [0, 1]),
}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_all_ranks_stop_after_the_same_batch(launcher: str, number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of the terminal, the launcher's too."""
    words, told = LAUNCHERS[launcher]
    command = [sys.executable, *words, "train.py", *map(str, TINY), *RANKS]
    command += [f"--trainer.default_root_dir={tmp_path / 'runs'}"]
    with (tmp_path / "said").open("w") as said:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        job = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, env=environment, start_new_session=True)
    ranks = [job.pid]
    try:
        folder = first_save(tmp_path / "runs", tmp_path / "said")
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        ranks += map(int, children)
        players = ranks if launcher == "lightning" else ranks[1:]
        if number == signal.SIGINT:
            os.killpg(job.pid, number)
        else:
            for rank in told:
                os.kill(players[rank], number)
        assert job.wait(timeout=100) == (number == signal.SIGINT), (tmp_path / "said").read_text()
        until(lambda: not any(map(alive, ranks)), tmp_path / "said", 30)
    finally:
        for process in ranks:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    record = json.loads((folder / "run.json").read_text())
    game = files.read(folder / "last.ckpt")["game"]
    assert (record["status"], record["ranks"], record["result"]["steps"]) == ("interrupted", 2, game["steps"])
    assert game["steps"] % 10 == 0


MOMENTS = ("batch", "save", "evaluation", "end of an epoch")
LISTEN = [w for w in TINY if not str(w).startswith("--trainer.callbacks")]


def told(number: signal.Signals, moment: str, tmp_path: Path) -> tuple[list[str], dict[str, str], Path]:
    """The words and variables of a fit that `tests.told` stops, and where its output goes."""
    words = [*LISTEN, "--trainer.callbacks+=tests.told.Told", f"--trainer.default_root_dir={tmp_path / 'runs'}"]
    words += ["--checkpoints.every_kimg=0.08", "--quality.every_kimg=0.16", "--quality.n=64"]
    return list(map(str, words)), {"TOLD": f"{number.value} {moment}"}, tmp_path / "output"


def check_stopped(root: Path, output: Path, moment: str, every: int) -> None:
    """All is saved after one batch, soon after the signal."""
    folder, text = folder_of(root), output.read_text()
    record, game = json.loads((folder / "run.json").read_text()), files.read(folder / "last.ckpt")["game"]
    assert f"told in the {moment}" in text
    assert (record["status"], record["result"]["steps"]) == ("interrupted", game["steps"]), text
    assert read_metrics(folder / "metrics.jsonl")[-1]["progress/kimg"] == game["images"] / 1000
    assert game["steps"] % every == 0
    assert game["steps"] <= 60
    assert not parts(folder)


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_a_signal_at_any_moment_saves(number: signal.Signals, moment: str, tmp_path: Path) -> None:
    words, environment, output = told(number, moment, tmp_path)
    status = ended(start(*words, output=output, **environment))
    assert (status != 0) == (number == signal.SIGINT), output.read_text()
    check_stopped(tmp_path / "runs", output, moment, 1)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_signal_at_any_moment_stops_all_ranks(
    launcher: str, number: signal.Signals, moment: str, tmp_path: Path
) -> None:
    """Rank 0 is told, and Ctrl-C reaches all processes of the terminal."""
    words, environment, output = told(number, moment, tmp_path)
    command = [sys.executable, *LAUNCHERS[launcher][0], "train.py", *words, *RANKS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    with output.open("w") as said:
        job = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, env=environment, start_new_session=True)
    try:
        status = job.wait(timeout=600)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
    assert (status != 0) == (number == signal.SIGINT), output.read_text()
    check_stopped(tmp_path / "runs", output, moment, 10)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with room for a few checkpoints."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up(small_disk: Path, tmp_path: Path) -> None:
    output = tmp_path / "said"
    words = [*TINY, f"--trainer.default_root_dir={small_disk}"]
    run = start(*words, output=output)
    folder = first_save(small_disk, output)
    with (folder / "other").open("wb", buffering=0) as other, suppress(OSError):
        while True:
            other.write(bytes(4096))
    assert ended(run) == 1
    errors = [line for line in output.read_text().splitlines() if "rror" in line]
    kimg = files.read(folder / "last.ckpt")["game"]["images"] / 1000
    assert len(errors) == 1, output.read_text()
    assert errors[0].startswith(f"error: {folder}")
    assert errors[0].endswith(
        f"No space left on device; make room and go on from {kimg:g} kimg with --ckpt_path {folder / 'last.ckpt'}"
    )
    (folder / "other").unlink()
    again = start(*words, f"--ckpt_path={folder / 'last.ckpt'}", "--trainer.max_steps=200", output=output)
    assert ended(again) == 0, output.read_text()
    rows = read_metrics(folder / "metrics.jsonl")
    assert [row["progress/kimg"] for row in rows] == pytest.approx([BATCH * n for n in range(1, 201)])


# Checkpoint files: whole or refused, whatever happens to their bytes.


CHECKPOINT = {
    "game": {"images": 2500},
    "state_dict": {"a": torch.arange(300.0), "b": torch.zeros(7, dtype=torch.int64)},
    "words": ["x", 1, 2.5, None],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    files.write(CHECKPOINT, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_what_was_written_comes_back(path: Path) -> None:
    for made in (files.read(path), torch.load(path, weights_only=True), torch.load(path, mmap=True)):
        assert made.keys() == CHECKPOINT.keys()
        assert made["words"] == CHECKPOINT["words"]
        assert all(torch.equal(value, CHECKPOINT["state_dict"][key]) for key, value in made["state_dict"].items())
    assert zipfile.ZipFile(path).testzip() is None
    assert list(path.parent.iterdir()) == [path]


def test_the_checksum_is_the_sha256_of_all_before_it(path: Path) -> None:
    """Worked out by another program."""
    *_, told = path.read_bytes().rpartition(b"sha256 ")
    whole = path.with_name("x")
    whole.write_bytes(path.read_bytes()[: -len(b"sha256 " + told)])
    assert os.popen(f"sha256sum {whole}").read().split()[0].encode() == told


def damaged(whole: bytes, times: int, kind: str) -> Iterator[bytes]:
    """Flips of one bit and cuts, at random places and at all near the end, where the checksum is."""
    draw = random.Random(0)
    near = list(range(len(whole) - 120, len(whole)))
    for place in [*near, *(draw.randrange(len(whole)) for _ in range(times))]:
        if kind == "cut":
            yield whole[:place]
        else:
            flipped = bytearray(whole)
            flipped[place] ^= 1 << draw.randrange(8)
            yield bytes(flipped)


@pytest.mark.parametrize("times", [200, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["flip", "cut"])
def test_a_damaged_file_is_refused_in_one_line(path: Path, kind: str, times: int) -> None:
    for content in damaged(path.read_bytes(), times, kind):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(str(path))) as refused:
            files.read(path)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["flip", "cut"])
def test_lightnings_own_file_is_read_and_its_tensors_are_checked(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "theirs.ckpt"
    torch.save(CHECKPOINT, path)
    whole = path.read_bytes()
    assert files.read(path)["words"] == CHECKPOINT["words"]
    for content in damaged(whole, 100, kind):
        path.write_bytes(content)
        with suppress(ValueError):
            made = files.read(path)
            assert kind == "flip"  # of what neither zip nor torch reads
            assert made["words"] == CHECKPOINT["words"]
            assert all(torch.equal(v, CHECKPOINT["state_dict"][k]) for k, v in made["state_dict"].items())


def test_a_flip_in_a_tensor_of_lightnings_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "theirs.ckpt"
    torch.save(CHECKPOINT, path)
    whole = path.read_bytes()
    number = torch.arange(300.0)[299].numpy().tobytes()
    path.write_bytes(whole.replace(number, number[:-1] + b"\x42"))
    torch.load(path, weights_only=True)  # which torch loads as garbage
    with pytest.raises(ValueError, match=r"checksum of its record theirs/data/0"):
        files.read(path)


def test_a_squeezed_archive_is_refused_unread(path: Path) -> None:
    """A kilobyte of it may be a gigabyte."""
    with zipfile.ZipFile(path.with_name("x.ckpt"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(1 << 20))
    with pytest.raises(ValueError, match=r"x.ckpt is no checkpoint: it is compressed"):
        files.read(path.with_name("x.ckpt"))


def test_the_whole_ones_beside_it_are_named(path: Path) -> None:
    shutil.copy(path, path.with_name("best.ckpt"))
    files.write({**CHECKPOINT, "game": {"images": 12000}}, path.with_name("previous.ckpt"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"; whole beside it: previous.ckpt \(12 kimg\) and best.ckpt \(2.5 kimg\)$"):
        files.read(path)
    path.with_name("previous.ckpt").write_bytes(b"")
    path.unlink()
    with pytest.raises(ValueError, match=r"no checkpoint at .*; whole beside it: best.ckpt \(2.5 kimg\)$"):
        files.read(path)


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(
    path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = path.read_bytes()
    if call == "write":
        limited = path.with_name("last.ckpt.part")
        limited.symlink_to("/dev/full")
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left on device") as failed:
        files.write({**CHECKPOINT, "more": torch.zeros(1 << 16)}, path)
    assert failed.value.filename == str(path)
    assert failed.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_file_is_on_the_disk_before_it_has_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut leaves a name without bytes; and the folder after it, else it leaves the old name."""
    done: list[str] = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def watch(*arguments: Any, name: str = name, original: Any = original) -> None:
            kind = ""
            if name == "fsync":
                kind = " folder" if os.path.isdir(f"/proc/self/fd/{arguments[0]}") else " file"
                if kind == " file":
                    assert os.fstat(arguments[0]).st_size == len(path.read_bytes())
            done.append(name + kind)
            original(*arguments)

        monkeypatch.setattr(os, name, watch)
    files.write(CHECKPOINT, path)
    assert done == ["fsync file", "replace", "fsync folder"]
