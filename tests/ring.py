"""The ring of 8 Gaussians, under one protocol: every method's game, and what its samples cover.

    python -m tests.ring <method> <seed> [<seed> ...]       a line a run

G is 256-128-128-2, z of N(0, I). The small D is 2-128-1 on x/4, the big one 2-128-128-128-1. Batch 128, Adam at 1e-3
with β₁ = 0.5 unless a method says otherwise; 2,500 samples of the plain generator at the end.
"""

import math
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

import torch
from torch.optim import RMSprop

from datamodules import Toy
from tests.games import trainer
from zoo.backbones import Encoder, MLPDiscriminator, MLPGenerator
from zoo.dynamics import Alternating, Consensus, GradientRegularized, Unrolled
from zoo.gan import GAN
from zoo.metrics import ModeCoverage, mode_coverage
from zoo.optim import Adam
from zoo.schedules import Linear
from zoo.stabilizers import InstanceNoise, SpectralNorm
from zoo.variants.dragan import DRAGAN
from zoo.variants.lsgan import LSGAN
from zoo.variants.mdgan import MDGAN
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.unrolled_gan import UnrolledGAN
from zoo.variants.wgan_gp import WGANGP

BATCH = 128


def adam(parameters, beta2: float = 0.999) -> Adam:
    return Adam(parameters, lr=1e-3, beta1=0.5, beta2=beta2)


def generator() -> MLPGenerator:
    return MLPGenerator((2,), latent_dim=256, width=128, depth=2, init_gain=0.8)


def small() -> MLPDiscriminator:
    return MLPDiscriminator((2,), width=128, depth=1, input_scale=0.25, init_gain=0.8)


def big() -> MLPDiscriminator:
    return MLPDiscriminator((2,), width=128, depth=3, init_gain=1.4)


def game(objective: type[GAN], discriminator: Callable[[], MLPDiscriminator], **kwargs) -> Callable[[], GAN]:
    kwargs = {"g_optimizer": adam, "d_optimizer": adam, **kwargs}
    return lambda: objective(generator(), discriminator(), **{k: v() if k in FRESH else v for k, v in kwargs.items()})


def encoder() -> Encoder:
    return Encoder((2,), latent_dim=256, width=128, norm="none", init_gain=0.8)


def mdgan() -> GAN:
    return MDGAN(generator(), small(), small(), encoder(), g_optimizer=adam, d_optimizer=adam)


FRESH = {"dynamics", "stabilizers"}  # given as functions, made anew for each game
RMS = {"g_optimizer": lambda p: RMSprop(p, lr=1e-3), "d_optimizer": lambda p: RMSprop(p, lr=1e-3)}


def decayed(batches: int) -> dict[str, Linear]:
    """Both learning rates fall to 0 over the last half of the run."""
    kimg = batches * BATCH / 1000
    return dict.fromkeys(("g_scheduler", "d_scheduler"), Linear(end_kimg=kimg, start_kimg=kimg / 2))


BETA2 = {"g_optimizer": lambda p: adam(p, 0.9), "d_optimizer": lambda p: adam(p, 0.9)}

# method: (batches, game)
METHODS: dict[str, tuple[int, Callable[[], GAN]]] = {
    "minimax": (6000, game(MinimaxGAN, small)),
    "nsgan": (6000, game(NSGAN, big)),
    "lsgan": (6000, game(LSGAN, big)),
    "spectral_norm": (6000, game(NSGAN, big, stabilizers=lambda: [SpectralNorm()])),
    "unrolled_1": (6000, game(UnrolledGAN, small, dynamics=lambda: Unrolled(1))),
    "unrolled_5": (6000, game(UnrolledGAN, small, dynamics=lambda: Unrolled(5))),
    "gradient_regularized": (
        10000,
        game(MinimaxGAN, small, dynamics=lambda: GradientRegularized(0.5), **decayed(10000)),
    ),
    "consensus": (10000, game(NSGAN, big, dynamics=lambda: Consensus(10.0), **RMS)),
    "wgan_gp": (15000, game(WGANGP, big, gp_weight=0.1, dynamics=lambda: Alternating(5), **BETA2)),
    "dragan_one_sided": (6000, game(DRAGAN, big, one_sided=True)),
    "instance_noise": (6000, game(NSGAN, big, stabilizers=lambda: [InstanceNoise(6000 * BATCH / 1000 * 0.75, 1.0)])),
    "mdgan": (6000, mdgan),
}


class Run(NamedTuple):
    """What one seed of a method came to."""

    seed: int
    modes: ModeCoverage
    parameters: int  # of every discriminator
    steps: int
    seconds: float

    def __str__(self) -> str:
        covered, populated, good, kl = self.modes
        return (
            f"seed {self.seed}: {covered} modes, {populated} with 20 or more, {good:.3f} of high quality, KL {kl:.3f}"
            f" ({self.steps} steps, D has {self.parameters} parameters, {self.seconds:.0f} s)"
        )


def play(method: str, seed: int) -> Run:
    """Train a method from one seed, on one thread."""
    torch.set_num_threads(1)
    batches, build = METHODS[method]
    torch.manual_seed(seed)
    gan = build()
    data = Toy(name="ring", samples=50_000, batch_size=BATCH, seed=seed)
    started = time.monotonic()
    trainer(max_epochs=-1, max_steps=batches).fit(gan, datamodule=data)
    seconds = time.monotonic() - started
    modes = mode_coverage(gan.sample(2500, seed=seed), data.centres, data.sigma)
    return Run(seed, modes, sum(p.numel() for d in gan.judges() for p in d.parameters()), gan.steps, seconds)


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
    for seed in map(int, sys.argv[2:]):
        print(sys.argv[1], play(sys.argv[1], seed), flush=True)
