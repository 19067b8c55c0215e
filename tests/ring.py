"""The ring of 8 Gaussians and the grid of 25, under one protocol: every method's game, and what its samples cover.

    python -m tests.ring <method> <seed> [<seed> ...] [grid]     a line a run

The games are those of `zoo.lab._ring`; 2,500 samples of the plain generator at the end.
"""

import math
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

import torch

from tests.games import trainer
from zoo.datamodules import Toy
from zoo.lab._ring import METHODS, start
from zoo.metrics import ModeCoverage, mode_coverage


class Run(NamedTuple):
    """What one seed of a method came to."""

    seed: int
    modes: ModeCoverage
    parameters: int  # of every discriminator
    steps: int
    seconds: float

    def __str__(self) -> str:
        covered, populated, good, kl, _ = self.modes
        return (
            f"seed {self.seed}: {covered} modes, {populated} with 20 or more, {good:.3f} of high quality, KL {kl:.3f}"
            f" ({self.steps} steps, D has {self.parameters} parameters, {self.seconds:.0f} s)"
        )


def play(method: str, seed: int, data_name: str = "ring") -> Run:
    """Train a method from one seed, on one thread."""
    torch.set_num_threads(1)
    gan, data = start(method, seed, data_name)
    started = time.monotonic()
    trainer(max_epochs=-1, max_steps=METHODS[method][0]).fit(gan, datamodule=data)
    seconds = time.monotonic() - started
    modes = mode_coverage(gan.sample(2500, seed=seed), data.centres, data.sigma)
    return Run(seed, modes, sum(p.numel() for d in gan.discriminators() for p in d.parameters()), gan.steps, seconds)


def play_all(method: str, seeds: Iterable[int] = range(5)) -> list[Run]:
    """Train a method from several seeds, as many at a time as there are cores."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(play, method), seeds))


def annulus() -> ModeCoverage:
    """What 2,500 points spread evenly over 1.8 < r < 2.2 come to: all modes and hardly a good sample."""
    radius, angle = torch.rand(2, 2500, generator=torch.Generator().manual_seed(0)).double()
    radius, angle = (1.8**2 + (2.2**2 - 1.8**2) * radius).sqrt(), 2 * math.pi * angle
    data = Toy(name="ring")
    return mode_coverage(torch.stack([radius * angle.sin(), radius * angle.cos()], 1), data.centres, data.sigma)


if __name__ == "__main__":
    seeds = [word for word in sys.argv[2:] if word.isdigit()]
    data_name = "grid" if "grid" in sys.argv[2:] else "ring"
    for seed in map(int, seeds):
        print(sys.argv[1], data_name, play(sys.argv[1], seed, data_name), flush=True)
