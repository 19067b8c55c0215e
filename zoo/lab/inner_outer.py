"""Min-max against max-min: the player in the inner loop is trained to its optimum, and the order decides the outcome.

Claim: The generator should solve min over G of max over D. Gradient descent does not know the order, and may solve max
over D of min over G: then the generator, in the inner loop, puts all its mass on the one point that D finds most real,
D learns to reject it, and the mass moves on. In the extreme D stays and G's samples no longer depend on z.

Paper: Goodfellow 2016, "NIPS 2016 Tutorial: Generative Adversarial Networks", section 5.1.1; Metz et al. 2017,
"Unrolled Generative Adversarial Networks", section 1.

Figure: Samples (orange) against 8 Gaussians (grey) in the course of four trainings of the same networks: with D in the
inner loop, the same with -log D as G's loss, with G in the inner loop, and with D held as it is. Right, how many modes
have samples.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.dynamics import Alternating
from zoo.gan import GAN
from zoo.lab import Result
from zoo.lab._figures import BLACK, BLUE, GREY, ORANGE, RED, SKY, plane
from zoo.lab._games import Stream, fit
from zoo.metrics import mode_coverage
from zoo.optim import Adam
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RADIUS, STD = 2.0, 0.2  # wider modes than the ring's, on which minimax GANs collapse in any order
INNER = 10  # moves of the inner loop
BATCH = 128
SHOWN = (0.25, 0.5, 0.75, 1.0)  # of the run
ANGLES = torch.arange(8) * (2 * math.pi / 8)
OUTER, HEURISTIC, INSIDE, HELD = "min over G, max over D", "the same, -log D", "max over D, min over G", "D held"
CENTRES = RADIUS * torch.stack([ANGLES.cos(), ANGLES.sin()], 1)


class Held(nn.Module):
    """The optimal discriminator of the data, widened to σ = 0.5, against N(0, 4 I): it has a finite maximum.

    A network of ReLUs need not have one, and a generator that plays against it alone may run off to infinity.
    """

    num_classes = None

    def __init__(self) -> None:
        super().__init__()
        self.still = nn.Parameter(torch.zeros(1), requires_grad=False)  # an optimiser wants one

    def forward(self, x: Tensor) -> Tensor:
        """Log p_data(x) - log p_N(x), (N,)."""
        square = torch.cdist(x, CENTRES, compute_mode="donot_use_mm_for_euclid_dist").square()
        data = (-square / (2 * 0.5**2)).logsumexp(1) - math.log(8 * 0.5**2)
        return data + x.square().sum(1) / (2 * 4) + math.log(4)


def draw_data(n: int) -> Tensor:
    """Points (n, 2) of the 8 Gaussians."""
    return CENTRES[torch.randint(8, (n,))] + STD * torch.randn(n, 2)


def spread(samples: Tensor) -> float:
    """Root mean square distance from the mean: 2.02 for the data, 0 for a point."""
    return (samples - samples.mean(0)).square().sum(1).mean().sqrt().item()


def train(
    objective: type[GAN], discriminator: nn.Module, dynamics: Alternating, batches: int
) -> tuple[list[Tensor], list[int]]:
    """Samples (1000, 2) of a GAN at SHOWN, and how many modes have 20 of them, at 50 places of the run."""
    generator = MLPGenerator((2,), latent_dim=16, width=64, depth=2)
    gan = objective(
        generator, discriminator, dynamics=dynamics, g_optimizer=lambda p: Adam(p, lr=2e-3),
        d_optimizer=lambda p: Adam(p, lr=1e-3),
    )  # fmt: skip
    z = torch.randn(1000, 16)
    shown: list[Tensor] = []
    modes: list[int] = []

    def look(batch: int) -> None:
        due = batch in [round(share * batches) for share in SHOWN]
        if due or batch * 50 % batches < 50:
            samples = gan.sample(1000, z=z)
            shown.extend([samples] if due else [])
            modes.append(mode_coverage(samples, CENTRES, STD).populated)

    fit(gan, Stream(lambda: draw_data(BATCH), batches), batches, look)
    return shown, modes


def run(seed: int, quick: bool) -> Result:
    """Networks from the seed; with D held the run is half as long.

    Where G stands in the inner loop its loss is -log D: for a D that stays, it is least where log(1 - D) is, at D's
    maximum, and it does not saturate if G runs off on the way.

    Of seeds 0 to 6 the min-max game ends with all 8 modes on six, and on seed 4 with 5.
    """
    rounds = 60 if quick else 300
    net = partial(MLPDiscriminator, (2,), width=128, depth=2)
    runs = {
        OUTER: train(MinimaxGAN, net(), Alternating(d_steps=INNER), rounds * INNER),
        HEURISTIC: train(NSGAN, net(), Alternating(d_steps=INNER), rounds * INNER),
        INSIDE: train(NSGAN, net(), Alternating(g_steps=INNER), rounds),
        HELD: train(NSGAN, Held(), Alternating(g_steps=INNER), rounds // 2),
    }
    numbers: dict[str, float | list[float]] = {"rounds": rounds}
    for name, (shown, modes) in runs.items():
        numbers[f"{name}: modes at the end, of 8"] = modes[-1]
        numbers[f"{name}: modes, mean of the second half"] = sum(modes[len(modes) // 2 :]) / len(
            modes[len(modes) // 2 :]
        )
        numbers[f"{name}: spread at {', '.join(f'{share:.0%}' for share in SHOWN)}"] = [spread(each) for each in shown]
    return Result(numbers, _finding(runs, numbers), partial(_draw, runs), size=(10.5, 5.6))


def _finding(runs: dict[str, tuple[list[Tensor], list[int]]], numbers: dict[str, float | list[float]]) -> str:
    ends = {name: modes[-1] for name, (_, modes) in runs.items()}
    visited = len({int(torch.cdist(samples.mean(0)[None], CENTRES).argmin()) for samples in runs[INSIDE][0]})
    average = numbers[f"{INSIDE}: modes, mean of the second half"]
    return (
        f"With {INNER} moves of D to one of G, {ends[OUTER]} of 8 modes have samples after {numbers['rounds']} "
        f"rounds. With {INNER} moves of G to one of D the same networks have {average:.1f} on average over the second "
        f"half, and sit at {visited} different ones at the four times shown. Against a D that is held, {ends[HELD]} "
        f"mode is left and the spread of the samples falls to {spread(runs[HELD][0][-1]):.3f} (the data's is "
        f"{math.hypot(RADIUS, STD * math.sqrt(2)):.2f}): they do not depend on z any more. That takes a D with a "
        "finite maximum, which the lecture does not say and a network of ReLUs need not have. The order is not all: "
        f"with D in the inner loop and -log D as G's loss, which is not that of the min-max game, {ends[HEURISTIC]} "
        "of 8 modes have samples."
    )


def _draw(runs: dict[str, tuple[list[Tensor], list[int]]], figure: Figure) -> None:
    grid = figure.add_gridspec(len(runs), len(SHOWN) + 2)
    axes = [[figure.add_subplot(grid[i, j]) for j in range(len(SHOWN))] for i in range(len(runs))]
    curves = figure.add_subplot(grid[:, len(SHOWN) :])
    for row, (name, (shown, modes)), colour in zip(axes, runs.items(), (BLUE, SKY, RED, BLACK), strict=True):
        for here, samples in zip(row, shown, strict=True):
            here.plot(*CENTRES.T, "o", color=GREY, markersize=11, alpha=0.5, markeredgewidth=0)
            here.plot(*samples.T, ".", color=ORANGE, markersize=2)
            plane(here, 3.2)
        row[0].set_ylabel(name.replace(", ", ",\n"))
        curves.plot(torch.linspace(0, 100, len(modes)), modes, color=colour, label=name)
    for here, share in zip(axes[0], SHOWN, strict=True):
        here.set_title(f"{share:.0%} of the run")
    curves.set(xlabel="share of the run (%)", ylabel="modes with 20 of 1,000 samples", ylim=(-0.1, 10.5))
    curves.legend(loc="upper left")
