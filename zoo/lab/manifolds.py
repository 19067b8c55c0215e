"""Surfaces of low dimension: what a generator can fill, how two of them meet, and what noise changes.

Claim: A generator's samples lie in a set of at most the dimension of z, which has measure 0 in the space of images, and
data are thought to lie in one as well. Two such sets hardly ever align perfectly: moved at random by however little,
they cross at an angle or not at all, and what they then share has measure 0 in both. Noise gives either a density.

Paper: Arjovsky & Bottou 2017, "Towards Principled Methods for Training Generative Adversarial Networks", lemmas 1 to 3,
definitions 2.1 and 2.2, theorem 3.1. Levina & Bickel 2005, "Maximum Likelihood Estimation of Intrinsic Dimension".

Figure: Left, the singular values of the Jacobian of random generators with 2, 8 and 32 latents and 64 outputs, at one
z. Middle, the share of a circle that lies within ε of another circle, where they touch (aligned) and where they cross.
Right, the density of a noisy circle along a ray: theorem 3.1's mean over the circle, and counts of samples.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.backbones import MLPGenerator
from zoo.datamodules import Digits
from zoo.lab import Result
from zoo.lab._figures import BLACK, BLUE, GREEN, GREY, ORANGE, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIM = 64
LATENTS = {2: BLUE, 8: ORANGE, 32: GREEN}
EPSILONS = [0.1 * 10 ** (-k / 4) for k in range(17)]  # 1e-1 to 1e-5
SIGMA = 0.3  # of the noise on the unit circle


def _random_generator(latent_dim: int) -> tuple[MLPGenerator, Tensor]:
    """An untrained ReLU network to R^64 and one z (1, latent_dim), in float64."""
    generator = MLPGenerator((DIM,), latent_dim=latent_dim, width=128, depth=2).double().requires_grad_(False)
    return generator, torch.randn(1, latent_dim, dtype=torch.float64)


def spectrum(latent_dim: int) -> Tensor:
    """The singular values (min(DIM, latent_dim),) of the Jacobian of a random ReLU generator at a random z, float64."""
    generator, z = _random_generator(latent_dim)
    jacobian = torch.autograd.functional.jacobian(generator, z)  # type: ignore[no-untyped-call]
    return torch.linalg.svdvals(jacobian.reshape(DIM, latent_dim))


def rank_of_samples(latent_dim: int, radius: float = 1e-4, n: int = 256) -> int:
    """How many directions samples take around one of them: the rank of G(z + δ) - G(z) over `n` small δ, float64."""
    generator, z = _random_generator(latent_dim)
    near = generator(z + radius * torch.randn(n, latent_dim, dtype=torch.float64)) - generator(z)
    return int(torch.linalg.matrix_rank(near, rtol=1e-6))


def intrinsic_dimension(x: Tensor, k: int = 10) -> float:
    """Levina & Bickel's estimate from distances to the k nearest of x (N, D), averaged as MacKay & Ghahramani 2005 do.

    1 / dimension is the mean over points and j < k of log(T_k / T_j), T_j the distance to the j-th neighbour.
    """
    distances = torch.cdist(x, x).topk(k + 1, largest=False).values[:, 1:].clamp(min=1e-12)
    return float(1 / (distances[:, -1:] / distances[:, :-1]).log().mean())


def crossing_angle(apart: Tensor) -> Tensor:
    """The angle in which two unit circles cross whose centres are `apart` < 2: 2 arccos(apart / 2)."""
    return 2 * (apart / 2).acos()


def share_near(apart: float, epsilon: float) -> float:
    """The share of a unit circle within ε of another, by the law of cosines for a point at distance 1 ± ε."""
    outer, inner = ((1 + apart**2 - (1 + e) ** 2) / (2 * apart) for e in (epsilon, -epsilon))
    return (math.acos(max(outer, -1.0)) - math.acos(min(inner, 1.0))) / math.pi


def exponent(shares: list[float]) -> float:
    """The slope of log share in log ε over the smaller half of EPSILONS."""
    half = len(EPSILONS) // 2
    x, y = (torch.tensor(values[half:], dtype=torch.float64).log() for values in (EPSILONS, shares))
    x = x - x.mean()
    return float((x * y).sum() / x.square().sum())


def noisy_density(radius: Tensor, points: int = 2000) -> Tensor:
    """Theorem 3.1: the density of X + ε at distance `radius` (M,) from 0, the mean of the noise's over the circle X."""
    angle = torch.linspace(0, 2 * math.pi, points + 1, dtype=torch.float64)[:-1]
    squared = radius[:, None].square() + 1 - 2 * radius[:, None] * angle.cos()
    return (-squared / (2 * SIGMA**2)).exp().mean(1) / (2 * math.pi * SIGMA**2)


def counted_density(radius: Tensor, n: int) -> Tensor:
    """The same between each two radii (M - 1,), by counting `n` samples in rings."""
    angle = 2 * math.pi * torch.rand(n, dtype=torch.float64)
    x = torch.stack([angle.cos(), angle.sin()], 1) + SIGMA * torch.randn(n, 2, dtype=torch.float64)
    counts = torch.histogram(x.norm(dim=1), radius).hist
    return counts / n / (math.pi * radius.square().diff())


def run(seed: int, quick: bool) -> Result:
    """Networks, moves and noise from the seed; circles in float64."""
    n = 20_000 if quick else 400_000
    spectra = {d: spectrum(d) for d in LATENTS}
    ranks = [float(rank_of_samples(d)) for d in LATENTS]
    data = Digits(image_size=8, seed=seed)
    data.setup()
    digits = intrinsic_dimension(data.splits["train"].data.flatten(1).double())
    moves = torch.randn(1000, 2, dtype=torch.float64) * 1e-3  # of a circle that touches another
    apart = torch.stack([2 + moves[:, 0], moves[:, 1]]).norm(dim=0)
    crossing = crossing_angle(apart[apart < 2])
    shares = {"touching": [share_near(2.0, e) for e in EPSILONS], "crossing": [share_near(1.5, e) for e in EPSILONS]}
    edges = torch.linspace(0, 2, 41, dtype=torch.float64)
    middle = (edges[1:] + edges[:-1]) / 2
    expected, counted = noisy_density(middle), counted_density(edges, n)
    off = float(((counted - expected).abs() * math.pi * edges.square().diff()).sum() / 2)
    numbers: dict[str, float | list[float]] = {
        "latents": [float(d) for d in LATENTS], f"rank of samples, of {DIM}": ranks,
        "intrinsic dimension of the 8x8 digits, of 64": digits,
        "touching circles moved by 1e-3: share that cross": float((apart < 2).double().mean()),
        "least angle of those (rad)": float(crossing.min()),
        **{f"{name}: exponent of the share within ε": exponent(share) for name, share in shares.items()},
        "share of a circle within 1e-5 of one that crosses it": shares["crossing"][-1],
        "theorem 3.1: total variation from counts": off,
    }  # fmt: skip
    finding = (
        f"Around a sample, generators of 2, 8 and 32 latents move in {', '.join(map('{:.0f}'.format, ranks))} of {DIM} "
        f"directions: lemma 1. The 8x8 digits have an intrinsic dimension of about {digits:.1f} by their neighbours, "
        "of 64 pixels. Of 1,000 random moves by 1e-3 of a circle that touches another, "
        f"{numbers['touching circles moved by 1e-3: share that cross']:.0%} make them cross and the others part them; "
        f"none leaves them aligned, and the least angle is {numbers['least angle of those (rad)']:.1e}: lemma 2. The "
        f"share of a circle within ε of one that it crosses goes as ε^{exponent(shares['crossing']):.2f}, to 0 with ε: "
        f"lemma 3. So does that of one that it touches, as ε^{exponent(shares['touching']):.2f}: the alignment that "
        "lemma 2 rules out would make the surfaces closer, and here too the part in common is one point; two surfaces "
        f"that are one are the other case. With noise of σ = {SIGMA:g} the circle has a density, theorem 3.1's mean of "
        f"the noise's density over it, {off:.1%} from counts of {n:,} samples in rings."
    )
    return Result(numbers, finding, partial(_draw, spectra, shares, (middle, expected, counted)), size=(10.5, 3.3))


def _draw(
    spectra: dict[int, Tensor], shares: dict[str, list[float]], density: tuple[Tensor, Tensor, Tensor], figure: Figure
) -> None:
    values, near, noisy = panels(figure, 1, 3)
    for (latents, each), colour in zip(spectra.items(), LATENTS.values(), strict=True):
        values.plot(range(1, len(each) + 1), each, "o-", markersize=2.5, color=colour, label=f"{latents} latents")
    values.axvspan(33, DIM, color=GREY, alpha=0.2, linewidth=0)
    values.text(48, float(spectra[2].max()) / 2, "no direction\nleft", ha="center", color=GREY)
    values.set(xlabel=f"singular value, of {DIM}", ylabel="size", xlim=(0, DIM), ylim=(0, None))
    values.set_title("A generator fills few dimensions")
    values.legend()
    for (name, share), colour in zip(shares.items(), (ORANGE, BLUE), strict=True):
        near.loglog(EPSILONS, share, color=colour, label=name)
    near.set(xlabel="ε", ylabel="share of a circle within ε of the other")
    near.set_title("Surfaces share next to nothing")
    near.legend()
    middle, expected, counted = density
    noisy.plot(middle, counted, "o", markersize=3, color=BLACK, label="samples, counted")
    noisy.plot(middle, expected, color=GREEN, label="theorem 3.1")
    noisy.axvline(1, color=GREY, linestyle=":")
    noisy.set(xlabel="distance from the centre", ylabel="density", ylim=(0, None))
    noisy.set_title("Noise gives a circle a density")
    noisy.legend()
