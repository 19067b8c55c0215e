"""The game f(x, y) = xy under the zoo's dynamics: who circles, who spirals out, who arrives.

Claim: With f = xy, one player ascending in x and the other descending in y by gradient steps, the game oscillates
around its equilibrium (0, 0) and does not converge. Averaging, regularising the gradient, consensus optimisation,
unrolling, noise on D's inputs and a penalty on D's weights make it converge; since the lectures, so do extragradient,
optimistic and lookahead steps.

Paper: Goodfellow 2016, "NIPS 2016 Tutorial: Generative Adversarial Networks", section 8.2; Mescheder et al. 2017, "The
Numerics of GANs"; Nagarajan & Kolter 2017, "Gradient descent GAN optimization is locally stable"; Metz et al. 2017,
"Unrolled Generative Adversarial Networks"; Salimans et al. 2016, "Improved Techniques for Training GANs", section 3.3;
Daskalakis et al. 2018, "Training GANs with Optimism"; Gidel et al. 2019, "A Variational Inequality Perspective on
Generative Adversarial Networks"; Chavdarova et al. 2021, "Taming GANs with Lookahead-Minmax".

Figure: Left, the paths of three of them from the same start; the cross is the equilibrium. Right, the distance from it
at every step, for all, down to 10^-6.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.dynamics import (
    Alternating,
    Consensus,
    Dynamics,
    Extragradient,
    GradientRegularized,
    Lookahead,
    Optimistic,
    Simultaneous,
    Unrolled,
)
from zoo.lab import Result
from zoo.lab._figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, YELLOW, panels
from zoo.lab._games import play_zerosum
from zoo.stabilizers import HistoricalAveraging, InstanceNoise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LR = 0.1
COLOURS = {
    "simultaneous": RED, "alternating": ORANGE, "average of alternating": BLACK, "historical averaging": PURPLE,
    "lookahead": YELLOW, "extragradient": GREY, "optimistic": BLACK, "unrolled": SKY, "gradient-regularised": BLUE,
    "consensus": GREEN, "instance noise": SKY, "weight penalty": PURPLE,
}  # fmt: skip
DASHES = {"unrolled": "--", "optimistic": ":", "instance noise": ":", "weight penalty": "--"}
PENALTY = 0.5  # on D's weight


def dynamics() -> dict[str, Dynamics]:
    """The zoo's, with constants under which unrolling by 5 and the penalty with η = 5 · 0.1 are the same on xy."""
    return {
        "simultaneous": Simultaneous(), "alternating": Alternating(), "consensus": Consensus(1.0),
        "gradient-regularised": GradientRegularized(0.5), "unrolled": Unrolled(5, lr=0.1),
        "extragradient": Extragradient(), "optimistic": Optimistic(), "lookahead": Lookahead(Simultaneous(), 5, 0.5),
    }  # fmt: skip


def predicted() -> dict[str, float]:
    """The spectral radius of each dynamics' linear map of (x, y), by hand; of a map of several steps, its root.

    Of alternating steps with the penalty w/2 x² the determinant is 1 - hw.
    """
    penalised = math.sqrt(1 - 2 * 0.5 * LR)
    returned = abs(0.5 + 0.5 * (1 - 1j * LR) ** 5)  # in 5 steps
    return {
        "simultaneous": math.sqrt(1 + LR**2), "alternating": 1.0, "consensus": math.hypot(1 - LR * 1.0, LR),
        "gradient-regularised": penalised, "unrolled": penalised, "weight penalty": math.sqrt(1 - LR * PENALTY),
        "extragradient": math.sqrt(1 - LR**2 + LR**4),
        "optimistic": math.sqrt((1 + math.sqrt(1 - 4 * LR**2)) / 2), "lookahead": returned**0.2,
    }  # fmt: skip


def factor(radius: Tensor) -> float:
    """Growth of the distance per step: the slope of its logarithm over the whole path."""
    steps = torch.arange(len(radius), dtype=torch.float64) - (len(radius) - 1) / 2
    return math.exp(float((steps * radius.log()).sum() / steps.square().sum()))


def run(seed: int, quick: bool) -> Result:
    """Play from a start on the unit circle that the seed turns; plain gradient steps of 0.1."""
    steps = 100 if quick else 300
    angle = 2 * math.pi * torch.rand((), dtype=torch.float64)
    start = angle.cos()[None], angle.sin()[None]
    one = torch.ones(1, 1, dtype=torch.float64)
    play = partial(play_zerosum, payoff=one, start=start, steps=steps, lr=LR)
    paths = {name: play(each).squeeze(2) for name, each in dynamics().items()}
    paths["historical averaging"] = play(Alternating(), stabilizers=[HistoricalAveraging(0.5)]).squeeze(2)
    paths["instance noise"] = play(Alternating(), stabilizers=[InstanceNoise(1e9, 0.5)]).squeeze(2)  # does not fall
    paths["weight penalty"] = play(Alternating(), d_penalty=PENALTY).squeeze(2)
    alternating = paths["alternating"]
    paths["average of alternating"] = alternating.cumsum(0) / torch.arange(1, steps + 2)[:, None]
    radius = {name: path.norm(dim=1) for name, path in paths.items()}
    numbers: dict[str, float | list[float]] = {"steps": steps}
    for name, expected in predicted().items():
        numbers[f"{name}: factor per step"] = factor(radius[name])
        numbers[f"{name}: spectral radius"] = expected
    x, y = alternating.unbind(1)
    orbit = x.square() + y.square() + LR * x * y
    numbers["alternating: spread of x² + y² + hxy"] = float(orbit.max() - orbit.min())
    for name in COLOURS:
        numbers[f"{name}: distance at the end"] = float(radius[name][-1])
    return Result(numbers, _finding(numbers), partial(_draw, paths, radius), size=(10.5, 3.8))


def _finding(numbers: dict[str, float | list[float]]) -> str:
    ends = {name: numbers[f"{name}: distance at the end"] for name in COLOURS}
    return (
        f"From distance 1, after {numbers['steps']} steps of {LR}: simultaneous steps spiral out to "
        f"{ends['simultaneous']:.3g}, by √(1 + h²) = {numbers['simultaneous: spectral radius']:.5f} each; alternating "
        f"steps stay on one closed orbit, x² + y² + hxy to {numbers['alternating: spread of x² + y² + hxy']:.0e}. The "
        "lecture blames a game that is not convex; xy is convex in y and concave in x, and it is the rotation that "
        f"does it. The average of the alternating path comes to {ends['average of alternating']:.1e}, at a rate of one "
        f"over the steps. Consensus (γ = 1) ends at {ends['consensus']:.0e}, the penalty on the gradient (η = 0.5) at "
        f"{ends['gradient-regularised']:.0e}, unrolling by 5 at {ends['unrolled']:.0e}: on xy the last two are one "
        f"method. A penalty of {PENALTY}/2 x² on D's weight ends at {ends['weight penalty']:.0e}; noise on D's inputs "
        f"(σ = 0.5) damps nothing and ends at {ends['instance noise']:.2f}: D is linear in its input, and the noise of "
        f"a linear D has mean 0. Historical averaging (weight 0.5) comes to {ends['historical averaging']:.1e}, not "
        f"faster than averages. Extragradient steps end at {ends['extragradient']:.2f}, optimistic ones at "
        f"{ends['optimistic']:.2f}, and lookahead, half the way back after every 5 simultaneous steps, at "
        f"{ends['lookahead']:.2f}: they need no second derivative, and keep 1 - h²/2 of the distance a step, lookahead "
        "1 - 3h²/8."
    )


def _draw(paths: dict[str, Tensor], radius: dict[str, Tensor], figure: Figure) -> None:
    plane, distance = panels(figure, 1, 2)
    for name in ("simultaneous", "alternating", "consensus"):
        x, y = paths[name][:100].unbind(1)
        plane.plot(x, y, color=COLOURS[name], label=name, linewidth=1.2)
    x, y = paths["simultaneous"][0]
    plane.plot(x, y, "o", color=GREY, markersize=6, label="start")
    plane.plot(0, 0, "+", color=BLACK, markersize=10, markeredgewidth=2)
    plane.set(xlabel="x, ascending", ylabel="y, descending", aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
    plane.set_title("f = xy: the first 100 steps")
    plane.legend(loc="upper right", ncols=2, borderpad=0)
    for name, colour in COLOURS.items():
        line = DASHES.get(name, "-")
        distance.semilogy(radius[name], line, color=colour, label=name, zorder=2 if line == "-" else 3)
    floor = max(min(float(r.min()) for r in radius.values()), 1e-6)
    distance.set(xlabel="step", ylabel="distance from the equilibrium", ylim=(10 ** math.floor(math.log10(floor)), 10))
    distance.set_title("Rotation needs damping")
    distance.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
