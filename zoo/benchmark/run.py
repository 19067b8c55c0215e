"""Plays a plan: a process a run, so many at a time, until each is finished or has failed too often."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch

try:
    import fcntl
except ImportError:  # Windows: a benchmark is not guarded against a second one
    fcntl = None  # type: ignore[assignment]

from zoo.benchmark.plan import Planned

TICK = 0.1  # seconds between two looks at the processes


@dataclass(frozen=True)
class Machine:
    """How many runs it takes at a time, and what each of them gets."""

    jobs: int
    threads: int  # of each run
    gpus: tuple[str, ...] = ()

    @classmethod
    def of(cls, runs: Sequence[Planned], jobs: int | None = None) -> Machine:
        """This one: a run for each GPU, or where there is none, or a run is told not to use it, for each core."""
        on_cpu = all(run.config["trainer"]["accelerator"] == "cpu" for run in runs)
        gpus = () if on_cpu else _gpus()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        jobs = jobs or min(len(gpus) or cores, len(runs))
        return cls(jobs, max(1, cores // jobs), gpus)

    def environment(self, slot: int) -> dict[str, str]:
        """Of the run in a slot, from 0. A number of threads that the user has set stays."""
        mine = {"OMP_NUM_THREADS": str(self.threads), **os.environ, "PYTHONUNBUFFERED": "1"}
        return mine | ({"CUDA_VISIBLE_DEVICES": self.gpus[slot % len(self.gpus)]} if self.gpus else {})


@dataclass
class Runner:
    """Plays runs and says how it goes.

    A run that ends without a finished `run.json` is begun again behind the others, from its last checkpoint if it has
    one, `restarts` times. SIGINT and SIGTERM are passed on, once, as SIGTERM, on which a run saves itself; a second
    one kills. Runs are in sessions of their own, so that a terminal's Ctrl-C does not reach them twice.

    Args:
        machine: what there is.
        restarts: of one run, in one call.
        lock: an open file that runs inherit; see :func:`locked`.
        heard: called with the run, "finished", "restarted", "failed" or "stopped", and its seconds in this call.
    """

    machine: Machine
    restarts: int
    lock: TextIO
    heard: Callable[[Planned, str, float], None]
    _active: dict[int, tuple[Planned, subprocess.Popen[bytes], float]] = field(default_factory=dict)
    _signals: int = 0

    def play(self, runs: Sequence[Planned]) -> bool:
        """Until all is done; False if a signal came between. No run is played that is finished."""
        waiting = deque(run for run in runs if not run.finished())
        begun: Counter[Path] = Counter()
        told = 0
        with self._listening():
            while self._active or (waiting and not self._signals):
                for slot in range(self.machine.jobs):
                    if waiting and slot not in self._active and not self._signals:
                        run = waiting.popleft()
                        begun[run.folder] += 1
                        self._active[slot] = (run, self._begin(run, slot), time.monotonic())
                time.sleep(TICK)
                if told < self._signals:
                    told = self._signals
                    for _, process, _ in self._active.values():
                        process.terminate() if told == 1 else process.kill()
                for run, since in self._ended():
                    state = self._state(run, begun[run.folder])
                    if state == "restarted":
                        waiting.append(run)
                    self.heard(run, state, time.monotonic() - since)
        return not self._signals

    def _begin(self, run: Planned, slot: int) -> subprocess.Popen[bytes]:
        run.clear()
        run.folder.mkdir(parents=True, exist_ok=True)
        command = run.next_command()
        inherited: Any = {"pass_fds": (self.lock.fileno(),)} if os.name == "posix" else {}
        with run.log.open("a") as log:
            log.write(f"$ {shlex.join(command)}\n")
            log.flush()
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=self.machine.environment(slot), **inherited,
            )  # fmt: skip

    def _ended(self) -> list[tuple[Planned, float]]:
        done = [slot for slot, (_, process, _) in self._active.items() if process.poll() is not None]
        return [(run, since) for run, _, since in map(self._active.pop, done)]

    def _state(self, run: Planned, begun: int) -> str:
        if run.finished():
            return "finished"
        if self._signals:
            return "stopped"
        return "restarted" if begun <= self.restarts else "failed"

    @contextmanager
    def _listening(self) -> Iterator[None]:
        def hear(*_: Any) -> None:
            self._signals += 1

        before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for _, process, _ in self._active.values():  # none is left, unless an exception came
                process.terminate()
                process.wait()
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def locked(out: Path) -> Iterator[TextIO]:
    """Have a benchmark's folder to oneself. Runs that outlive a killed benchmark hold the lock until they end.

    Raises:
        ValueError: somebody else has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("w", encoding="utf-8") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{out}: another benchmark is at work there, or runs that outlived one are; wait for them, or end them"
            ) from None
        yield file


def _gpus() -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES can be set to."""
    if not torch.cuda.is_available():
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(visible.split(",")) if visible else tuple(map(str, range(torch.cuda.device_count())))
