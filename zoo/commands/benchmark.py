"""Compare variants by a protocol: variants x seeds (x draws of a random search) under one budget.

A run is a process of its own. What fails is begun again; the same command later goes on with what is unfinished, plays
what a longer protocol has more, and never touches a finished run. Ctrl-C lets the runs save themselves first.
"""

import argparse
from pathlib import Path

from zoo.cli.arguments import positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which protocol, where to, and on how much of the machine."""
    parser.add_argument("protocol", help="a name or file of configs/benchmarks/ or configs/sweeps/, as digits")
    parser.add_argument("-o", "--out", type=Path, default=None, help="folder (default: runs/benchmarks/<name>)")
    parser.add_argument("--jobs", type=positive, default=None, help="runs at a time (default: one a GPU, else a core)")
    parser.add_argument("--restarts", type=int, default=2, help="of a run that fails (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands that remain, and run none")


def run(chosen: argparse.Namespace) -> int:
    """Plan, play and sum up; 1 if a run has failed, 130 if the benchmark was stopped."""
    import shlex
    import sys

    from zoo.benchmark.file import read
    from zoo.benchmark.plan import plan
    from zoo.benchmark.report import Progress, best_draws, table
    from zoo.benchmark.run import Machine, Runner, locked

    if chosen.restarts < 0:
        raise ValueError(f"--restarts must be at least 0, got {chosen.restarts}")
    protocol = read(chosen.protocol)
    out = chosen.out or Path("runs/benchmarks", protocol.name)
    print(f"Looking at {', '.join(contender.name for contender in protocol.contenders)}", file=sys.stderr)
    planned = plan(protocol, out)
    if chosen.dry_run:
        print("\n".join(shlex.join(run.next_command()) for run in planned.runs if not run.finished()))
        return 0
    with locked(out) as lock:
        planned.data.prepare_data()
        machine = Machine.of(planned.runs, chosen.jobs)
        progress = Progress(planned.runs, machine.jobs)
        for variant, kimg in planned.kimg.items():
            print(f"{variant}: {protocol.budget:.3g} FLOPs are {kimg:g} kimg")
        print(f"{progress.left} of {progress.total} runs, {machine.jobs} at a time, in {out}", flush=True)
        whole = Runner(machine, chosen.restarts, lock, progress).play(planned.runs)
    print(table(planned.runs))
    if protocol.search:
        print(best_draws(planned.runs))
    if not whole:
        print("Stopped; the same command goes on.")
        return 130
    print(f"Compare: python -m zoo compare {out} -o {out / 'compare.html'}")
    return 0 if all(run.finished() for run in planned.runs) else 1
