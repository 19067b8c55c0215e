"""Instance noise: what it does to the divergence, to its gradient, and to a generator that got none.

Claim: Noise on real and generated samples makes distributions on disjoint supports overlap: the Jensen-Shannon
divergence between them becomes smaller than log 2, its gradient useful, and the Wasserstein distance of the clean
distributions is bounded by the noise's variance and the divergence of the noisy ones.

Paper: Arjovsky & Bottou 2017, "Towards Principled Methods for Training Generative Adversarial Networks", section 3,
theorems 3.2 and 3.3, corollary 3.1, lemma 4; Sønderby et al. 2017, "Amortised MAP Inference for Image
Super-resolution".

Figure: Left, the divergence between parallel lines at a distance θ, each smeared by noise of standard deviation σ.
Middle, the minimax generator's pull towards the data in the same setting, at the optimal discriminator. Right, minimax
GANs of one point, started at distance 3, without noise and with noise that falls to 0.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from zoo.backbones import MLPDiscriminator
from zoo.dynamics import Alternating
from zoo.lab import Result
from zoo.lab._figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, panels
from zoo.lab._games import Stream, fit
from zoo.lab.divergences import integral, js, normal
from zoo.optim import Adam
from zoo.stabilizers import InstanceNoise
from zoo.variants.minimax import MinimaxGAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGMAS = {0.2: RED, 0.5: ORANGE, 1.0: GREEN, 2.0: BLUE, 4.0: PURPLE}
FAR = 3.0  # where the generator starts
BATCH = 64


def smoothed_js(theta: Tensor, sigma: float) -> Tensor:
    """JS of two lines (or points) at distances θ (M,), each plus N(0, σ²) across: that of N(0, σ²) and N(θ, σ²).

    Along the lines both have the same density, which cancels.
    """
    x = torch.linspace(-12, float(theta.detach().max()) / sigma + 12, 8001, dtype=torch.float64)
    return js(normal(x).expand(len(theta), -1), normal(x, theta[:, None] / sigma), x)


def pull(theta: Tensor, sigma: float) -> Tensor:
    """d/dθ E log(1 - D*(θ)), theorem 3.2: the generator's own sample has no noise, D* is optimal for the noisy laws.

    With points at 0 and θ the logit of D* at x is (θ² - 2θx) / 2σ², and the gradient θ/σ² · logistic(-θ²/2σ²): towards
    the data.
    """
    return theta / sigma**2 * torch.sigmoid(-theta.square() / (2 * sigma**2))


def noisy_pull(theta: float, sigma: float) -> float:
    """The same with noise on the generator's sample, back-propagated through: corollary 3.1 says 2 dJS/dθ."""
    at = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    e = torch.linspace(-12, 12, 8001, dtype=torch.float64)
    logit = (theta**2 - 2 * theta * (at + sigma * e)) / (2 * sigma**2)  # D* is held
    (slope,) = torch.autograd.grad(integral(normal(e).exp() * -softplus(logit), e), at)
    return float(slope)


def bound(t: float, a: float) -> float:
    """Theorem 3.3's 2√V + 2C√JS for points at a distance t, whose W₁ is t, and noise uniform on [-a, a].

    The theorem needs noise of bounded support, which Gaussian noise has not: C is the diameter of both, t + 2a. V is
    E‖ε‖² = a²/3. The JS of two intervals is log 2 times the share that they do not have in common.
    """
    share = min(1.0, t / (2 * a))
    return 2 * math.sqrt(a**2 / 3) + 2 * (t + 2 * a) * math.sqrt(math.log(2) * share)


def smear(dim: int) -> float:
    """W₁ of a point and the same point plus N(0, I) in `dim` dimensions, E‖ε‖; lemma 4 bounds it by √V = √dim."""
    return math.sqrt(2) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))


class Point(nn.Module):
    """A generator of one point on the line: its parameter."""

    latent_dim, num_classes = 1, None

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor([at]))

    def forward(self, z: Tensor) -> Tensor:
        """(N, 1)."""
        return self.at.expand(len(z), 1)


def chase(sigma: float, steps: int) -> Tensor:
    """Where a minimax GAN's point is at every step, (steps + 1,): the data are 0, D moves five times to G's once.

    The noise falls from `sigma` to 0 at four fifths of the run.
    """
    noise = [InstanceNoise(0.8 * steps * BATCH / 1000, sigma)] if sigma else []
    generator = Point(FAR)
    gan = MinimaxGAN(
        generator, MLPDiscriminator((1,), width=64, depth=2), dynamics=Alternating(d_steps=5), stabilizers=noise,
        g_optimizer=lambda p: torch.optim.SGD(p, lr=0.05), d_optimizer=lambda p: Adam(p, lr=1e-3),
    )  # fmt: skip
    places = [FAR]
    fit(gan, Stream(lambda: torch.zeros(BATCH, 1), steps), steps, lambda step: places.append(generator.at.item()))
    return torch.tensor(places)


def run(seed: int, quick: bool) -> Result:
    """Quadrature in float64, and the two trainings, whose networks and noise the seed draws."""
    steps = 800 if quick else 2000
    ten = torch.tensor([10.0], dtype=torch.float64)
    spreads = [0.0, 1.0, 2.0, 5.0, 10.0]  # of the noise on N(0, 1) and N(10, 1)
    far = torch.tensor(FAR, dtype=torch.float64)
    pairs = [(t, a) for t in (0.5, 1.0, 2.0, 4.0) for a in (0.1, 0.5, 1.0, 2.0, 4.0)]
    paths = {f"noise, σ from {s:g} to 0" if s else "no noise": chase(s, steps) for s in (0.0, 2.0)}
    at = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(smoothed_js(at, 1.0).sum(), at)
    plain, noisy = (float(path[-1]) for path in paths.values())
    numbers: dict[str, float | list[float]] = {
        "σ on N(0, 1) and N(10, 1)": spreads,
        "their JS (nats)": [smoothed_js(ten, math.hypot(1, s)).item() for s in spreads],
        f"pull at {FAR:g}, by σ": list(SIGMAS),
        "pull": [pull(far, s).item() for s in SIGMAS],
        "pull on a noisy sample / (2 dJS/dθ)": noisy_pull(2.0, 1.0) / (2 * slope.item()),
        "bound of theorem 3.3 / W₁, least": min(bound(t, a) / t for t, a in pairs),
        "E‖ε‖ in 1, 2 and 64 dimensions": [smear(d) for d in (1, 2, 64)],
        "steps": steps, "distance without noise": abs(plain), "distance with noise": abs(noisy),
    }  # fmt: skip
    best = max(SIGMAS, key=lambda s: pull(far, s).item())
    finding = (
        "Two parallel lines have JS = log 2 = 0.693 at any distance, and no gradient. Noise of σ = 5 brings the JS "
        f"of N(0, 1) and N(10, 1) to {smoothed_js(ten, math.hypot(1, 5)).item():.3f}. At distance {FAR:g} the pull is "
        f"{pull(far, 0.2):.0e} for σ = 0.2 and greatest, {pull(far, best):.3f}, for σ = {best:g} of those tried: too "
        "little noise leaves no overlap, too much blurs. With noise on the generator's own sample the gradient is 2 "
        f"dJS/dθ, as the corollary says (ratio {numbers['pull on a noisy sample / (2 dJS/dθ)']:.6f}). Theorem 3.3's "
        f"bound holds for uniform noise, and is at least {numbers['bound of theorem 3.3 / W₁, least']:.1f} times the "
        "distance; Gaussian noise does not meet its condition of a bounded support. In d dimensions its V is "
        f"d σ², not σ²: E‖ε‖ is {smear(64):.2f} σ in 64. A minimax GAN of one point at distance {FAR:g} is still at "
        f"{plain:.2f} after {steps} steps; with noise that falls from σ = 2 to 0 it is at {noisy:.2f}."
    )
    return Result(numbers, finding, partial(_draw, paths), size=(10.5, 3.3))


def _draw(paths: dict[str, Tensor], figure: Figure) -> None:
    divergence, pulling, trained = panels(figure, 1, 3)
    theta = torch.linspace(0.02, 6, 120, dtype=torch.float64)
    divergence.plot([0, 0, 6], [0, math.log(2), math.log(2)], color=GREY)
    divergence.text(6, 0.71, "σ = 0: log 2", color=GREY, ha="right")
    for sigma, colour in SIGMAS.items():
        divergence.plot(theta, smoothed_js(theta, sigma), color=colour)
        pulling.plot(theta, pull(theta, sigma), color=colour, label=f"σ = {sigma:g}")
    divergence.set(xlabel="distance θ", ylabel="JS divergence (nats)", ylim=(-0.02, 0.78))
    divergence.set_title("Noise makes them overlap")
    pulling.set(xlabel="distance θ", ylabel="gradient towards the data", ylim=(0, 1))
    pulling.set_title("so that there is a gradient")
    pulling.legend()
    for (name, path), colour in zip(paths.items(), (GREY, GREEN), strict=True):
        trained.plot(path, color=colour, label=name)
    trained.axhline(0, color=GREY, linestyle=":", linewidth=1)
    trained.text(0, 0.05, "data", color=GREY)
    trained.set(xlabel="step", ylabel="place of the generated point", ylim=(-0.5, 4))
    trained.set_title("to learn from")
    trained.legend(loc="upper right")
