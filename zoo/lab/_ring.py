"""The ring of 8 Gaussians: every method's game, in the settings that work there.

G is 256-128-128-2, z of N(0, I). The small D is 2-128-1 on x/4, the big one 2-128-128-128-1. Batch 128, Adam at 1e-3
with β₁ = 0.5 unless a method says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import RMSprop

from zoo.backbones import Encoder, MLPDiscriminator, MLPGenerator
from zoo.datamodules import Toy
from zoo.dynamics import Alternating, Consensus, Extragradient, GradientRegularized, Lookahead, Optimistic, Unrolled
from zoo.gan import GAN
from zoo.optim import Adam
from zoo.schedules import Cosine, Linear
from zoo.stabilizers import GradientPenalty, InstanceNoise, Packed, SpectralNorm
from zoo.variants.dragan import DRAGAN
from zoo.variants.lsgan import LSGAN
from zoo.variants.mdgan import MDGAN
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.relativistic_gan import RelativisticGAN
from zoo.variants.unrolled_gan import UnrolledGAN
from zoo.variants.wgan_gp import WGANGP

BATCH = 128
CRITIC_STEPS = 5  # of WGAN-GP, to one of G


def start(method: str, seed: int, data: str = "ring") -> tuple[GAN, Toy]:
    """A method's game, with networks from the seed, and its data: the `ring` or the `grid` of 25 Gaussians."""
    torch.manual_seed(seed)
    return METHODS[method][1](), Toy(name=data, samples=50_000, batch_size=BATCH, seed=seed)


def generator() -> MLPGenerator:
    """256-128-128-2."""
    return MLPGenerator((2,), latent_dim=256, width=128, depth=2, init_gain=0.8)


def small() -> MLPDiscriminator:
    """2-128-1 on x/4."""
    return MLPDiscriminator((2,), width=128, depth=1, input_scale=0.25, init_gain=0.8)


def big() -> MLPDiscriminator:
    """2-128-128-128-1."""
    return MLPDiscriminator((2,), width=128, depth=3, init_gain=1.4)


def _adam(parameters: Any, beta2: float = 0.999) -> Adam:
    return Adam(parameters, lr=1e-3, beta1=0.5, beta2=beta2)


def _game(objective: type[GAN], discriminator: Callable[[], MLPDiscriminator], **kwargs: Any) -> Callable[[], GAN]:
    kwargs = {"g_optimizer": _adam, "d_optimizer": _adam, **kwargs}
    return lambda: objective(generator(), discriminator(), **{k: v() if k in _FRESH else v for k, v in kwargs.items()})


def _mdgan() -> GAN:
    encoder = Encoder((2,), latent_dim=256, width=128, norm="none", init_gain=0.8)
    return MDGAN(generator(), small(), small(), encoder, g_optimizer=_adam, d_optimizer=_adam)


def _zero_centred(*where: Any) -> Callable[[], list[GradientPenalty]]:
    """R1 on `real` points, R2 on `fake` ones; the weight falls to a thousandth along a cosine, as γ does in R3GAN."""
    falling = Cosine(end_kimg=6000 * BATCH / 1000, end_factor=1e-3)
    return lambda: [GradientPenalty(0.05, where=w, target="zero", scheduler=falling) for w in where]


def _decayed(batches: int) -> dict[str, Linear]:
    """Both learning rates fall to 0 over the last half of the run."""
    kimg = batches * BATCH / 1000
    return dict.fromkeys(("g_scheduler", "d_scheduler"), Linear(end_kimg=kimg, start_kimg=kimg / 2))


_FRESH = {"dynamics", "stabilizers"}  # given as functions, made anew for each game
_RMS = {"g_optimizer": lambda p: RMSprop(p, lr=1e-3), "d_optimizer": lambda p: RMSprop(p, lr=1e-3)}
_R3 = dict.fromkeys(("g_optimizer", "d_optimizer"), lambda p: Adam(p, lr=1e-3, beta1=0.0, beta2=0.99)) | _decayed(6000)
_BETA2 = {"g_optimizer": lambda p: _adam(p, 0.9), "d_optimizer": lambda p: _adam(p, 0.9)}

# method: (batches, game)
METHODS: dict[str, tuple[int, Callable[[], GAN]]] = {
    "minimax": (6000, _game(MinimaxGAN, small)),
    "nsgan": (6000, _game(NSGAN, big)),
    "lsgan": (6000, _game(LSGAN, big)),
    "spectral_norm": (6000, _game(NSGAN, big, stabilizers=lambda: [SpectralNorm()])),
    "unrolled_1": (6000, _game(UnrolledGAN, small, dynamics=lambda: Unrolled(1))),
    "unrolled_5": (6000, _game(UnrolledGAN, small, dynamics=lambda: Unrolled(5))),
    "gradient_regularized": (
        10000,
        _game(MinimaxGAN, small, dynamics=lambda: GradientRegularized(0.5), **_decayed(10000)),
    ),
    "consensus": (10000, _game(NSGAN, big, dynamics=lambda: Consensus(10.0), **_RMS)),
    "wgan_gp": (15000, _game(WGANGP, big, gp_weight=0.1, dynamics=lambda: Alternating(CRITIC_STEPS), **_BETA2)),
    "dragan_one_sided": (6000, _game(DRAGAN, big, one_sided=True)),
    "instance_noise": (6000, _game(NSGAN, big, stabilizers=lambda: [InstanceNoise(6000 * BATCH / 1000 * 0.75, 1.0)])),
    "mdgan": (6000, _mdgan),
    "rpgan_r1_r2": (6000, _game(RelativisticGAN, big, stabilizers=_zero_centred("real", "fake"), **_R3)),
    "nsgan_r1_r2": (6000, _game(NSGAN, big, stabilizers=_zero_centred("real", "fake"), **_R3)),
    "rpgan_r1": (6000, _game(RelativisticGAN, big, stabilizers=_zero_centred("real"), **_R3)),
    "nsgan_r1": (6000, _game(NSGAN, big, stabilizers=_zero_centred("real"), **_R3)),
    "rpgan": (6000, _game(RelativisticGAN, big, **_R3)),
    "packed_2": (6000, _game(NSGAN, big, stabilizers=lambda: [Packed(2)])),
    "packed_4": (6000, _game(NSGAN, big, stabilizers=lambda: [Packed(4)])),
    "extragradient": (6000, _game(NSGAN, big, dynamics=Extragradient)),
    "optimistic": (6000, _game(NSGAN, big, dynamics=Optimistic)),
    "lookahead": (6000, _game(NSGAN, big, dynamics=lambda: Lookahead(Alternating(1), k=5, alpha=0.5))),
}
