"""What a step costs: the zoo inside `Trainer.fit`, a bare loop of the same mathematics, and other libraries.

python -m benchmarks.step [--variant NAME ...] [--backbone dcgan|resnet|mlp] [--peer-python PATH] [--fit STEPS]
                          [--memory] [--json FILE], and sizes; README.md tells how to read it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from lightning.pytorch import Trainer

from benchmarks.fitting import Counting, Duel, Noise, quietly, trainer_for
from benchmarks.flops import Cost
from benchmarks.loops import LOOPS, Deal, Loop
from benchmarks.machine import clock, facts, peaks, pin
from benchmarks.memory import peak_memory
from benchmarks.peers import KNOWN, Peer
from benchmarks.setting import ENERGIES, Precision, Setting
from benchmarks.statistics import Summary, summary

Row = dict[str, Any]


def main() -> None:
    """Measure what is asked for, and print it as it comes."""
    told = arguments()
    pin(told.threads)
    device = torch.device(told.device)
    machine = facts(device)
    print(", ".join(f"{k} {v}" for k, v in machine.items() if v is not None))
    how = told.precision + (", compiled" if told.compile else "")
    print(
        f"{told.backbone}, batch {told.batch}; {how}; W&B {'offline' if told.wandb else 'off'}; medians [95 % interval]"
    )
    peak = 0.0
    if told.backbone != "mlp":
        rates = peaks(told.batch, told.width or 64, told.size, device, told.peak_seconds)
        for name, rate in rates.items():
            print(f"  {rate / 1e9:8.1f} GFLOP/s  {name}")
        peak = max(rate for name, rate in rates.items() if name.startswith("conv"))
    rows = []
    for variant in told.variant or [v for v in LOOPS if told.backbone != "mlp" or v not in ENERGIES]:
        setting = Setting(variant, told.backbone, told.width, told.size, told.batch, told.precision, told.compile)
        row = {"variant": variant, **measure(setting, told, device, peak)}
        rows.append(row)
        show(row)
    if told.json:
        Path(told.json).write_text(json.dumps({"machine": machine, "told": vars(told), "rows": rows}, indent=1))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step")
    add = parser.add_argument
    add("--variant", nargs="+", choices=list(LOOPS), help="all if left out")
    add("--backbone", choices=("dcgan", "resnet", "mlp"), default="dcgan")
    add("--width", type=int, help="of every network: 64, or the ring's own")
    add("--size", type=int, default=32, help="pixels a side")
    add("--batch", type=int, default=64)
    add("--pairs", type=int, default=15, help="windows of each side, in turn")
    add("--steps", type=int, help="in a window, a multiple of d_steps; about a second if left out")
    add("--precision", choices=get_args(Precision), default="32-true", help="of both sides")
    add("--compile", action="store_true", help="both sides' networks")
    add("--threads", type=int, default=1)
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--peak-seconds", type=float, default=0.5, help="to try each kernel for")
    add("--peer-python", help="an interpreter that has torchgan and torch-mimicry")
    add("--fit", type=int, default=0, metavar="STEPS", help="also time a whole fit of so many steps")
    add("--memory", action="store_true", help="also the peak memory of fresh processes")
    add("--wandb", action="store_true", help="log to an offline run too")
    add("--json", help="file for all numbers")
    return parser.parse_args()


def measure(setting: Setting, told: argparse.Namespace, device: torch.device, peak: float) -> Row:
    """One variant."""
    zoo_cost, bare_cost = costs(replace(setting, compile=False), device)
    loop = setting.loop(device=device)
    batches = iter(Deal(setting.data(), setting.batch, device))

    def bare(steps: int) -> float:
        began = clock(device)
        for _ in range(steps):
            with setting.autocast(device):
                loop.step(next(batches))
        return clock(device) - began

    rivals: dict[str, Callable[[int], float]] = {"bare": bare}
    peers, refused = find_peers(setting, told)
    rivals |= {name: peer.play for name, peer in peers.items()}
    bare(2 * setting.d_steps)
    steps = told.steps or setting.d_steps * max(1, round(setting.d_steps / bare(setting.d_steps) / setting.d_steps))
    if steps % setting.d_steps:
        raise ValueError(f"--steps {steps} is no multiple of {setting.variant}'s d_steps, {setting.d_steps}")
    duel = Duel(rivals, steps=steps, pairs=told.pairs, warmup=max(3 * setting.d_steps, 5), device=device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_for(setting, Path(folder), [duel], device=device, wandb=told.wandb)
        with quietly():
            trainer.fit(setting.gan(), datamodule=Noise(setting))
    for peer in peers.values():
        peer.close()
    seconds = {name: [value / steps for value in values] for name, values in duel.seconds.items()}
    row = compared(seconds, zoo_cost, bare_cost, setting.d_steps, peak)
    row |= {"steps": steps, "refused": refused}
    row["peers"] = {
        name: {
            "ms": told_of([1e3 * s for s in seconds[name]]),
            "ratio": told_of([p / z for p, z in zip(seconds[name], seconds["zoo"], strict=True)]),
            "gflops": peer.cost["flops"] / 1e9,
        }
        for name, peer in peers.items()
    }
    if told.fit:
        row["fit"] = whole_fits(setting, told, device)
    if told.memory:
        row["memory"] = {side: peak_memory(side, setting, told.threads) for side in ("zoo", "bare")}
    return row


def compared(seconds: dict[str, list[float]], zoo: Cost, bare: Cost, d_steps: int, peak: float) -> Row:
    """The zoo beside the bare loop."""
    pairs = list(zip(seconds["zoo"], seconds["bare"], strict=True))
    rate = zoo.total / d_steps / summary(seconds["zoo"]).median
    return {
        "zoo_ms": told_of([1e3 * z for z, _ in pairs]),
        "bare_ms": told_of([1e3 * b for _, b in pairs]),
        "ratio": told_of([z / b for z, b in pairs]),
        "over_ms": told_of([1e3 * (z - b) for z, b in pairs]),
        "gflops": [zoo.total / d_steps / 1e9, bare.total / d_steps / 1e9],
        "launches": [zoo.launches.total() / d_steps, bare.launches.total() / d_steps],
        "rate": rate,
        "of_peak": rate / peak if peak else None,
    }


def costs(setting: Setting, device: torch.device) -> tuple[Cost, Cost]:
    """Of a round of the zoo in a trainer, and of the bare loop; dealing the data is not counted."""
    counting = Counting(setting.d_steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_for(setting, Path(folder), [counting], device=device, evaluation=False)
        with quietly():
            trainer.fit(setting.gan(), datamodule=Noise(setting))
    loop = setting.loop(device=device)
    batches = iter(Deal(setting.data(), setting.batch, device))
    first, second = ([next(batches) for _ in range(setting.d_steps)] for _ in range(2))
    with setting.autocast(device):
        for real in first:
            loop.step(real)
        with Cost() as cost:
            for real in second:
                loop.step(real)
    return counting.cost, cost


def find_peers(setting: Setting, told: argparse.Namespace) -> tuple[dict[str, Peer], dict[str, str]]:
    """The libraries that can do it, each with the zoo's layers and with torch's own; and why the others cannot."""
    peers, refused = {}, {}
    for library, variants in KNOWN.items() if told.peer_python else ():
        if setting.variant in variants:
            for plain in (False, True):
                name = f"{library}, {'torch' if plain else 'zoo'} layers"
                try:
                    peers[name] = Peer(told.peer_python, library, setting, plain=plain, threads=told.threads)
                except RuntimeError as error:
                    refused[name] = str(error)
    return peers, refused


def whole_fits(setting: Setting, told: argparse.Namespace, device: torch.device) -> Row:
    """`Trainer.fit` from its call to its return, against the bare loop with data and a log, in turn."""
    seconds: dict[str, list[float]] = {"zoo": [], "bare": []}
    for _ in range(told.pairs):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            gan, data = setting.gan(), Noise(setting)
            trainer = trainer_for(setting, folder, device=device, wandb=told.wandb, evaluation=False, steps=told.fit)
            with quietly():
                began = clock(device)
                trainer.fit(gan, datamodule=data)
                seconds["zoo"].append(clock(device) - began)
            loop = setting.loop(device=device)
            began = clock(device)
            bare_fit(setting, loop, told.fit, folder / "bare.jsonl", trainer, device)
            seconds["bare"].append(clock(device) - began)
    ratio = [z / b for z, b in zip(seconds["zoo"], seconds["bare"], strict=True)]
    return {"steps": told.fit, "ratio": told_of(ratio)} | {side: told_of(values) for side, values in seconds.items()}


def bare_fit(setting: Setting, loop: Loop, steps: int, log: Path, trainer: Trainer, device: torch.device) -> None:
    """All of a run by hand: the data, the steps, and a row of the log as often as the trainer writes one."""
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    with log.open("w") as file:
        for count, real in enumerate(Deal(setting.data(), setting.batch, device), 1):
            with setting.autocast(device):
                loop.step(real)
            if count % every == 0:
                print(json.dumps({k: v.item() for k, v in loop.losses.items()}), file=file, flush=True)
            if count == steps:
                return


def told_of(values: list[float]) -> Row:
    """For the file: the summary and all values."""
    return {**vars(summary(values)), "values": values}


def show(row: Row) -> None:
    """A few lines."""

    def words(told: Row, unit: str = "") -> str:
        return f"{Summary(**{k: v for k, v in told.items() if k != 'values'})}{unit}"

    zoo, bare = row["gflops"]
    print(f"{row['variant']}: zoo {words(row['zoo_ms'], ' ms')}, bare {words(row['bare_ms'], ' ms')}")
    print(
        f"  zoo / bare {words(row['ratio'])}, over it {words(row['over_ms'], ' ms')}; windows of {row['steps']} steps"
    )
    launches = "launches {:g}, bare {:g}".format(*row["launches"])
    print(f"  {zoo:.3f} GFLOP, bare {bare:.3f}, ratio {zoo / bare:.4f}; {launches}")
    of_peak = "" if row["of_peak"] is None else f", {row['of_peak']:.0%} of the convolution peak"
    print(f"  {row['rate'] / 1e9:.1f} GFLOP/s{of_peak}")
    for name, peer in row["peers"].items():
        print(f"  {name}: {words(peer['ms'], ' ms')}, {peer['gflops']:.3f} GFLOP; / zoo {words(peer['ratio'])}")
    for name, why in row["refused"].items():
        print(f"  {name}: did not run: {why}")
    if "fit" in row:
        fit = row["fit"]
        print(f"  fit of {fit['steps']} steps: {words(fit['zoo'], ' s')}, bare {words(fit['bare'], ' s')}, ratio "
              f"{words(fit['ratio'])}")  # fmt: skip
    if "memory" in row:
        (z, z0), (b, b0) = row["memory"]["zoo"], row["memory"]["bare"]
        print(f"  peak memory {z:.0f} MB, bare {b:.0f}: ratio {z / b:.3f}; after the imports {z0:.0f} and {b0:.0f}, "
              f"from there on {z - z0:.0f} and {b - b0:.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
