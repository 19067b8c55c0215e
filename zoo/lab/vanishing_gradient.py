"""The minimax generator's gradient against an ever better discriminator, and the theorem's bound on it.

Claim: The better the discriminator, the smaller the gradient of E log(1 - D(G(z))): with D within ε of the perfect
one it is below M ε / (1 - ε), for a generator whose Jacobian has size M. While D is trained against a generator that
stays, the gradient falls by up to five orders of magnitude.

Paper: Arjovsky & Bottou 2017, "Towards Principled Methods for Training Generative Adversarial Networks", section
2.2.1, theorem 2.4 and figure 2.

Figure: Over the steps of a discriminator trained from scratch, for generators of 100, 1000 and 2500 steps: left, the
size of the generator's gradient (lines) and the bound (dashed) from where D is within 1 of perfect. Right, ε.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from zoo.lab import Result
from zoo.lab._figures import GREY, panels
from zoo.lab._manifold import COLOURS, Duel, gradient, play, retraining, scored
from zoo.variants.minimax import MinimaxGAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LATENTS = 256


def sensitivity(generator: nn.Module, z: Tensor) -> float:
    """M: the root of E‖J‖², with J the Jacobian of G(z) with respect to its parameters, in spectral norm.

    For a G of linear layers with biases: a layer with input a and output h adds (‖a‖² + 1) ∂G/∂h (∂G/∂h)ᵀ to J Jᵀ.
    """
    seen: list[tuple[Tensor, Tensor]] = []

    def see(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
        seen.append((given[0], made))
        return made.clone()  # which a rectifier in place may write over

    hooks = [module.register_forward_hook(see) for module in generator.modules() if isinstance(module, nn.Linear)]
    samples = generator(z)
    for hook in hooks:
        hook.remove()
    outputs = [made for _, made in seen]
    rows = [torch.autograd.grad(column.sum(), outputs, retain_graph=True) for column in samples.unbind(1)]
    gram = torch.zeros(len(z), samples.shape[1], samples.shape[1], dtype=samples.dtype)
    for (given, _), slopes in zip(seen, zip(*rows, strict=True), strict=True):
        slope = torch.stack(slopes, 1)  # (N, D, units)
        gram += (given.detach().square().sum(1) + 1)[:, None, None] * (slope @ slope.mT)
    return torch.linalg.eigvalsh(gram)[:, -1].mean().sqrt().item()


def distance(discriminator: nn.Module, samples: Tensor) -> float:
    """ε: the largest |D - D*| + ‖∇D - ∇D*‖ at the samples (N, D), where the perfect D* and its gradient are 0.

    The theorem takes it over the whole surface; its proof needs no more than the points that the gradient is taken at.
    """
    _, d, slope = scored(discriminator, samples)
    return (d + slope).max().item()


def bound(m: float, epsilon: float) -> float:
    """Theorem 2.4's M ε / (1 - ε); infinite from ε = 1 on, where the theorem says nothing."""
    return m * epsilon / (1 - epsilon) if epsilon < 1 else math.inf


def run(seed: int, quick: bool) -> Result:
    """The networks from the seed; the gradient, ε and M are all of the same latents, so that the bound is one."""
    setting = play(seed, quick)
    z = torch.randn(LATENTS, 2, dtype=torch.float64)
    steps = [float(step) for step in setting.duels[0].discriminators]
    numbers: dict[str, float | list[float]] = {"steps of D": steps}
    courses = {duel.name: observe(duel, z) for duel in setting.duels}
    for name, course in courses.items():
        numbers[f"{name}: gradient"], numbers[f"{name}: ε"], numbers[f"{name}: M"] = course
        numbers[f"{name}: gradient / bound, most"] = course.tightest()
        numbers[f"{name}: orders of magnitude from the peak"] = course.orders()
    return Result(numbers, _finding(steps, courses), partial(_draw, steps, courses), size=(9.5, 3.5))


class Course(NamedTuple):
    """What is seen of a generator over D's steps."""

    norms: list[float]  # of its gradient
    epsilons: list[float]
    m: float

    def bounds(self) -> list[float]:
        """The theorem's, infinite where it says nothing."""
        return [bound(self.m, epsilon) for epsilon in self.epsilons]

    def tightest(self) -> float:
        """The largest share of the bound that the gradient reaches."""
        return max(norm / most for norm, most in zip(self.norms, self.bounds(), strict=True))

    def orders(self) -> float:
        """Powers of ten from the largest gradient to the last."""
        return math.log10(max(self.norms) / self.norms[-1])


def observe(duel: Duel, z: Tensor) -> Course:
    """Gradient and ε at the latents z, for each discriminator."""
    with torch.no_grad():
        samples = duel.generator(z)
    nets = duel.discriminators.values()
    norms = [gradient(duel.generator, d, z, MinimaxGAN.g_loss).norm().item() for d in nets]
    return Course(norms, [distance(d, samples) for d in nets], sensitivity(duel.generator, z))


def _finding(steps: list[float], courses: dict[str, Course]) -> str:
    def listed(form: str, of: Callable[[Course], float]) -> str:
        return ", ".join(f"{of(course):{form}}" for course in courses.values())

    void = [[step for step, e in zip(steps, c.epsilons, strict=True) if e >= 1] for c in courses.values()]
    return (
        f"Against generators of {', '.join(name.split()[2] for name in courses)} steps, in this order: the gradient's "
        f"norm is {listed('.2f', lambda c: c.norms[0])} at first and {listed('.2g', lambda c: max(c.norms))} at its "
        "peak, of which the theorem does not tell: a discriminator that begins to see has a slope. From there it falls "
        f"by {listed('.1f', Course.orders)} orders of magnitude until step {steps[-1]:.0f}. With M = "
        f"{listed('.2f', lambda c: c.m)} the bound always holds, and the gradient comes to no more than "
        f"{listed('.2f', Course.tightest)} of it. It says nothing while ε is 1 or more, last at step "
        f"{', '.join(f'{some[-1]:.0f}' if some else '(never)' for some in void)}: ε has D's slope in it, and its "
        f"largest value over the samples, so that it comes to {listed('.1f', lambda c: max(c.epsilons))}. The lecture "
        "asks for the conditions of theorems 2.1 and 2.2; either will do."
    )


def _draw(steps: list[float], courses: dict[str, Course], figure: Figure) -> None:
    norms, distances = panels(figure, 1, 2)
    for (name, course), colour in zip(courses.items(), COLOURS, strict=True):
        norms.plot(steps, course.norms, color=colour, label=name)
        norms.plot(steps, course.bounds(), "--", color=colour)
        distances.plot(steps, course.epsilons, color=colour, label=name)
    for here in (norms, distances):
        retraining(here, steps)
        here.set_yscale("log")
    norms.plot([], [], "--", color=GREY, label="bound")
    norms.set_ylabel("‖∇ E log(1 - D(G(z)))‖")
    norms.set_title("The better the discriminator, the smaller the gradient")
    norms.legend(loc="lower left")
    distances.axhline(1, color=GREY, linestyle=":", linewidth=1)
    distances.set_ylabel("ε, distance from the perfect discriminator")
    distances.set_title("The bound says nothing while ε is above 1")
