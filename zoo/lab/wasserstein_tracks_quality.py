"""Does the loss tell how good the samples are? A critic's estimate and a GAN's loss beside the exact distance.

Claim: The critic's estimate of the Wasserstein distance follows the quality of the samples, so that one can watch it
and stop by it. The loss of a GAN, and the Jensen-Shannon divergence that its discriminator estimates, do not.

Paper: Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", section 4.2, figures 3 and 4; Gulrajani et al. 2017,
"Improved Training of Wasserstein GANs", section 5.

Figure: Above a WGAN-GP, below a GAN with the -log D loss, on the ring of 8 Gaussians. Left, what the loss says, middle,
the exact distance between 1,000 samples and 1,000 points, over the generator's steps; grey is the warm-up, which is
not counted. Right, one against the other, with the rank correlation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.datamodules import Toy
from zoo.gan import GAN
from zoo.lab import Result, _ring
from zoo.lab._figures import BLUE, GREY, ORANGE, panels
from zoo.lab._games import fit
from zoo.lab.perfect_discriminator import least_js
from zoo.variants.nsgan import NSGAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 1000  # of the exact distance
FRESH = 20_000  # points and samples of the loss, others than those of the distance
CHECKS, WARM_UP = 45, 15  # of the generator's steps; the first are not counted, which was fixed before the runs
WASSERSTEIN, PLAIN = "WGAN-GP", "-log D"
SAID = {WASSERSTEIN: "estimate of W₁", PLAIN: "estimate of JS (nats)"}


class Course(NamedTuple):
    """What was seen of a game at each check."""

    steps: list[int]  # of G
    said: list[float]  # what the loss says of FRESH points and samples
    g_loss: list[float]
    distance: list[float]  # W₁, exact between two sets of POINTS


def correlation(x: list[float], y: list[float]) -> float:
    """Spearman's, of ranks."""
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)


def detrended(values: list[float]) -> list[float]:
    """What a straight line over the checks, by least squares, leaves of them."""
    checks = np.arange(len(values))
    return (np.array(values) - np.polyval(np.polyfit(checks, values, 1), checks)).tolist()


def exact_distance(x: Tensor, y: Tensor) -> float:
    """W₁ of two sets of N points (N, D): the least mean distance over all ways to pair them off."""
    from scipy.optimize import linear_sum_assignment

    cost = torch.cdist(x.double(), y.double())
    rows, columns = linear_sum_assignment(cost.numpy())
    return cost[rows, columns].mean().item()


def watch(gan: GAN, data: Toy, batches: int, g_steps: int, say: Callable[[Tensor, Tensor], float]) -> Course:
    """Play until G has moved `g_steps` times; `say` takes the scores of data and of samples, each (N,)."""
    held_out, real = data.splits["val"].data, data.splits["train"].data
    due = [g_steps * check // CHECKS for check in range(1, CHECKS + 1)]
    course = Course([], [], [], [])

    def look(step: int) -> None:
        if gan.g_moves not in due[len(course.steps) :]:
            return
        samples = gan.sample(POINTS + FRESH, seed=gan.g_moves)
        points = real[torch.randperm(len(real))[:FRESH]]
        with torch.no_grad():
            scores = [gan.discriminator(x)[0] for x in (points, samples[POINTS:])]
        course.steps.append(gan.g_moves)
        course.said.append(say(*scores))
        course.g_loss.append(gan.g_loss(scores[1]).item())
        course.distance.append(exact_distance(samples[:POINTS], held_out[torch.randperm(len(held_out))[:POINTS]]))

    fit(gan, data, batches, look)
    return course


def run(seed: int, quick: bool) -> Result:
    """Both games of docs/ring.md, from the same networks: 256-128-128-2 and 2-128-128-128-1.

    The estimate is E D(x) - E D(G(z)) on other points and samples than the exact distance: on the same ones, the noise
    of sampling would be common to both. The GAN's is log 2 - L_D / 2, what its discriminator makes of the
    Jensen-Shannon divergence. A correlation without the straight line of each tells whether more than a common trend
    is followed.

    Deviations: λ is 0.1, the paper's 10, so the critic's slope is no 1, and the estimate a multiple of W₁; the rates
    are ten times the paper's, and β₁ is 0.5, the paper's 0. With the paper's λ and rates of 2e-4 and 5e-4 the samples
    hardly change in 1,500 steps of G.
    """
    g_steps = CHECKS if quick else 2500
    wgan, data = _ring.start("wgan_gp", seed)
    nsgan, _ = _ring.start("nsgan", seed)
    data.setup()
    batches = _ring.CRITIC_STEPS * g_steps
    courses = {
        WASSERSTEIN: watch(wgan, data, batches, g_steps, lambda r, f: (r.mean() - f.mean()).item()),
        PLAIN: watch(nsgan, data, g_steps, g_steps, lambda r, f: least_js(NSGAN.d_loss(r, f).item())),
    }
    points = data.splits["train"].data
    floor = exact_distance(points[:POINTS], points[POINTS : 2 * POINTS])
    numbers: dict[str, float | list[float]] = {"W₁ of two draws of the data": floor}
    for name, course in courses.items():
        numbers[f"{name}: steps of G"] = [float(step) for step in course.steps]
        numbers[f"{name}: exact W₁"], numbers[f"{name}: {SAID[name]}"] = course.distance, course.said
        numbers[f"{name}: loss of G"] = course.g_loss
        numbers[f"{name}: rank correlation, {SAID[name]}"] = correlation(
            course.said[WARM_UP:], course.distance[WARM_UP:]
        )
        numbers[f"{name}: rank correlation, detrended"] = correlation(
            detrended(course.said[WARM_UP:]), detrended(course.distance[WARM_UP:])
        )
        numbers[f"{name}: rank correlation, whole run"] = correlation(course.said, course.distance)
        numbers[f"{name}: rank correlation, loss of G"] = correlation(
            course.g_loss[WARM_UP:], course.distance[WARM_UP:]
        )
    return Result(numbers, _finding(numbers, courses), partial(_draw, courses), size=(10.5, 5.6))


def _finding(numbers: dict[str, float | list[float]], courses: dict[str, Course]) -> str:
    def correlated(name: str, what: str) -> str:
        return f"{numbers[f'{name}: rank correlation, {what}']:.2f}"

    def course(values: list[float]) -> str:
        return f"from {values[WARM_UP]:.2f} to {values[-1]:.2f}"

    wgan, gan = courses[WASSERSTEIN], courses[PLAIN]
    said, js = SAID[WASSERSTEIN], SAID[PLAIN]
    return (
        f"Two draws of {POINTS} points of the data are {numbers['W₁ of two draws of the data']:.2f} apart. After the "
        f"first third of the run, which was set aside beforehand, the exact distance of WGAN-GP's samples goes "
        f"{course(wgan.distance)} and its estimate {course(wgan.said)}. Their rank correlation is "
        f"{correlated(WASSERSTEIN, said)}, and {correlated(WASSERSTEIN, 'detrended')} without the straight line of "
        f"each; over the whole run it is {correlated(WASSERSTEIN, 'whole run')}. The distance of "
        f"-log D's samples goes {course(gan.distance)}; its discriminator's estimate of JS has a correlation of "
        f"{correlated(PLAIN, js)} with that, {correlated(PLAIN, 'detrended')} without the lines, and its generator's "
        f"loss one of {correlated(PLAIN, 'loss of G')}, where 1 would be a loss to go by. A correlation that goes with "
        "the lines says that both fall, not that one tells when the other rises."
    )


def _draw(courses: dict[str, Course], figure: Figure) -> None:
    axes = panels(figure, 2, 3)
    for row, (name, course), colour in zip((axes[:3], axes[3:]), courses.items(), (BLUE, ORANGE), strict=True):
        said, exact, both = row
        for here, values in ((said, course.said), (exact, course.distance)):
            here.axvspan(0, course.steps[WARM_UP - 1], color=GREY, alpha=0.2, linewidth=0)
            here.plot(course.steps, values, color=colour)
            here.set(xlabel="step of G", xlim=(0, course.steps[-1]))
        said.set_ylabel(SAID[name])
        said.set_title(f"{name}: what the loss says")
        exact.set(ylabel="W₁, exact", ylim=(0, None))
        exact.set_title("and how far the samples are")
        both.plot(course.said[:WARM_UP], course.distance[:WARM_UP], "o", color=GREY, alpha=0.5, markersize=3)
        both.plot(course.said[WARM_UP:], course.distance[WARM_UP:], "o", color=colour, markersize=4)
        both.set(xlabel=SAID[name], ylabel="W₁, exact", ylim=(0, None))
        both.set_title(f"rank correlation {correlation(course.said[WARM_UP:], course.distance[WARM_UP:]):.2f}")
