"""Two Gaussians that hardly overlap: the discriminator's slope vanishes, the critic's stays.

Claim: A discriminator that is trained to the end tells data and samples apart perfectly and has no gradient at either.
A Wasserstein critic cannot saturate: it is close to linear between them and beyond, a usable gradient everywhere.

Paper: Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", figure 2; Gulrajani et al. 2017, "Improved Training of
Wasserstein GANs".

Figure: Left, the data N(-2, 0.5²), the samples N(2, 0.5²), and what a trained discriminator, the optimal one and two
critics say along the line; critics are scaled to the same span. Right, the size of their slopes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo.backbones import MLPDiscriminator
from zoo.lab import Result
from zoo.lab._figures import BLACK, BLUE, GREEN, GREY, ORANGE, RED, panels
from zoo.lab._games import Fixed, Stream, train_critic
from zoo.lab.divergences import normal
from zoo.optim import Adam
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.wgan import WGAN
from zoo.variants.wgan_gp import WGANGP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEAN, STD = 2.0, 0.5
PENALTY = 10.0
Curves = dict[str, tuple[Tensor, Tensor]]  # value and slope at each x


def optimum(x: Tensor) -> tuple[Tensor, Tensor]:
    """D* = σ(-2 MEAN x / STD²) and its slope, by hand."""
    steepness = 2 * MEAN / STD**2
    return torch.sigmoid(-steepness * x), -steepness * torch.sigmoid(-steepness * x) * torch.sigmoid(steepness * x)


def penalised_slope(distance: float, weight: float) -> float:
    """What the slope of a linear critic comes to under WGAN-GP, between two masses at this distance: 1 + Δ / 2λ.

    The loss -Δ s + λ (s - 1)² is least there.
    """
    return 1 + distance / (2 * weight)


def slopes(critic: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scores at x (N,) and their derivatives."""
    at = x[:, None].clone().requires_grad_(True)
    score = critic(at)[0]
    (slope,) = torch.autograd.grad(score.sum(), at)
    return score.detach(), slope[:, 0]


def run(seed: int, quick: bool) -> Result:
    """Networks 1-64-64-1 from the seed; D alone moves."""
    steps = 500 if quick else 2000
    data = Stream(lambda: -MEAN + STD * torch.randn(256, 1), steps)
    samples = Fixed(lambda z: MEAN + STD * z, latent_dim=1)
    train = partial(train_critic, generator=samples, data=data, steps=steps)
    nets = {
        "discriminator": train(MinimaxGAN, critic=_net(), d_optimizer=_adam),
        "critic, gradient penalty": train(WGANGP, critic=_net(), gp_weight=PENALTY, d_optimizer=_adam),
        "critic, clipping": train(WGAN, critic=_net()),
    }
    x = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    curves = {name: slopes(net, x) for name, net in nets.items()}
    logit, slope = curves["discriminator"]
    curves["discriminator"] = logit.sigmoid(), logit.sigmoid() * (-logit).sigmoid() * slope
    curves["optimal discriminator"] = optimum(x)
    noise = torch.randn(2, 10_000, 1, dtype=torch.float64)
    penalised = nets["critic, gradient penalty"]
    estimate = (penalised(STD * noise[0] - MEAN)[0].mean() - penalised(STD * noise[1] + MEAN)[0].mean()).item()
    places = [-8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0]
    at = [int((x - place).abs().argmin()) for place in places]
    numbers: dict[str, float | list[float]] = {"steps": steps, "x": places}
    for name, (_, each) in curves.items():
        numbers[f"slope of the {name}"] = each[at].tolist()
    predicted = penalised_slope(2 * MEAN, PENALTY)
    numbers |= {"slope of a penalised linear critic": -predicted, "W₁": 2 * MEAN}
    numbers |= {"W₁ by the penalised critic": estimate, "W₁ by a penalised linear critic": 2 * MEAN * predicted}
    d, gp, clip = (curves[name][1][at] for name in nets)
    finding = (
        f"The trained discriminator's slope is {d[3]:.1f} half way, {d[4]:.0e} at the samples' mean (the optimal "
        f"one's is {curves['optimal discriminator'][1][at[4]]:.0e}; a network overshoots it, as batches hardly "
        f"ever have a point on the wrong side) and {d[6]:.0e} at 8. The penalised critic's is {gp[3]:.2f}, "
        f"{gp[4]:.2f} and {gp[6]:.2f}: not 1, as {predicted:.1f} = 1 + Δ/2λ is the optimum of the penalised problem, "
        f"and its estimate of W₁ = {2 * MEAN:g} is {estimate:.2f}. The clipped critic's slope is {clip.min():.0e} to "
        f"{clip.max():.0e}: of one order, but in an unknown unit. Where no penalty is taken, the penalised "
        f"critic has {gp[0]:.2f} at -8, behind the data, and {gp[6]:.2f} at 8, behind the samples, which sends samples "
        f"{'away from' if gp[6] > 0 else 'towards'} the data."
    )
    return Result(numbers, finding, partial(_draw, x, curves), size=(9.5, 3.5))


def _adam(parameters: Any) -> Adam:
    return Adam(parameters, lr=1e-3, beta2=0.9)


def _net() -> MLPDiscriminator:
    return MLPDiscriminator((1,), width=64, depth=2)


def _draw(x: Tensor, curves: Curves, figure: Figure) -> None:
    values, steepness = panels(figure, 1, 2)
    values.fill_between(x, normal(x, -MEAN, STD).exp(), color=GREY, alpha=0.6, linewidth=0, label="data")
    values.fill_between(x, normal(x, MEAN, STD).exp(), color=ORANGE, alpha=0.4, linewidth=0, label="samples")
    looks = {
        "optimal discriminator": (BLACK, ":"), "discriminator": (RED, "-"), "critic, gradient penalty": (BLUE, "-"),
        "critic, clipping": (GREEN, "--"),
    }  # fmt: skip
    for name, (colour, line) in looks.items():
        value, slope = curves[name]
        if name.startswith("critic"):
            value = (value - value.min()) / (value.max() - value.min())
        values.plot(x, value, line, color=colour, label=name)
        steepness.semilogy(x, slope.abs().clamp_min(1e-30), line, color=colour, label=name)
    values.set(xlabel="x", ylabel="D(x); critics scaled to [0, 1]", ylim=(0, 1.5))
    values.set_title("The discriminator is a step, the critic a ramp")
    values.legend(loc="upper right", ncols=2)
    for place, colour in ((-MEAN, GREY), (MEAN, ORANGE)):
        steepness.axvspan(place - 2 * STD, place + 2 * STD, color=colour, alpha=0.25, linewidth=0)
    steepness.set(xlabel="x", ylabel="|slope|", ylim=(1e-25, 1e3))
    steepness.set_title("whose slope does not vanish")
