"""Processes that form one group, forked from this one, so that nothing is imported twice."""

import os
import signal
import socket
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def together(function: Callable[[], Any], processes: int = 2, seconds: int = 300) -> list[Any]:
    """What `function` returns in each of some processes, for which any number of Trainers find one group of ranks."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        environment = {
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0", "WORLD_SIZE": str(processes),
        }  # fmt: skip
        ranks = range(processes)
        children = [
            _fork(function, Path(folder, str(rank)), {**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)})
            for rank in ranks
        ]
        signal.alarm(seconds)
        for child in children:
            os.waitpid(child, 0)
        signal.alarm(0)
        told = [torch.load(Path(folder, str(rank)), weights_only=False) for rank in ranks]
    for outcome in told:
        if isinstance(outcome, Failed):
            raise AssertionError(outcome.text)
    return told


class Failed:
    """What a process says that has no result."""

    def __init__(self, text: str) -> None:
        self.text = text


def _fork(function: Callable[[], Any], result: Path, environment: dict[str, str]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        torch.set_num_threads(1)
        os.environ.update(environment)
        if environment["WORLD_SIZE"] != "1":
            torch.distributed.init_process_group("gloo")
        torch.save(function(), result)
    except BaseException:
        torch.save(Failed(traceback.format_exc()), result)
    os._exit(0)
