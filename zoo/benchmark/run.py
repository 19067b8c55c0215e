"""Run a plan: a process a run, so many at a time, until each is finished or has failed too often."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

try:
    import fcntl
except ImportError:  # Windows: a benchmark is not guarded against a second one
    fcntl = None  # type: ignore[assignment]

from zoo.benchmark.plan import PlannedRun
from zoo.run.files import LAST

POLL = 0.1  # seconds between two looks at the processes


def environments(runs: Sequence[PlannedRun], jobs: int | None = None) -> list[dict[str, str]]:
    """Of as many runs as there are at a time: each with its GPU, and its share of the cores as threads.

    Without `jobs`, that is one for each GPU; for each core where there is none, or all runs have the accelerator
    "cpu". A number of threads that the user has set stays.
    """
    gpus = [] if all(run.config["trainer.accelerator"] == "cpu" for run in runs) else _gpus()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = jobs or min(len(gpus) or cores, len(runs))
    common = {"OMP_NUM_THREADS": str(max(1, cores // jobs)), **os.environ, "PYTHONUNBUFFERED": "1"}
    own = [{"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {} for slot in range(jobs)]
    return [common | each for each in own]


@dataclass
class Runner:
    """Runs processes, as many at a time as there are environments.

    A run that ends unfinished is started again, behind the others and from its last checkpoint. SIGINT and SIGTERM
    are passed on as SIGTERM, on which a run saves itself; the second one kills. Runs are in sessions of their own:
    Ctrl-C of a terminal would reach them twice.
    """

    environments: Sequence[dict[str, str]]  # see `environments`
    restarts: int  # of one run in one call, at most
    lock: TextIO  # a file that runs inherit; see `locked`
    report: Callable[[PlannedRun, str, float], None]  # called as a process ends, see `Progress`

    def run(self, runs: Sequence[PlannedRun]) -> bool:
        """Run those that are not finished, to the end; False if a signal came first."""
        waiting = deque(run for run in runs if run.result() is None)
        active: dict[int, tuple[PlannedRun, subprocess.Popen[bytes], float]] = {}  # by slot
        starts: Counter[Path] = Counter()
        passed_on = 0
        with _signals() as signals:
            try:
                while active or (waiting and not signals):
                    for slot in set(range(len(self.environments))) - active.keys():
                        if waiting and not signals:
                            run = waiting.popleft()
                            starts[run.folder] += 1
                            active[slot] = (run, self._start(run, slot), time.monotonic())
                    time.sleep(POLL)
                    if passed_on < len(signals):
                        passed_on = len(signals)
                        for _, process, _ in active.values():
                            process.terminate() if passed_on == 1 else process.kill()
                    for slot in [slot for slot, (_, process, _) in active.items() if process.poll() is not None]:
                        run, _, since = active.pop(slot)
                        again = starts[run.folder] <= self.restarts
                        state = "stopped" if signals else "restarted" if again else "failed"
                        state = state if run.result() is None else "finished"
                        waiting.extend([run] if state == "restarted" else [])
                        self.report(run, state, time.monotonic() - since)
            finally:
                for _, process, _ in active.values():  # none is left, unless an exception came
                    process.terminate()
                    process.wait()
        return not signals

    def _start(self, run: PlannedRun, slot: int) -> subprocess.Popen[bytes]:
        inherited = {"pass_fds": (self.lock.fileno(),)} if os.name == "posix" else {}
        return start(run, env=self.environments[slot], **inherited)


def start(run: PlannedRun, **options: Any) -> subprocess.Popen[bytes]:
    """The run's process, from its last checkpoint if there is one; `options` are those of Popen."""
    for died in (folder for folder in run.tries() if not (folder / LAST).is_file()):
        shutil.rmtree(died)  # its output stays in the log
    run.folder.mkdir(parents=True, exist_ok=True)
    command = run.next_command()
    with run.log.open("a") as log:
        log.write(f"$ {shlex.join(command)}\n")
        log.flush()
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **options
        )


@contextmanager
def locked(out: Path) -> Iterator[TextIO]:
    """Lock a benchmark's folder. Runs that outlive a killed benchmark hold the lock until they end.

    Raises:
        ValueError: another process holds it.
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


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals that came so far, in place of their usual effect."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _gpus() -> list[str]:
    """Values of CUDA_VISIBLE_DEVICES."""
    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
