"""Compare variants: variants × seeds (× draws of a random search) under one budget.

Each run is a process of its own. A failed run is started again; the same command later continues unfinished runs, adds
those of a longer benchmark, and never touches a finished one. Ctrl-C lets the runs save themselves first.
"""

import argparse
from pathlib import Path

from zoo.cli.arguments import positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which benchmark, where to, and on how much of the machine."""
    parser.add_argument("benchmark", help="a name or file of configs/benchmarks/ or configs/sweeps/, as digits")
    parser.add_argument("-o", "--out", type=Path, default=None, help="folder (default: runs/benchmarks/<name>)")
    parser.add_argument("--jobs", type=positive, default=None, help="runs at a time (default: one a GPU, else a core)")
    parser.add_argument("--restarts", type=int, default=2, help="of a run that fails (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands that remain, and run none")


def run(chosen: argparse.Namespace) -> int:
    """Plan, run and summarize; 1 if a run has failed, 130 if the benchmark was stopped."""
    import shlex
    import sys

    from zoo.benchmark.file import read
    from zoo.benchmark.plan import plan
    from zoo.benchmark.report import Progress, best_draws, table
    from zoo.benchmark.run import Runner, environments, locked

    if chosen.restarts < 0:
        raise ValueError(f"--restarts must be at least 0, got {chosen.restarts}")
    benchmark = read(chosen.benchmark)
    out = chosen.out or Path("runs/benchmarks", benchmark.name)
    print(f"Looking at {', '.join(entry.name for entry in benchmark.configs)}", file=sys.stderr)
    runs, data = plan(benchmark, out)
    if chosen.dry_run:
        print("\n".join(shlex.join(run.next_command()) for run in runs if not run.result()))
        return 0
    with locked(out) as lock:
        data.prepare_data()
        slots = environments(runs, chosen.jobs)
        progress = Progress(runs, len(slots))
        if benchmark.budget.flops:
            for variant, kimg in {run.variant: run.config["budget.kimg"] for run in runs}.items():
                print(f"{variant}: {benchmark.budget.flops:.3g} FLOPs are {kimg:g} kimg")
        print(f"{progress.left} of {progress.total} runs, {len(slots)} at a time, in {out}", flush=True)
        complete = Runner(slots, chosen.restarts, lock, progress).run(runs)
    print(table(runs))
    if benchmark.search:
        print(best_draws(runs))
    if not complete:
        print("Stopped; the same command continues.")
        return 130
    print(f"Compare: python -m zoo compare {out} -o {out / 'compare.html'}")
    return 0 if all(run.result() for run in runs) else 1
