"""Runs of `train.py` in processes of their own, to be killed: forks of one process that has made the imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from zoo.cli.main import ROOT

_SECONDS = 600  # for one run


class Victims:
    """Starts runs; the process ids are those of the runs themselves."""

    def __enter__(self) -> Self:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.victims"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
            env=environment, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        self._server.communicate()

    def start(self, *words: object, output: Path, env: Mapping[str, str] | None = None) -> int:
        """Begin `train.py` with these words; what it says goes to the end of `output`."""
        return self._ask(words=[str(word) for word in words], output=str(output), env=dict(env or {}))

    def wait(self, run: int) -> int:
        """The exit status; -9 for a run that was killed."""
        return self._ask(wait=run)

    def _ask(self, **told: Any) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(told) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


def _serve() -> None:
    import torch  # noqa: F401

    import zoo.cli.main  # noqa: F401

    for line in sys.stdin:
        told = json.loads(line)
        if "wait" in told:
            answer = os.waitstatus_to_exitcode(os.waitpid(told["wait"], 0)[1])
        else:
            answer = os.fork() or _run(**told)
        print(answer, flush=True)
    os._exit(0)


def _run(words: list[str], output: str, env: dict[str, str]) -> int:
    from zoo.cli.main import main

    signal.alarm(_SECONDS)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(env)
    sys.argv = ["train.py", *words]
    sys.orig_argv = ["python", *sys.argv]
    status = 1
    try:
        main()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve()
