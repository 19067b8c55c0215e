"""Repeat an experiment of the lectures: its numbers, a figure and a JSON.

Without a name it lists the experiments.
"""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which experiment, and how."""
    parser.add_argument("experiment", nargs="?", default=None, help="its name")
    parser.add_argument("--all", action="store_true", help="every experiment, and a page of them beside the folder")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same numbers (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a rough version, in seconds")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("runs/lab"), help="folder to write into (default: %(default)s)"
    )


def run(chosen: argparse.Namespace) -> None:
    """Print what is found, and write it down."""
    from zoo import lab

    if chosen.all and chosen.experiment is not None:
        raise ValueError(f"lab: give either {chosen.experiment} or --all")
    if not chosen.all and chosen.experiment is None:
        names = lab.experiments()
        print("\n".join(f"{name:{max(map(len, names))}}  {lab.summary(name)}" for name in names))
        return
    for name in lab.experiments() if chosen.all else [chosen.experiment]:
        report = lab.perform(name, seed=chosen.seed, quick=chosen.quick)
        print(report, f"\n{lab.save(report, chosen.output)}\n", flush=True)
    if chosen.all:
        beside = chosen.output.with_name(f"{chosen.output.name}.md")
        beside.write_text(lab.page(chosen.output), encoding="utf-8")
        print(beside)
