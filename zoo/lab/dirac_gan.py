"""The Dirac-GAN under gradient descent: eigenvalues with and without R1 and R2, as computed and as played.

Claim: Data are the one point 0, samples the one point θ, and D(x) = ψx. Near the equilibrium (0, 0) gradient descent on
this game has eigenvalues ±i f'(0): it circles and does not converge, with the relativistic loss either. R1 and R2, with
γ/2 of the squared gradient each, move them to -γ/2 ± √(γ²/4 - f'(0)²), which converges; both together count as 2γ.

Paper: Mescheder, Geiger & Nowozin 2018, "Which Training Methods for GANs do actually Converge?"; Huang et al. 2024,
"The GAN is dead; long live the GAN! A Modern Baseline GAN".

Figure: Left, the paths of (θ, ψ) from one start with the relativistic loss; the cross is the equilibrium. Middle, the
spectral radius of a step against γ: lines are closed forms, dots are measured, below 1 it converges. Right, the
distance from the equilibrium.
"""

from __future__ import annotations

import cmath
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.dynamics import Alternating, Dynamics, Simultaneous
from zoo.gan import GAN
from zoo.lab import Result
from zoo.lab._figures import BLACK, BLUE, GREEN, GREY, ORANGE, RED, panels
from zoo.lab._games import Stream, Vector, fit
from zoo.penalties import Where
from zoo.stabilizers import GradientPenalty
from zoo.variants.nsgan import NSGAN
from zoo.variants.relativistic_gan import RelativisticGAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LR = 0.4
SLOPE = 0.5  # f'(0) of the logistic losses
GAMMAS = (0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0)
CASES: dict[str, tuple[bool, tuple[float, float]]] = {  # alternating?, γ of R1 and of R2
    "simultaneous, no penalty": (False, (0.0, 0.0)),
    "alternating, no penalty": (True, (0.0, 0.0)),
    "simultaneous, R1": (False, (0.3, 0.0)),
    "alternating, R1": (True, (0.3, 0.0)),
    "alternating, R1 and R2": (True, (0.3, 0.3)),
}
COLOURS = dict(zip(CASES, (RED, ORANGE, GREY, BLUE, GREEN), strict=True))


def field_eigenvalues(gamma: float, slope: float = SLOPE) -> tuple[complex, complex]:
    """-γ/2 ± √(γ²/4 - f'(0)²): of the Jacobian of (-∂L_G/∂θ, -∂L_D/∂ψ) at (0, 0), γ the sum of R1's and R2's."""
    root = cmath.sqrt(gamma**2 / 4 - slope**2)
    return -gamma / 2 + root, -gamma / 2 - root


def step_eigenvalues(gamma: float, lr: float, *, alternating: bool, slope: float = SLOPE) -> tuple[complex, complex]:
    """Of the map that one round of plain gradient steps of size h is at (0, 0).

    Simultaneous: 1 + hλ for each eigenvalue λ of the field. Alternating, D first: the roots of μ² - Tμ + (1 - hγ) with
    T = 2 - hγ - h²f'(0)². Both are complex where damping is weak; then |μ|² is 1 - hγ + h²f'(0)² and 1 - hγ.
    """
    if not alternating:
        first, second = field_eigenvalues(gamma, slope)
        return 1 + lr * first, 1 + lr * second
    trace = 2 - lr * gamma - (lr * slope) ** 2
    root = cmath.sqrt(trace**2 / 4 - (1 - lr * gamma))
    return trace / 2 + root, trace / 2 - root


def spectral_radius(gamma: float, lr: float = LR, *, alternating: bool) -> float:
    """The larger modulus of `step_eigenvalues`."""
    return max(abs(value) for value in step_eigenvalues(gamma, lr, alternating=alternating))


def dirac(
    objective: type[GAN], theta: float, psi: float, gammas: tuple[float, float], dynamics: Dynamics, lr: float = LR
) -> GAN:
    """The game in float64, by plain gradient steps; γ of R1 and of R2."""
    one = torch.ones(1, 1, dtype=torch.float64)
    generator = Vector(torch.tensor([theta]), lambda v: v)
    discriminator = Vector(torch.tensor([psi]), lambda v: v, one)  # D(x) = x · 1 · ψ
    places: tuple[Where, Where] = ("real", "fake")
    weights = [(gamma / 2, where) for gamma, where in zip(gammas, places, strict=True) if gamma]
    penalties = [GradientPenalty(weight, where=where, target="zero") for weight, where in weights]
    sgd = partial(torch.optim.SGD, lr=lr)
    return objective(
        generator, discriminator, stabilizers=penalties, dynamics=dynamics, g_optimizer=sgd, d_optimizer=sgd
    )


def play(
    objective: type[GAN], start: tuple[float, float], gammas: tuple[float, float], steps: int, *, alternating: bool
) -> Tensor:
    """(steps + 1, 2): θ and ψ, from the start on."""
    gan = dirac(objective, *start, gammas, Alternating() if alternating else Simultaneous())
    path: list[tuple[float, float]] = []

    def look(step: int) -> None:
        generator: Any = gan.generator
        discriminator: Any = gan.discriminator
        path.append((generator.v.item(), discriminator.v.item()))

    look(0)
    data = torch.zeros(1, 1, dtype=torch.float64)  # the one real point
    fit(gan, Stream(lambda: data, steps), steps, look)
    return torch.tensor(path, dtype=torch.float64)


def measured_radius(path: Tensor) -> float:
    """The spectral radius of the linear map that a path near the equilibrium follows, by least squares."""
    now, then = path[:-1], path[1:]
    scale = now.norm(dim=1, keepdim=True)
    solution = torch.linalg.lstsq(now / scale, then / scale).solution
    return float(torch.linalg.eigvals(solution).abs().max())


def run(seed: int, quick: bool) -> Result:
    """Play from distance 1, at an angle that the seed draws; and from near by, to measure the map there."""
    steps = 100 if quick else 300
    angle = 2 * math.pi * float(torch.rand((), dtype=torch.float64))
    start = math.cos(angle), math.sin(angle)
    near = 1e-6 * start[0], 1e-6 * start[1]
    paths = {
        name: play(RelativisticGAN, start, gammas, steps, alternating=alt) for name, (alt, gammas) in CASES.items()
    }
    plain = {name: play(NSGAN, start, gammas, steps, alternating=alt) for name, (alt, gammas) in CASES.items()}
    difference = max(float((paths[name] - plain[name]).abs().max()) for name in CASES)
    numbers: dict[str, float | list[float]] = {"steps": steps, "step size": LR, "gammas": list(GAMMAS)}
    numbers["largest difference of the paths of GAN and RpGAN"] = difference
    for kind, alternating in (("simultaneous", False), ("alternating", True)):
        seen = [
            measured_radius(play(RelativisticGAN, near, (gamma, 0.0), 20, alternating=alternating)) for gamma in GAMMAS
        ]
        numbers[f"{kind}: measured radius"] = seen
        numbers[f"{kind}: spectral radius"] = [spectral_radius(gamma, alternating=alternating) for gamma in GAMMAS]
    for name, path in paths.items():
        numbers[f"{name}: distance at the end"] = float(path[-1].norm())
    return Result(numbers, _finding(numbers), partial(_draw, numbers, paths), size=(12.0, 3.8))


def _finding(numbers: dict[str, Any]) -> str:
    ends = {name: numbers[f"{name}: distance at the end"] for name in CASES}
    error = max(
        abs(seen - told)
        for kind in ("simultaneous", "alternating")
        for seen, told in zip(numbers[f"{kind}: measured radius"], numbers[f"{kind}: spectral radius"], strict=True)
    )
    difference = numbers["largest difference of the paths of GAN and RpGAN"]
    return (
        f"Near the equilibrium the steps played have the closed form's spectral radius to {error:.0e}: "
        f"√(1 - hγ + h²/4) for simultaneous steps of h = {LR}, which converge only where γ > h/4 = {LR / 4:g}, and "
        "√(1 - hγ) for alternating ones, which converge for every γ between 0 and 2/h - h/8; the roots hold up to "
        "about γ = 1. More is not better: there the eigenvalues meet and damping is best; beyond, D hardly moves and G "
        f"waits for it. From distance 1, after {numbers['steps']} steps without a penalty: simultaneous steps are at "
        f"{ends['simultaneous, no penalty']:.2f}, on a cycle of radius about √(2h) = {math.sqrt(2 * LR):.2f}, and "
        f"alternating ones at {ends['alternating, no penalty']:.2f}. They come inwards at all since away from (0, 0) "
        "the non-saturating loss damps, by a rate in proportion to the squared distance, so ever more slowly. R1 with "
        f"γ = 0.3 brings them to {ends['simultaneous, R1']:.0e} and {ends['alternating, R1']:.0e}, R1 and R2 together "
        f"to {ends['alternating, R1 and R2']:.0e}. The non-saturating GAN and RpGAN take the same path (difference "
        f"{difference:.0e}): at the one real point D is 0, and comparing with it changes nothing. What pairing does "
        "for mode collapse cannot be seen in this game; that it does not converge without a penalty can."
    )


def _draw(numbers: dict[str, Any], paths: dict[str, Tensor], figure: Figure) -> None:
    plane, radius, distance = panels(figure, 1, 3)
    for name in ("simultaneous, no penalty", "alternating, no penalty", "alternating, R1", "alternating, R1 and R2"):
        plane.plot(*paths[name][:80].unbind(1), color=COLOURS[name], label=name, linewidth=1.2)
    plane.plot(*paths["alternating, R1"][0], "o", color=BLACK, markersize=5)
    plane.plot(0, 0, "+", color=BLACK, markersize=10, markeredgewidth=2)
    plane.set(xlabel="θ, the generator's point", ylabel="ψ, the discriminator's slope", aspect="equal")
    plane.set_title("RpGAN: the first 80 steps")
    gammas = torch.linspace(0, max(GAMMAS), 401, dtype=torch.float64).tolist()
    for kind, colour in (("simultaneous", RED), ("alternating", BLUE)):
        told = [spectral_radius(gamma, alternating=kind == "alternating") for gamma in gammas]
        radius.plot(gammas, told, color=colour, label=kind)
        radius.plot(GAMMAS, numbers[f"{kind}: measured radius"], "o", color=colour, markersize=4)
    radius.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    radius.set(xlabel="γ of R1, or of R1 and R2 together", ylabel="spectral radius of a step")
    radius.set_title(f"Damping, step size {LR}")
    radius.legend()
    for name, path in paths.items():
        distance.semilogy(path.norm(dim=1), color=COLOURS[name], label=name)
    distance.set(xlabel="step", ylabel="distance from the equilibrium")
    distance.set_title("From distance 1")
    distance.legend(loc="lower left")
