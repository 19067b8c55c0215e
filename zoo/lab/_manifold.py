"""Data on a surface in R^64, a generator at three times of its training, and discriminators trained anew against each.

The setting of Arjovsky & Bottou 2017, section 2, small: neither data nor samples fill the space that they lie in. Their
DCGAN on images, after 1, 10 and 25 epochs, is an MLP here, after `TIMES` steps.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.lab._figures import BLUE, GREEN, ORANGE
from zoo.lab._games import Stream, fit, train_critic
from zoo.optim import Adam
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIM, BATCH = 64, 128
TIMES = (100, 1000, 2500)  # steps of G, for 1, 10 and 25 epochs
LOOKS = (0, 10, 20, 50, 100, 200, 400, 700, 1000, 1500, 2000, 3000, 4000)  # steps of D
COLOURS = (BLUE, ORANGE, GREEN)  # of the three times


class Duel(NamedTuple):
    """A fixed generator, and the discriminators trained from scratch against it; both in float64."""

    steps: int  # that the generator was trained for
    generator: MLPGenerator
    discriminators: dict[int, MLPDiscriminator]  # by D's own steps

    @property
    def name(self) -> str:
        """A name for figures and numbers."""
        return f"G of {self.steps} steps"


class Setting(NamedTuple):
    """The data, and the duels on them."""

    teacher: MLPGenerator
    duels: list[Duel]

    def data(self, n: int) -> Tensor:
        """Points (n, 64) of the data, float64."""
        with torch.no_grad():
            return self.teacher(2 * torch.randn(n, 2, dtype=torch.float64))


@cache
def play(seed: int, quick: bool) -> Setting:
    """Train a GAN with the -log D loss, take its generator at TIMES, and train a discriminator from scratch for each.

    The data are 2 N(0, I) in the plane through a random ReLU network 2-64-64. G is 2-128-128-64, D 64-128-128-1, both
    by Adam at 1e-3. `quick` has a tenth of the steps. Three experiments ask for it, and it is made once a process; the
    random state is left as it was.
    """
    scale = 10 if quick else 1
    times = [steps // scale for steps in TIMES]
    looks = [0, *sorted({step // scale for step in LOOKS if step >= 10 * scale})]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        teacher = MLPGenerator((DIM,), latent_dim=2, width=64, depth=1).requires_grad_(False)
        generator = MLPGenerator((DIM,), latent_dim=2, width=128, depth=2)
        gan = NSGAN(generator, _net(), g_optimizer=_adam, d_optimizer=_adam)
        taken: dict[int, MLPGenerator] = {}

        def take(step: int) -> None:
            if step in times:
                taken[step] = deepcopy(generator)

        fit(gan, Stream(lambda: teacher(2 * torch.randn(BATCH, 2)), times[-1]), times[-1], take)
        duels = [Duel(steps, each, _retrain(teacher, each, looks)) for steps, each in taken.items()]
    for each in (teacher, *taken.values()):
        each.double()
    return Setting(teacher, duels)


def gradient(generator: nn.Module, discriminator: nn.Module, z: Tensor, g_loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of a generator's loss at latents z with respect to its parameters, (P,)."""
    loss = g_loss(discriminator(generator(z))[0])
    return parameters_to_vector(torch.autograd.grad(loss, list(generator.parameters())))


def scored(discriminator: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The logit, D(x) = σ(logit) and ‖∇D(x)‖ at x (N, 64), each (N,)."""
    at = x.detach().clone().requires_grad_(True)
    logit = discriminator(at)[0]
    d = logit.sigmoid()
    (slope,) = torch.autograd.grad(d.sum(), at)
    return logit.detach(), d.detach(), slope.norm(dim=1)


def retraining(axes: Axes, steps: list[float]) -> None:
    """The axis of D's steps, from 0 on."""
    axes.set(xlabel="step of the new discriminator", xlim=(0, steps[-1]))
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xticks(ticks := [0.0, *(10.0**n for n in range(1, 4) if 10**n <= steps[-1])], [f"{x:.0f}" for x in ticks])


def _retrain(teacher: nn.Module, generator: MLPGenerator, looks: list[int]) -> dict[int, MLPDiscriminator]:
    critic = _net()
    seen = {0: deepcopy(critic).double()}

    def look(step: int) -> None:
        if step in looks:
            seen[step] = deepcopy(critic).double()

    data = Stream(lambda: teacher(2 * torch.randn(BATCH, 2)), looks[-1])
    train_critic(MinimaxGAN, generator, critic, data, looks[-1], look, d_optimizer=_adam)
    return seen


def _net() -> MLPDiscriminator:
    return MLPDiscriminator((DIM,), width=128, depth=2)


def _adam(parameters: object) -> Adam:
    return Adam(parameters, lr=1e-3)
