"""A discriminator trained from scratch against a generator that stays: its error goes to 0, however good the generator.

Claim: Data and samples lie on surfaces of low dimension, which hardly meet. Then a perfect discriminator exists, 1 on
the one and 0 on the other, with no gradient on either; the Jensen-Shannon divergence has its greatest value, log 2. A
discriminator that is trained against a generator of 1, 10 or 25 epochs becomes perfect every time.

Paper: Arjovsky & Bottou 2017, "Towards Principled Methods for Training Generative Adversarial Networks", section 2.1,
theorems 2.1 to 2.3 and figure 1.

Figure: For a generator of 100, 1000 and 2500 steps, over the steps of the new discriminator: its loss on fresh points;
the share of them that it gets wrong; and the size of its gradient, at the samples and half way between data and
samples.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo.lab import Result
from zoo.lab._figures import GREY, panels
from zoo.lab._manifold import COLOURS, Setting, play, retraining, scored
from zoo.variants.minimax import MinimaxGAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 4096  # fresh ones of each kind
Course = dict[str, list[float]]  # over D's steps


def verdict(discriminator: nn.Module, real: Tensor, fake: Tensor) -> dict[str, float]:
    """What a discriminator makes of points (N, 64) that it was not trained on."""
    real_logit, _, at_real = scored(discriminator, real)
    fake_logit, _, at_fake = scored(discriminator, fake)
    _, _, between = scored(discriminator, (real + fake) / 2)
    loss = MinimaxGAN.d_loss(real_logit, fake_logit).item()
    return {
        "loss": loss,
        "error": ((real_logit <= 0).double().mean() + (fake_logit >= 0).double().mean()).item() / 2,
        "least JS": least_js(loss),
        "slope at data": at_real.mean().item(),
        "slope at samples": at_fake.mean().item(),
        "slope half way": between.mean().item(),
    }


def least_js(loss: float) -> float:
    """L_D is 2 log 2 - 2 JS for the optimal discriminator and more for any other: JS ≥ log 2 - L_D / 2, in nats."""
    return math.log(2) - loss / 2


def run(seed: int, quick: bool) -> Result:
    """The networks from the seed, and fresh points for what is measured."""
    setting = play(seed, quick)
    steps = [float(step) for step in setting.duels[0].discriminators]
    courses = observe(setting)
    numbers: dict[str, float | list[float]] = {"steps of D": steps}
    for name, course in courses.items():
        numbers |= {f"{name}: {what}": values for what, values in course.items()}
    return Result(numbers, _finding(steps, courses), partial(_draw, steps, courses), size=(10.5, 3.3))


def observe(setting: Setting) -> dict[str, Course]:
    """Each duel's verdicts on fresh points, over D's steps."""
    courses: dict[str, Course] = {}
    for duel in setting.duels:
        with torch.no_grad():
            real, fake = setting.data(POINTS), duel.generator(torch.randn(POINTS, 2, dtype=torch.float64))
        seen = [verdict(d, real, fake) for d in duel.discriminators.values()]
        courses[duel.name] = {what: [each[what] for each in seen] for what in seen[0]}
    return courses


def _finding(steps: list[float], courses: dict[str, Course]) -> str:
    def listed(what: str, form: str, at: int = -1) -> str:
        return ", ".join(f"{course[what][at]:{form}}" for course in courses.values())

    right = max(next(s for s, e in zip(steps, c["error"], strict=True) if e < 0.001) for c in courses.values())
    return (
        f"Against generators of {', '.join(name.split()[2] for name in courses)} steps, in this order: a discriminator "
        f"that begins with errors of {listed('error', '.0%', 0)} gets less than one fresh point in a thousand wrong by "
        f"step {right:.0f}; at step {steps[-1]:.0f} its loss is {listed('loss', '.0e')}. As JS ≥ log 2 - L/2, data and "
        f"samples have a JS of at least {listed('least JS', '.5f')}, of log 2 = 0.69315, however long the generator "
        f"was trained. The slope of D is {listed('slope at samples', '.0e')} at the samples, and "
        f"{listed('slope half way', '.1f')} half way between them and data. The theorems say that a D exists which is "
        "constant on both surfaces, not that training finds it: the trained one comes near, its slope becomes small "
        "and never 0, and between the surfaces, where nothing is asked of it, the slope grows."
    )


def _draw(steps: list[float], courses: dict[str, Course], figure: Figure) -> None:
    losses, errors, slopes = panels(figure, 1, 3)
    for (name, course), colour in zip(courses.items(), COLOURS, strict=True):
        losses.plot(steps, course["loss"], color=colour, label=name)
        errors.plot(steps, [100 * error for error in course["error"]], color=colour)
        slopes.plot(steps, course["slope at samples"], color=colour)
        slopes.plot(steps, course["slope half way"], "--", color=colour)
    for here in (losses, errors, slopes):
        retraining(here, steps)
    losses.set(yscale="log", ylabel="loss on fresh points (nats)")
    losses.set_title("Its loss goes to 0")
    losses.legend(loc="lower left")
    errors.set(ylabel="fresh points it gets wrong (%)", ylim=(-1, 52))
    errors.set_title("and its error")
    slopes.set(yscale="log", ylabel="‖∇D‖, mean")
    slopes.plot([], [], color=GREY, label="at samples")
    slopes.plot([], [], "--", color=GREY, label="half way to data")
    slopes.set_title("and its slope at the samples")
    slopes.legend(loc="lower left")
