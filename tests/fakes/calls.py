"""Calls in processes of their own, as W&B's client needs them: it keeps credentials for a whole process.

All are forks of one process that has made the imports, so that a call costs no more than it does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent.parent
_SECONDS = 100  # for one call


@dataclass(frozen=True)
class Outcome:
    """What came of a call."""

    value: Any  # as JSON can hold it, anything else as text
    error: str  # of a ValueError; empty if there was none
    output: str  # to stdout and stderr


class Calls:
    """Calls functions by their paths, with the environment `environment` and what a call adds to it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.fakes.calls"]
        environment = {**os.environ, **self.environment, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment, text=True
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def __call__(
        self, function: str, *arguments: Any, env: Mapping[str, str | None] | None = None, **kw: Any
    ) -> Outcome:
        """`env` adds variables, or with None takes them away."""
        told = {"function": function, "arguments": arguments, "keywords": kw, "environment": dict(env or {})}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told, default=str) + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))


def _serve() -> None:
    import wandb  # noqa: F401

    import zoo  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(_forked(json.loads(line))), flush=True)
    os._exit(0)  # there is nothing to tidy up, and it takes long


def _forked(told: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as result:
        child = os.fork()
        if child == 0:
            signal.alarm(_SECONDS)
            for number in (1, 2):
                os.dup2(output.fileno(), number)
            json.dump(_outcome(told), result, default=str)
            result.flush()
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        for file in (output, result):
            file.seek(0)
        return {**json.loads(result.read()), "output": output.read()}


def _silence() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)


def _outcome(told: dict[str, Any]) -> dict[str, Any]:
    import wandb

    for name, value in told["environment"].items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    module, _, name = told["function"].rpartition(".")
    try:
        value = getattr(import_module(module), name)(*told["arguments"], **told["keywords"])
    except ValueError as error:
        return {"value": None, "error": str(error)}
    finally:
        _silence()  # what the client says while it is torn down is not the call's
        wandb.teardown()
    return {"value": value, "error": ""}


if __name__ == "__main__":
    _serve()
