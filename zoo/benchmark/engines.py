"""Clusters that execute the runs of a benchmark: SLURM, by submitit, and Ray.

An engine has one method, `run(runs)`, as `zoo.benchmark.run.Runner` has for this machine. A task of a cluster is one
run: its own command, in its own folder, which every machine must see under the same path. Queues, retries and the news
of dead machines are the cluster's.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from zoo.benchmark.plan import PlannedRun
from zoo.benchmark.report import reason
from zoo.benchmark.run import start

Report = Callable[[PlannedRun, str, float], None]  # called as a run ends, see `zoo.benchmark.report.Progress`


class Engine(Protocol):
    """Executes runs."""

    def run(self, runs: Sequence[PlannedRun]) -> bool:
        """Run those that are not finished, to the end; False if a signal came first."""


@dataclass(frozen=True)
class Task:
    """One run, to be called on the machine that executes it."""

    run: PlannedRun
    threads: int
    folder: Path = field(default_factory=Path.cwd)  # in which the benchmark was started
    process: list[int] = field(default_factory=list)  # its id, once it has begun

    def __call__(self) -> None:
        """Begin the run, or continue it from its last checkpoint; RuntimeError unless it finishes."""
        if self.run.result() is not None:
            return
        # The job is this task's: the run saves itself on a signal, and leaves the requeueing to the task.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        environment |= {"OMP_NUM_THREADS": str(self.threads), "PYTHONUNBUFFERED": "1"}
        process = start(self.run, env=environment, cwd=self.folder, preexec_fn=_die_with_parent)
        self.process.append(process.pid)
        process.wait()
        if self.run.result() is None:
            raise RuntimeError(f"{self.run.name}: {reason(self.run)} ({self.run.log})")

    def checkpoint(self) -> Any:
        """Save the run; what submitit requeues before the time limit and on preemption."""
        from submitit.helpers import DelayedSubmission

        for process in self.process:
            os.kill(process, signal.SIGTERM)
            os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # Popen's wait holds a lock, and this is its thread
        return DelayedSubmission(replace(self, process=[]))


@dataclass
class Slurm:
    """One array, a task a run. The cluster goes on if this process ends; the next call waits for what is queued."""

    out: Path  # of the benchmark
    restarts: int  # of a run that ends unfinished
    report: Report
    gpus: int = 0
    cpus: int = 1
    minutes: int = 720  # of a task; it saves itself before, and is requeued
    parallel: int | None = None  # tasks at a time, at most
    options: Mapping[str, Any] = field(default_factory=dict)  # more of sbatch's, as partition
    poll: float = 5.0  # seconds between two looks at the queue

    def run(self, runs: Sequence[PlannedRun]) -> bool:
        """See `Engine`; Ctrl-C ends only the waiting."""
        left = [run for run in runs if run.result() is None]
        jobs = {run.folder: job for run in left if (job := _job(run))}
        starts: Counter[Path] = Counter()
        since = time.monotonic()
        try:
            while left:
                queued = _queued()
                ended = [run for run in left if jobs.get(run.folder) not in queued]
                again = []
                for run in ended:
                    finished, tried = run.result() is not None, starts[run.folder]
                    if not finished and tried <= self.restarts:
                        again.append(run)
                    else:
                        left.remove(run)
                    if finished or tried:
                        state = "finished" if finished else "restarted" if run in again else "failed"
                        self.report(run, state, time.monotonic() - since)
                jobs |= self._submit(again)
                starts.update(run.folder for run in again)
                if left:
                    time.sleep(self.poll)
        except KeyboardInterrupt:
            names = sorted({jobs[run.folder].split("_")[0] for run in left if run.folder in jobs})
            print(f"The runs go on in SLURM; scancel {' '.join(names)} ends them.", file=sys.stderr)
            return False
        return True

    def _submit(self, runs: Sequence[PlannedRun]) -> dict[Path, str]:
        if not runs:
            return {}
        from submitit import SlurmExecutor

        executor = SlurmExecutor(self.out.absolute() / "slurm", max_num_timeout=sys.maxsize)
        executor.update_parameters(
            job_name=self.out.name, time=self.minutes, cpus_per_task=self.cpus,
            array_parallelism=min(self.parallel or len(runs), len(runs)), additional_parameters=dict(self.options),
            **({"gpus_per_node": self.gpus} if self.gpus else {}),
        )  # fmt: skip
        with executor.batch():
            jobs = [executor.submit(Task(run, self.cpus)) for run in runs]
        for run, job in zip(runs, jobs, strict=True):
            run.folder.mkdir(parents=True, exist_ok=True)
            (run.folder / "job").write_text(job.job_id, encoding="utf-8")
        return {run.folder: job.job_id for run, job in zip(runs, jobs, strict=True)}


@dataclass
class Ray:
    """A task a run; a task whose machine dies, or that fails, is begun again from its last checkpoint."""

    restarts: int  # of a run that ends unfinished
    report: Report
    address: str = "auto"
    gpus: float = 0
    cpus: float = 1

    def run(self, runs: Sequence[PlannedRun]) -> bool:
        """See `Engine`; Ctrl-C ends the tasks, which save themselves."""
        import ray

        ray.init(address=self.address, log_to_driver=False)
        remote = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=self.restarts, retry_exceptions=True, max_calls=1
        )(_call)
        threads = max(1, int(self.cpus))
        tasks = {remote.remote(Task(run, threads)): run for run in runs if run.result() is None}
        since = time.monotonic()
        try:
            while tasks:
                (done, *_), _ = ray.wait([*tasks])
                run = tasks.pop(done)
                self.report(run, "failed" if run.result() is None else "finished", time.monotonic() - since)
        except KeyboardInterrupt:
            for task in tasks:
                ray.cancel(task)
            return False
        finally:
            ray.shutdown()
        return True


def cluster(chosen: Namespace, out: Path, report: Report) -> Engine | None:
    """The engine of `zoo benchmark`'s options; None for this machine.

    Raises:
        ValueError: an option is another engine's, or the engine is not there.
    """
    given = _options(chosen, chosen.engine)
    if chosen.engine == "local":
        return None
    if chosen.jobs:
        raise ValueError("--jobs is an option of --engine local; the tasks of SLURM at a time are --engine.parallel")
    if find_spec(package := {"slurm": "submitit", "ray": "ray"}[chosen.engine]) is None:
        raise ValueError(f"--engine {chosen.engine} needs {package}: pip install 'gan-zoo[{chosen.engine}]'")
    if chosen.engine == "ray":
        return Ray(chosen.restarts, report, **given)
    if shutil.which("sbatch") is None:
        raise ValueError("--engine slurm: there is no sbatch on this machine; start it where jobs are submitted")
    return Slurm(out, chosen.restarts, report, **given)


def slurm_script(runs: Sequence[PlannedRun], out: Path, chosen: Namespace) -> str:
    """An array script for sites with flags of their own: a task a run, saved and requeued before its time limit.

    Raises:
        ValueError: an option of `zoo benchmark` is another engine's.
    """
    if chosen.engine == "ray":
        raise ValueError("--write-slurm writes a script for SLURM, not for --engine ray")
    given = _options(chosen, "slurm")
    parallel, gpus = given.get("parallel"), given.get("gpus")
    flags = {
        "job-name": out.name, "array": f"0-{len(runs) - 1}{f'%{parallel}' if parallel else ''}",
        "cpus-per-task": given.get("cpus", 1), "time": given.get("minutes", Slurm.minutes),
        **({"gpus-per-node": gpus} if gpus else {}), "signal": "B:USR1@120", "output": "/dev/null", **given["options"],
    }  # fmt: skip
    head = "\n".join(f"#SBATCH --{name}={value}" for name, value in flags.items())
    quoted = [(shlex.quote(str(run.folder)), shlex.quote(str(run.log)), shlex.join(run.next_command())) for run in runs]
    tasks = "\n".join(
        f"  {i}) mkdir -p {folder}; exec {command} >> {log} 2>&1 ;;" for i, (folder, log, command) in enumerate(quoted)
    )
    return f"""#!/bin/bash
{head}
#SBATCH --requeue
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
cd {shlex.quote(str(Path.cwd()))}
case $SLURM_ARRAY_TASK_ID in
{tasks}
esac
"""


def _options(chosen: Namespace, engine: str) -> dict[str, Any]:
    """The `--engine.` options that were given, as this engine's class takes them."""
    known: dict[str, tuple[str, ...]] = {
        "local": (), "ray": ("cpus", "gpus", "address"),
        "slurm": ("cpus", "gpus", "partition", "account", "qos", "parallel", "minutes", "option"),
    }  # fmt: skip
    given = {name.removeprefix("engine."): value for name, value in vars(chosen).items() if name.startswith("engine.")}
    given = {name: value for name, value in given.items() if value not in (None, [])}
    for name in given:
        if name not in known[engine]:
            engines = [other for other in known if name in known[other]]
            raise ValueError(f"--engine.{name} is an option of --engine {' and '.join(engines)}, not of {engine}")
    if engine == "slurm":
        options = {name: given.pop(name) for name in ("partition", "account", "qos") if name in given}
        for text in given.pop("option", []):
            name, equal, value = text.partition("=")
            if not equal:
                raise ValueError(f"--engine.option {text}: write NAME=VALUE, as mem=8G")
            options[name] = value
        given["options"] = options
    return given


def _call(task: Task) -> None:
    task()


def _job(run: PlannedRun) -> str | None:
    """The SLURM job to which a run was given last."""
    path = run.folder / "job"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _queued() -> set[str]:
    """The user's jobs that wait or run; a task of an array as "<array>_<task>"."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    while True:
        try:
            return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        except subprocess.CalledProcessError as error:
            print(f"squeue: {error.stderr.strip()}; asking again in a minute", file=sys.stderr)
            time.sleep(60)


def _die_with_parent() -> None:
    """SIGTERM for this process when its parent dies, as the worker of a cluster may (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
