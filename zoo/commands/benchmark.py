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
    cluster = parser.add_argument_group("clusters", "each run is a task; all machines must see the folder")
    add = cluster.add_argument
    add(
        "--engine", choices=("local", "slurm", "ray"), default="local", help="what executes runs (default: %(default)s)"
    )
    add("--write-slurm", type=Path, metavar="FILE", help="write an sbatch script of the runs that remain, and run none")
    add("--engine.cpus", type=positive, metavar="N", help="of a run, and its threads (default: 1)")
    add("--engine.gpus", type=positive, metavar="N", help="of a run (default: none)")
    for name in ("partition", "account", "qos"):
        add(f"--engine.{name}", metavar="NAME", help="of SLURM")
    add("--engine.parallel", type=positive, metavar="N", help="SLURM's tasks at a time, at most")
    add("--engine.minutes", type=positive, metavar="N", help="of a SLURM task, which is requeued then (default: 720)")
    add("--engine.option", action="append", default=[], metavar="NAME=VALUE", help="any other of sbatch, as mem=8G")
    add("--engine.address", metavar="HOST:PORT", help="of a Ray cluster (default: auto, the one of this machine)")


def run(chosen: argparse.Namespace) -> int:
    """Plan, run and summarize; 1 if a run has failed, 130 if the benchmark was stopped."""
    import shlex
    import sys

    from zoo.benchmark.engines import cluster, slurm_script
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
    remaining = [run for run in runs if not run.result()]
    if chosen.dry_run:
        print("\n".join(shlex.join(run.next_command()) for run in remaining))
        return 0
    if chosen.write_slurm and not remaining:
        raise ValueError(f"--write-slurm {chosen.write_slurm}: all runs of {out} are finished")
    if chosen.write_slurm:
        script = slurm_script(remaining, out, chosen)
        data.prepare_data()
        chosen.write_slurm.write_text(script, encoding="utf-8")
        print(f"{len(remaining)} runs: sbatch {chosen.write_slurm}")
        return 0
    with locked(out) as lock:
        data.prepare_data()
        slots = environments(runs, chosen.jobs)
        progress = Progress(runs, len(slots) if chosen.engine == "local" else len(runs))
        engine = cluster(chosen, out, progress) or Runner(slots, chosen.restarts, lock, progress)
        if benchmark.budget.flops:
            for variant, kimg in {run.variant: run.config["budget.kimg"] for run in runs}.items():
                print(f"{variant}: {benchmark.budget.flops:.3g} FLOPs are {kimg:g} kimg")
        where = f"{len(slots)} at a time" if isinstance(engine, Runner) else f"by {chosen.engine}"
        print(f"{progress.left} of {progress.total} runs, {where}, in {out}", flush=True)
        complete = engine.run(runs)
    print(table(runs))
    if benchmark.search:
        print(best_draws(runs))
    if not complete:
        print("Stopped; the same command continues.")
        return 130
    print(f"Compare: python -m zoo compare {out} -o {out / 'compare.html'}")
    return 0 if all(run.result() for run in runs) else 1
