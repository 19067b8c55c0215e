"""Processes forked from this one, so that nothing is imported twice: ranks of a group, and commands as typed."""

import atexit
import importlib
import logging
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from zoo.cli.main import ROOT


def together(function: Callable[[], Any], processes: int = 2, seconds: int = 300) -> list[Any]:
    """What `function` returns in each of some processes, for which any number of Trainers find one group of ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0", "WORLD_SIZE": str(processes)}
    ranks = [{**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    return apart(function, *ranks, seconds=seconds)


def apart(function: Callable[[], Any], *environments: Mapping[str, str], seconds: int = 300) -> list[Any]:
    """What `function` returns in a process for each of these environments, all at once."""
    with tempfile.TemporaryDirectory() as folder:
        results = [Path(folder, str(i)) for i in range(len(environments))]
        children = [_fork(function, *child) for child in zip(results, environments, strict=True)]
        signal.alarm(seconds)
        for child in children:
            os.waitpid(child, 0)
        signal.alarm(0)
        found = [torch.load(result, weights_only=False) for result in results]
    for outcome in found:
        if isinstance(outcome, Failed):
            raise AssertionError(outcome.text)
    return found


class Failed:
    """The traceback of a process that has no result."""

    def __init__(self, text: str) -> None:
        self.text = text


def _fork(function: Callable[[], Any], result: Path, environment: Mapping[str, str]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        torch.set_num_threads(1)
        os.environ.update(environment)
        if environment.get("WORLD_SIZE", "1") != "1":
            torch.distributed.init_process_group("gloo")
        torch.save(function(), result)
    except BaseException:
        torch.save(Failed(traceback.format_exc()), result)
    os._exit(0)


def typed(
    folder: Path, *words: object, fresh: bool = False, seconds: int = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A user's `python train.py ...`, `python -m zoo ...` or `python -c ...` in a folder, without an account of W&B.

    The process is new but for its imports, which take it 8 s where it is `fresh`. `train.py` is the checkout's.
    """
    if fresh:
        command = [str(ROOT / word) if word == "train.py" else str(word) for word in (sys.executable, *words)]
        environment = {**os.environ, "WANDB_MODE": "offline", "PYTHONPATH": f"{ROOT}:{folder}", **environment}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds)
    with tempfile.TemporaryDirectory() as place:
        output = [Path(place, name) for name in ("out", "err")]
        status = ended(begun(folder, *words, output=output, seconds=seconds, **environment))
        said = [path.read_text(errors="replace") for path in output]
    return subprocess.CompletedProcess(words, status, *said)


def begun(folder: Path, *words: object, output: Sequence[Path], seconds: int = 600, **environment: str) -> int:
    """The id of a process of `typed` that is not waited for; its stdout and stderr are appended to `output`."""
    child = os.fork()
    if not child:
        status = 1
        try:
            torch.set_num_threads(1)
            status = _play(folder, [str(word) for word in words], output, environment, seconds)
        finally:
            os._exit(status)
    return child


def ended(child: int) -> int:
    """The exit status of what has `begun`; -9 where it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _play(folder: Path, words: list[str], output: Sequence[Path], environment: Mapping[str, str], seconds: int) -> int:
    """The exit status; what this process had open, registered or caught as pytest's is not the child's."""
    atexit._clear()
    signal.alarm(seconds)
    importlib.reload(warnings)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(output, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode, closefd=False) for n, mode in enumerate("rww"))
    logging.getLogger().handlers.clear()
    for handler in filter(None, (made() for made in logging._handlerList)):
        if "stream" in vars(handler):  # setStream would flush the old one, which may be closed
            handler.stream = sys.stderr
    tempfile.tempdir = None
    os.chdir(folder)
    os.environ.update({"WANDB_MODE": "offline", **environment})
    sys.path.insert(0, str(folder))
    sys.orig_argv = [sys.executable, *words]
    status = 0
    try:
        _main(words)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    with suppress(BaseException):
        atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _main(words: list[str]) -> None:
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.modules.pop(f"{words[1]}.__main__", None)
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(words[1], {"__name__": "__main__"})
    else:
        sys.argv = words
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")
