"""Mode collapse on a ring of 8 Gaussians: the plain games, unrolling, and the other remedies.

Claim: The plain game puts the generator's mass on one mode, or runs after one mode and then another, and never covers
the ring. With an unrolled discriminator, which shows G what D will answer, it spreads over all modes and converges; so
it does with a penalty on the gradient, with instance noise, with losses that keep D smooth, with consensus, and with an
encoder.

Paper: Metz et al. 2017, "Unrolled Generative Adversarial Networks", section 3.1 and figure 2; Nagarajan & Kolter 2017,
"Gradient descent GAN optimization is locally stable"; Gulrajani et al. 2017, "Improved Training of Wasserstein GANs";
Kodali et al. 2017, "On Convergence and Stability of GANs"; Mescheder et al. 2017, "The Numerics of GANs"; Che et al.
2017, "Mode Regularized Generative Adversarial Networks"; Sønderby et al. 2017, "Amortised MAP Inference for Image
Super-resolution".

Figure: Heat maps of 2,500 samples in the course of a training, a row a game, with the share of the run that is over;
right, the data. Under each map, how many of the 8 modes have 20 samples or more within 3σ. A generator on one or two of
them has collapsed; one that covers the ring but for some of them has dropped these.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from zoo.datamodules import Toy
from zoo.lab import Result
from zoo.lab._games import fit
from zoo.lab._ring import METHODS, start
from zoo.metrics import ModeCoverage, mode_coverage
from zoo.run.pictures import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN = {"minimax": "minimax", "nsgan": "-log D"}
REMEDIES = {
    "unrolled_5": "unrolled, K = 5", "consensus": "consensus", "gradient_regularized": "gradient-regularised",
    "wgan_gp": "WGAN-GP", "dragan_one_sided": "DRAGAN, one-sided", "instance_noise": "instance noise",
    "mdgan": "MDGAN",
}  # fmt: skip
SAMPLES = 2500
CHECKS = 30  # over a run
SHOWN = (1, 6, 12, 18, 24, 30)  # of the checks


class Course(NamedTuple):
    """What a game's samples were at each check."""

    batches: int
    shown: list[Tensor]  # samples (2500, 2) at SHOWN
    coverage: list[ModeCoverage]
    visited: set[int]  # modes with 20 samples or more at some check


def play(method: str, seed: int, share: float = 1.0) -> Course:
    """The first `share` of a method's run, from the same networks and data as in docs/ring.md for this seed."""
    gan, data = start(method, seed)
    assert data.centres is not None
    assert data.sigma is not None
    centres, sigma = data.centres, data.sigma
    batches = round(share * METHODS[method][0])
    checks = {round(batches * check / CHECKS): check for check in range(1, CHECKS + 1)}
    shown: list[Tensor] = []
    coverage: list[ModeCoverage] = []
    visited: set[int] = set()

    def look(step: int) -> None:
        if step in checks:
            samples = gan.sample(SAMPLES, seed=seed)
            coverage.append(mode_coverage(samples, centres, sigma))
            visited.update(populated(samples, centres, sigma))
            shown.extend([samples] if checks[step] in SHOWN else [])

    fit(gan, data, batches, look)
    return Course(batches, shown, coverage, visited)


def populated(samples: Tensor, centres: Tensor, sigma: float, enough: int = 20) -> set[int]:
    """Which modes have `enough` samples (N, 2) within 3σ."""
    near = torch.cdist(samples, centres) <= 3 * sigma
    return set((near.sum(0) >= enough).nonzero().flatten().tolist())


def run(seed: int, quick: bool) -> Result:
    """Each game in the settings of docs/ring.md, which has five seeds of each, and other methods.

    Adam at 1e-3, ten times the paper's rate, so that a quarter of its 25,000 steps does.
    """
    share = 0.02 if quick else 1.0
    courses = {label: play(method, seed, share) for method, label in {**PLAIN, **REMEDIES}.items()}
    numbers: dict[str, float | list[float]] = {}
    for name, course in courses.items():
        numbers[f"{name}: batches"] = course.batches
        numbers[f"{name}: modes at {CHECKS} checks, of 8"] = [float(each.populated) for each in course.coverage]
        numbers[f"{name}: different modes over these"] = len(course.visited)
        numbers[f"{name}: share of good samples at the end"] = course.coverage[-1].high_quality
    return Result(numbers, _finding(courses), partial(_draw, courses, seed, share), size=(8.4, 12.2))


def settled(course: Course, modes: int = 7) -> int | None:
    """The batch from which on every check has at least so many modes, or None."""
    behind = [check for check, each in enumerate(course.coverage, 1) if each.populated < modes]
    last = behind[-1] if behind else 0
    return None if last == CHECKS else round(course.batches * (last + 1) / CHECKS)


def _finding(courses: dict[str, Course]) -> str:
    def plain(name: str) -> str:
        course = courses[name]
        most = max(each.populated for each in course.coverage)
        return f"{name} has {most} at most at any of {CHECKS} checks, and {len(course.visited)} in all over the run"

    ends = "; ".join(
        f"{name} {courses[name].coverage[-1].populated} ({courses[name].coverage[-1].high_quality:.2f})"
        for name in REMEDIES.values()
    )
    missing = {name: 8 - courses[name].coverage[-1].populated for name in REMEDIES.values()}
    dropped = ", ".join(f"{name} has dropped {count}" for name, count in missing.items() if 0 < count < 6)
    unrolled = REMEDIES["unrolled_5"]
    since = settled(courses[unrolled])
    when = "at no check to the end" if since is None else f"at every check from batch {since} on"
    return (
        f"Modes with 20 of 2,500 samples: {'; '.join(map(plain, PLAIN.values()))}. At the end, with the share of "
        f"samples within 3σ of a mode (the data's is 0.99): {ends}; {dropped or 'none has dropped a mode'}. Unrolled "
        f"it has 7 modes or more {when}. {_conclusion(courses)}"
    )


def _conclusion(courses: dict[str, Course]) -> str:
    """What the modes at the end say of the claim."""
    modes = {name: course.coverage[-1].populated for name, course in courses.items()}
    most = max(modes[name] for name in PLAIN.values())
    better = [name for name in REMEDIES.values() if modes[name] > most]
    if not any(modes.values()):
        run = ", ".join(str(n) for n in sorted({course.batches for course in courses.values()}))
        return f"No game has reached the ring after {run} batches: they are too few to conclude anything from."
    if not better:
        return "No remedy reaches more of the ring than the plain games here: this run does not show the claim."
    who = "The remedies reach" if len(better) == len(REMEDIES) else f"Of the remedies, {', '.join(better)} reach"
    good = max(courses[name].coverage[-1].high_quality for name in better)
    spread = "none puts all its samples where the data are: many lie on the way between modes"
    return (
        f"{who} more of the ring, and {spread if good < 0.95 else 'the best puts its samples where the data are'}. "
        "Which of them cover it depends on the size of D, the rates and the 256 latents, and one seed "
        "is no proof: five of each stand in docs/ring.md, with what does not help."
    )


def _draw(courses: dict[str, Course], seed: int, share: float, figure: Figure) -> None:
    data = Toy(name="ring", samples=SAMPLES, seed=seed)
    data.setup()
    ring = data.splits["train"].data
    if share < 1:
        figure.suptitle(
            f"--quick: the first {share:.0%} of each run, too few batches to reach the ring (grey)", fontsize=9
        )
    grid = figure.subplots(len(courses), len(SHOWN) + 1)
    for row, (name, course) in zip(grid, courses.items(), strict=True):
        for here, samples, check in zip(row, course.shown, SHOWN, strict=False):
            inside = samples[(samples.abs() < 3).all(1)]  # what the picture shows
            outside = 1 - len(inside) / len(samples)
            words = f"{course.coverage[check - 1].populated} of 8" + (
                f", {outside:.0%} outside" if outside >= 0.005 else ""
            )
            here.set_xlabel(words, fontsize=8, labelpad=2)
            here.imshow(picture(inside if len(inside) else samples, data=ring))
        row[-1].imshow(picture(ring))
        row[0].set_ylabel(name.replace(", ", ",\n").replace("-reg", "-\nreg"))
    for here, title in zip(
        grid[0],
        [*(f"{100 * share * check / CHECKS:.2g} %" for check in SHOWN[:-1]), f"{share:.0%}", "data"],
        strict=True,
    ):
        here.set_title(title)
    for here in grid.flat:
        here.set(xticks=[], yticks=[])
        here.spines[["top", "right"]].set_visible(True)
