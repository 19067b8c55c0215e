"""Bounds on a critic through depth: clipping explodes or vanishes, a gradient penalty and spectral norm do not.

Claim: Clipping weights is a poor way to bound a critic's slope. In a deep critic the gradient grows or decays
exponentially from layer to layer, depending on the clipping value, so that it must be tuned; a gradient penalty keeps
it level. Spectral normalisation bounds every layer's slope by 1, whatever the depth, without a value to tune.

Paper: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", section 3 and figure 1b; Miyato et al. 2018,
"Spectral Normalization for Generative Adversarial Networks", sections 2.1 and 3.

Figure: Left, the size of the critic's gradient with respect to each layer's output after training on the Swiss roll,
by clipping value, for the gradient penalty and for spectral norm. Right, the weights of the critics: clipped ones lie
at the two bounds.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector
from torch.optim import RMSprop

from zoo.backbones import MLPDiscriminator
from zoo.datamodules import Toy
from zoo.lab import Result
from zoo.lab._figures import BLUE, GREEN, ORANGE, PURPLE, RED, panels
from zoo.lab._games import around, train_critic
from zoo.optim import Adam
from zoo.stabilizers import SpectralNorm
from zoo.variants.hinge_gan import HingeGAN
from zoo.variants.wgan import WGAN
from zoo.variants.wgan_gp import WGANGP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTH, WIDTH = 12, 128
CLIPS = {0.1: RED, 0.01: ORANGE, 0.001: GREEN}


def bound(sizes: list[int], c: float) -> float:
    """The largest slope of a ReLU network of these layer sizes whose weights lie in [-c, c]: Π c √(nᵢ nᵢ₊₁)."""
    return math.prod(c * math.sqrt(a * b) for a, b in pairwise(sizes))


def gradients(critic: MLPDiscriminator, x: Tensor) -> list[float]:
    """E‖∂D/∂h‖ for the input and the output h of each hidden layer, from the input on."""
    h = x.clone().requires_grad_(True)
    outputs = [h]
    for layer in critic.trunk.children():
        h = layer(h)
        if isinstance(layer, nn.ReLU):
            outputs.append(h)
    found = torch.autograd.grad(critic.head(h).sum(), outputs)
    return [g.norm(dim=1).mean().item() for g in found]


def per_layer(norms: list[float]) -> float:
    """By what factor the gradient changes for one layer that it goes back: geometric mean over hidden layers."""
    return float((norms[1] / norms[-1]) ** (1 / (len(norms) - 2)))


def run(seed: int, quick: bool) -> Result:
    """Five critics from the seed, each trained alone against data plus N(0, I).

    RMSprop at 5e-4, ten times the paper's rate, so that the weights reach their bounds in as few steps.
    """
    steps = 40 if quick else 400
    data = Toy(name="swiss_roll", samples=20_000, batch_size=128, seed=seed)
    data.setup()
    real = data.splits["train"].data
    samples = around(real, 1.0)
    train = partial(train_critic, generator=samples, data=data, steps=steps)
    critics = {
        f"c = {c:g}": train(WGAN, critic=_critic(), clip=c, d_optimizer=lambda p: RMSprop(p, lr=5e-4)) for c in CLIPS
    }
    critics["gradient penalty"] = train(WGANGP, critic=_critic(), d_optimizer=lambda p: Adam(p, lr=1e-4, beta2=0.9))
    critics["spectral norm"] = train(
        HingeGAN, critic=_critic(), stabilizers=[SpectralNorm()], d_optimizer=lambda p: Adam(p, lr=1e-4, beta2=0.9)
    )
    x = torch.cat([real[:1000], samples(torch.randn(1000, samples.latent_dim))]).double()
    norms = {name: gradients(critic, x) for name, critic in critics.items()}
    weights = {name: parameters_to_vector(critic.parameters()).detach() for name, critic in critics.items()}
    numbers: dict[str, float | list[float]] = {"steps": steps}
    for name, each in norms.items():
        numbers[f"{name}: factor per layer, backwards"] = per_layer(each)
        numbers[f"{name}: slope of the critic"] = each[0]
    numbers["spectral norm: largest norm of a layer"] = max(
        float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
        for layer in critics["spectral norm"].modules()
        if isinstance(layer, nn.Linear)
    )
    for c in CLIPS:
        numbers[f"c = {c:g}: share of weights at a bound"] = at_bound(weights[f"c = {c:g}"], c)
        numbers[f"c = {c:g}: largest possible slope"] = bound([2, *[WIDTH] * DEPTH, 1], c)
    return Result(numbers, _finding(numbers), partial(_draw, norms, weights), size=(9.5, 3.5))


def at_bound(weights: Tensor, c: float) -> float:
    """The share of weights within a hundredth of -c or c."""
    return (weights.abs() > 0.99 * c).double().mean().item()


def _critic() -> MLPDiscriminator:
    return MLPDiscriminator((2,), width=WIDTH, depth=DEPTH)


def _finding(numbers: dict[str, float | list[float]]) -> str:
    def seen(c: float) -> str:
        factor, slope, share = (
            numbers[f"c = {c:g}: {what}"]
            for what in ("factor per layer, backwards", "slope of the critic", "share of weights at a bound")
        )
        return f"by {factor:.2g} for c = {c:g} (slope {slope:.0e}, {share:.0%} of the weights at a bound)"

    return (
        f"Through {DEPTH} hidden layers of {WIDTH} the gradient changes from layer to layer "
        f"{', '.join(map(seen, CLIPS))}, and by {numbers['gradient penalty: factor per layer, backwards']:.2f} with a "
        f"gradient penalty, whose critic has slope {numbers['gradient penalty: slope of the critic']:.2f}. With "
        f"spectral norm and the hinge loss it changes by {numbers['spectral norm: factor per layer, backwards']:.2f}: "
        f"no layer has a norm above {numbers['spectral norm: largest norm of a layer']:.3f} (one power iteration a "
        f"step is an estimate), and the slope, {numbers['spectral norm: slope of the critic']:.2g}, is well below "
        "that, since what is largest for one layer is not for the next, and a ReLU passes half of its inputs. Clipping "
        f"does bound the slope, but the bound for c = 0.01 is {numbers['c = 0.01: largest possible slope']:.0e} and "
        f"for c = 0.1 {numbers['c = 0.1: largest possible slope']:.0e}: the lecture's 1-Lipschitz by clipping is "
        "K-Lipschitz, for a K that depends on depth and width."
    )


def _draw(norms: dict[str, list[float]], weights: dict[str, Tensor], figure: Figure) -> None:
    layers, histogram = panels(figure, 1, 2)
    for (name, each), colour in zip(norms.items(), (*CLIPS.values(), BLUE, PURPLE), strict=True):
        layers.semilogy(range(len(each)), each, "o-", color=colour, label=name, markersize=3)
    layers.set(xlabel="layer (0: the input, 12: the last hidden one)", ylabel="‖∂D/∂h‖, mean over samples")
    layers.set_title("Clipping explodes or vanishes")
    layers.legend()
    histogram.hist(weights["c = 0.01"], bins=100, range=(-0.1, 0.1), color=ORANGE, label="c = 0.01", density=True)
    histogram.hist(
        weights["gradient penalty"], bins=100, range=(-0.1, 0.1), histtype="step", color=BLUE, linewidth=1.6,
        label="gradient penalty", density=True,
    )  # fmt: skip
    histogram.set(xlabel="weight", ylabel="density", yscale="log", xticks=[-0.1, -0.05, 0, 0.05, 0.1])
    histogram.set_title("Clipped weights lie at the bounds")
    histogram.legend()
