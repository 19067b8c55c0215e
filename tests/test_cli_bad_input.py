"""Whatever is wrong ends in one line that says what and where, in status 2, and in nothing that looks like a result."""

import builtins
import errno
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from tests.bundles import publish
from tests.corpus import FIT, Case, checkpoints, commands, configurations, images
from tests.processes import typed
from zoo import __main__ as zoo_main
from zoo.cli.help import helped
from zoo.cli.main import ROOT, main

CASES = [*configurations.CASES, *images.CASES, *checkpoints.CASES, *commands.CASES]
IN_PROCESSES = [
    checkpoints.CASES[7],
    *(pytest.param(case, marks=pytest.mark.slow) for case in (
        configurations.FILES[5], configurations.FILES[3], configurations.SECTIONS[12], configurations.OPTIONS[0],
        images.CASES[-1], images.CASES[14], checkpoints.CASES[0], commands.ARGUMENTS[6],
        commands.RUNS[3], *configurations.GUESSES[2:],
    )),
    *configurations.GUESSES[:2],
]  # fmt: skip


@pytest.fixture(scope="session")
def gan(tmp_path_factory) -> Path:
    return publish(tmp_path_factory.mktemp("published") / "gan")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch) -> None:
    """A folder of one's own, no network, and no run of a test before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.delenv("GAN_ZOO_RUN_FOLDER", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", mock.Mock(side_effect=OSError("no network")))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """As a file system mounted read-only is: root, as tests may be, writes wherever permissions forbid it."""

    def guarded(call, writes):
        def guard(path, *args, **kwargs):
            inside = not isinstance(path, int) and Path(os.fsdecode(path)).absolute().is_relative_to(folder)
            if inside and writes(*args, **kwargs):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return call(path, *args, **kwargs)

        return guard

    opens = guarded(io.open, lambda mode="r", *rest, **more: set(mode) & set("wax+"))
    with (
        mock.patch.object(io, "open", opens),
        mock.patch.object(builtins, "open", opens),
        mock.patch.object(os, "open", guarded(os.open, lambda flags, *rest, **more: flags & (os.O_WRONLY | os.O_RDWR))),
        mock.patch.object(os, "mkdir", guarded(os.mkdir, lambda *rest, **more: True)),
    ):
        yield


def status(case: Case, gan: Path) -> object:
    program, *argv = case.argument_list(zoo=ROOT, gan=gan)
    try:
        if program == "zoo":
            return zoo_main.main(argv)
        return 0 if helped(argv) else main(argv)
    except SystemExit as stopped:
        return stopped.code


def left(folder: Path, laid: set[Path]) -> list[Path]:
    """Files that a later command could take for a result: a run that has failed says so itself."""
    new = [path for path in folder.rglob("*") if path.is_file() and path not in laid]
    failed = {
        path.parent for path in new if path.name == "run.json" and json.loads(path.read_text())["status"] == "failed"
    }
    return [path for path in new if not (path.parent in failed and path.name in {"run.json", "config.yaml"})]


def test_there_are_enough() -> None:
    assert len({case.argv + repr(case.files) for case in CASES}) >= 150


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case.slow else case for case in CASES], ids=str
)
def test_a_mistake_is_one_line_and_leaves_nothing(case: Case, gan: Path, tmp_path: Path, capsys) -> None:
    case.lay(tmp_path)
    laid = set(tmp_path.rglob("*"))
    capsys.readouterr()
    with read_only(tmp_path) if case.read_only and "runs" in case.files else read_only(tmp_path / "ro"):
        ended = status(case, gan)
    said = capsys.readouterr()
    told = [line for line in said.err.splitlines() if line.startswith("error")]
    assert ended == 2, said.err[-2000:]
    assert len(told) == 1
    assert said.err.rstrip("\n").endswith(told[0])
    assert told[0].startswith("error: ")
    assert all(word in told[0] for word in case.words), told[0]
    assert "Traceback" not in said.err + said.out
    assert left(tmp_path, laid) == []
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize("case", IN_PROCESSES, ids=str)
def test_so_it_is_in_a_process(case: Case, gan: Path, tmp_path: Path) -> None:
    case.lay(tmp_path)
    laid = set(tmp_path.rglob("*"))
    program, *argv = case.argument_list(zoo=ROOT, gan=gan)
    ended = typed(tmp_path, *(["train.py"] if program == "train" else ["-m", "zoo"]), *argv, fresh=True)
    assert ended.returncode == 2, ended.stderr
    (told,) = [line for line in ended.stderr.splitlines() if line.startswith("error")]
    assert ended.stderr.rstrip("\n").endswith(told)
    assert all(word in told for word in case.words), told
    assert "Traceback" not in ended.stderr
    assert left(tmp_path, laid) == []


def test_images_of_every_kind_are_trained_on(tmp_path: Path, capsys) -> None:
    laid = Case(f"{FIT} --data=ImageFolder --data.root=images --data.channels=1 --data.batch_size=8", (), images.FINE)
    laid.lay(tmp_path)
    cli = main(laid.argument_list(zoo=ROOT)[1:])
    assert sum(len(split.data) for split in cli.datamodule.splits.values()) == len(images.FINE)
    assert cli.model.images == 8
