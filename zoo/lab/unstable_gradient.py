"""The -log D generator's gradient against an ever better discriminator: it grows, and its noise with it.

Claim: With -log D as its loss the generator's gradient does not vanish. At the optimal discriminator it is that of
KL(samples ‖ data) - 2 JS, with the JS of the wrong sign. Near a perfect one, where the errors of D and of its gradient
are white noise, each of its coordinates is a Cauchy variable, without expectation or variance: the gradient grows, its
variance too, and updates do harm.

Paper: Arjovsky & Bottou 2017, "Towards Principled Methods for Training Generative Adversarial Networks", section
2.2.2, theorems 2.5 and 2.6, figure 3.

Figure: Left, the size of the gradient (lines) and its deviation between batches of 64 (dashed) over the steps of a
discriminator trained from scratch, for generators of 100, 1000 and 2500 steps. Middle, both sides of theorem 2.5 for
data N(0, 1) and samples N(t, 1). Right, how often a coordinate of a batch's gradient is k times as far from its median
as half of them are: by theorem 2.6's noise, and in the trained networks at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from zoo.lab import Result
from zoo.lab._figures import BLACK, GREY, PURPLE, SKY, YELLOW, panels
from zoo.lab._manifold import COLOURS, DIM, Duel, gradient, play, retraining
from zoo.lab.divergences import integral, normal, shifted
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH, BATCHES = 64, 8
MANY = 512  # batches, for the tails
DRAWS = 100_000  # of the noise
ERROR, SLOPE_ERROR = 1.0, 2.0  # standard deviations of theorem 2.6's noises, of D and of its gradient
AVERAGED = (1, 10, 100)
SOME_T = (0.5, 1.0, 2.0, 4.0)
HALF_OF_GAUSS = 0.67449  # half of N(0, 1) lies within
NOISE = "noise of theorem 2.6"
Course = tuple[list[float], list[float]]  # sizes and deviations over D's steps


def size_and_deviation(gradients: Tensor) -> tuple[float, float]:
    """Of the gradients of B batches (B, P): the norm of their mean, and their root mean square distance from it."""
    apart = gradients - gradients.mean(0)
    return gradients.mean(0).norm().item(), (apart.square().sum() / (len(gradients) - 1)).sqrt().item()


def pulls(t: Tensor, g_loss: Callable[[Tensor], Tensor]) -> Tensor:
    """d/dt of a generator's loss for samples t + z and data N(0, 1), for each t (T,).

    By quadrature over z. The discriminator is optimal, of logit t²/2 - t x, and held; only the samples move.
    """
    z = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    moved = torch.zeros_like(t, requires_grad=True)
    logit = t[:, None].square() / 2 - t[:, None] * (t[:, None] + moved[:, None] + z)
    losses = torch.vmap(torch.vmap(lambda score: g_loss(score[None])))(logit)
    (slope,) = torch.autograd.grad(integral(normal(z).exp() * losses, z).sum(), moved)
    return slope


def theorem_2_5(t: Tensor) -> Tensor:
    """d/dt of KL(samples ‖ data) - 2 JS for each t (T,)."""
    curves = shifted(t)
    return curves["reverse KL"][1] - 2 * curves["JS"][1]


def noise_gradient(batches: int, batch: int) -> Tensor:
    """A coordinate of -∇ log D in theorem 2.6, averaged over a batch: of -r / ε, with both white noise, (batches,).

    It is taken at samples where the perfect D and its gradient are 0, D errs by ε and its gradient by r.
    """
    r = SLOPE_ERROR * torch.randn(batches, batch, dtype=torch.float64)
    epsilon = ERROR * torch.randn(batches, batch, dtype=torch.float64)
    return -(r / epsilon).mean(1)


def batch_gradients(duel: Duel, discriminator: nn.Module) -> Tensor:
    """-∇ log D with respect to the bias of G's last layer, which is added to each sample: (MANY, 64), a row a batch."""
    with torch.no_grad():
        samples = duel.generator(torch.randn(MANY * BATCH, 2, dtype=torch.float64))
    at = samples.requires_grad_(True)
    (slope,) = torch.autograd.grad(len(at) * NSGAN.g_loss(discriminator(at)[0]), at)
    return slope.view(MANY, BATCH, DIM).mean(1)


def standardised(coordinates: Tensor) -> Tensor:
    """Distances from the median in units of their own median, for each column of (N, K); flat and sorted."""
    away = (coordinates - coordinates.median(0).values).abs()
    return (away / away.median(0).values).flatten().sort().values


def run(seed: int, quick: bool) -> Result:
    """The networks from the seed; fresh latents and noise for what is measured."""
    setting = play(seed, quick)
    steps = [float(step) for step in setting.duels[0].discriminators]
    t = torch.tensor(SOME_T, dtype=torch.float64)
    numbers: dict[str, float | list[float]] = {
        "steps of D": steps, "t": list(SOME_T),
        "gradient of -log D": pulls(t, NSGAN.g_loss).tolist(),
        "gradient of KL - 2 JS": theorem_2_5(t).tolist(),
        "gradient of log(1 - D)": pulls(t, MinimaxGAN.g_loss).tolist(),
    }  # fmt: skip
    for n in AVERAGED:
        noise = noise_gradient(DRAWS, n)
        numbers[f"noise, mean of {n}: median, half the quartiles' distance"] = [
            noise.median().item(), (noise.quantile(0.75) - noise.quantile(0.25)).item() / 2
        ]  # fmt: skip
    tails = {NOISE: standardised(noise_gradient(DRAWS, BATCH)[:, None])}
    z = torch.randn(BATCHES, BATCH, 2, dtype=torch.float64)
    courses = {duel.name: observe(duel, z) for duel in setting.duels}
    for duel in setting.duels:
        last = list(duel.discriminators.values())[-1]
        numbers[f"{duel.name}: gradient"], numbers[f"{duel.name}: deviation between batches"] = courses[duel.name]
        tails[duel.name] = standardised(batch_gradients(duel, last))
    for name, tail in tails.items():
        numbers[f"{name}: 99 % lie within, in medians"] = tail[int(0.99 * len(tail))].item()
    return Result(numbers, _finding(numbers, courses), partial(_draw, steps, courses, tails), size=(11, 3.5))


def observe(duel: Duel, z: Tensor) -> Course:
    """Sizes and deviations over batches of latents z (B, N, 2), for each discriminator."""
    seen = [
        size_and_deviation(torch.stack([gradient(duel.generator, d, batch, NSGAN.g_loss) for batch in z]))
        for d in duel.discriminators.values()
    ]
    return [size for size, _ in seen], [deviation for _, deviation in seen]


def _finding(numbers: dict[str, float | list[float]], courses: dict[str, Course]) -> str:
    def listed(values: Iterable[float], form: str) -> str:
        return ", ".join(f"{value:{form}}" for value in values)

    ours, theirs = (cast(list[float], numbers[f"gradient of {of}"]) for of in ("-log D", "KL - 2 JS"))
    apart = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    within = {name: cast(float, numbers[f"{name}: 99 % lie within, in medians"]) for name in (NOISE, *courses)}
    noise = (cast(list[float], numbers[f"noise, mean of {n}: median, half the quartiles' distance"]) for n in AVERAGED)
    sizes, deviations = zip(*courses.values(), strict=True)
    growth = [
        f"from {listed((each[0] for each in some), '.2f')} to {listed((each[-1] for each in some), '.0f')}"
        for some in (sizes, deviations)
    ]
    return (
        f"For data N(0, 1) and samples N(t, 1), t = {listed(SOME_T, 'g')}, -log D at the optimal discriminator pulls "
        f"by {listed(ours, '.3f')}: the gradient of KL - 2 JS, to {apart:.0e}. Against generators of "
        f"{', '.join(name.split()[2] for name in courses)} steps, in this order, the gradient grows {growth[0]} as D "
        f"is trained, and its deviation between batches of {BATCH} {growth[1]}. They grow together: in the end the "
        f"deviation is {listed((d[-1] / s[-1] for s, d in courses.values()), '.2f')} of the gradient. The theorem's "
        f"noise is Cauchy: half of its means of {listed(AVERAGED, 'd')} lie within "
        f"{listed((half for _, half in noise), '.2f')} of 0, so that averages do not help; their expectation is "
        "undefined, not infinite as the lecture says. The trained networks have no such tails: 99 % of their "
        f"coordinates lie within {listed(list(within.values())[1:], '.1f')} medians (Gauss: 3.8), of the noise's "
        f"within {within[NOISE]:.0f} (Cauchy: 63.7). For a trained D is no white noise around the perfect one: it lies "
        "above 0 at every sample, and its slope becomes small with it. What is left of their ratio is the slope of its "
        "logit."
    )


def _draw(steps: list[float], courses: dict[str, Course], tails: dict[str, Tensor], figure: Figure) -> None:
    growing, identity, survival = panels(figure, 1, 3)
    for (name, (sizes, deviations)), colour in zip(courses.items(), COLOURS, strict=True):
        growing.plot(steps, sizes, color=colour, label=name)
        growing.plot(steps, deviations, "--", color=colour)
    retraining(growing, steps)
    growing.plot([], [], "--", color=GREY, label="deviation")
    growing.set(yscale="log", ylabel="‖∇ E -log D(G(z))‖")
    growing.set_title("The gradient grows, its noise with it")
    growing.legend(loc="lower right")
    t = torch.linspace(0.05, 5, 100, dtype=torch.float64)
    identity.plot(t, pulls(t, NSGAN.g_loss), color=BLACK, label="-log D at D*")
    identity.plot(t, theorem_2_5(t), ":", color=YELLOW, linewidth=2.5, label="KL - 2 JS")
    identity.plot(t, pulls(t, MinimaxGAN.g_loss), color=SKY, label="log(1 - D) at D*")
    identity.set(xlabel="distance t", ylabel="gradient in t")
    identity.set_title("Theorem 2.5 holds")
    identity.legend(loc="upper left")
    for (name, tail), colour in zip(tails.items(), (PURPLE, *COLOURS), strict=True):
        survival.loglog(tail, 1 - torch.arange(len(tail)) / len(tail), color=colour, label=name)
    k = torch.logspace(-1, 3, 200, dtype=torch.float64)
    survival.loglog(k, 1 - 2 / math.pi * k.atan(), ":", color=BLACK, label="Cauchy")
    survival.loglog(k, torch.erfc(k * HALF_OF_GAUSS / math.sqrt(2)), ":", color=GREY, label="Gauss")
    survival.set(xlabel="k", ylabel="share beyond k medians", xlim=(0.3, 1000), ylim=(1e-4, 1.2))
    survival.set_title("Theorem 2.6's tails, and those of networks")
    survival.legend(loc="upper right")
