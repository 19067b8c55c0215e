"""Short runs whose fate is known: how each is made, and how its fate is checked without the diagnosis.

The kind of a run is what it was made to be; its outcome is what it then was, by `Outcome`. The outcome never looks at
what the diagnosis reads: it has samples of its own (1,000 of the plain generator, new latents at each of 8 looks),
exact centres or nearest training images instead of a classifier, and held-out data for D.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningDataModule
from torch import Tensor, nn

from zoo.backbones import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from zoo.datamodules import Digits, Toy
from zoo.datamodules.base import DataModule, Split
from zoo.diagnostics import COLLAPSE, DIMINISHED, DIVERGENCE, DROPPING, OSCILLATION
from zoo.diagnostics.reader import detour, scaled
from zoo.dynamics import Alternating, Consensus, Dynamics, Simultaneous
from zoo.gan import GAN
from zoo.metrics import frechet_distance
from zoo.noise import Noise
from zoo.optim import Adam
from zoo.stabilizers import InstanceNoise, SpectralNorm
from zoo.support.freezing import evaluating
from zoo.variants.dragan import DRAGAN
from zoo.variants.hinge_gan import HingeGAN
from zoo.variants.lsgan import LSGAN
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.wgan import WGAN
from zoo.variants.wgan_gp import WGANGP

HEALTHY = "healthy"
BATCH, BATCHES, SIDE = 64, 1000, 8
CHECKS, SAMPLES = 40, 1000
LATE = 15  # of the looks
FREE = 1e9  # a box for D's weights that is none


class Blob(DataModule):
    """One Gaussian in the plane, of std 0.3 around (0.5, -0.5): points (N, 2)."""

    image_shape = (2,)

    def load(self) -> dict[str, Split]:
        """10,000 points, and 2,000 held out."""
        points = torch.randn(12_000, 2, generator=torch.Generator().manual_seed(self.seed))
        points = 0.3 * points + torch.tensor([0.5, -0.5])
        return {"train": Split(points[:10_000]), "val": Split(points[10_000:])}


# The networks.


def toy_g(latent_dim: int = 16, gain: float = 0.8) -> nn.Module:
    """z to points, two hidden layers of 64."""
    return MLPGenerator((2,), latent_dim=latent_dim, width=64, depth=2, init_gain=gain)


def toy_d(depth: int = 2, width: int = 64, scale: float = 1.0) -> nn.Module:
    """Points to a score."""
    return MLPDiscriminator((2,), width=width, depth=depth, input_scale=scale, init_gain=1.4)


def small_d() -> nn.Module:
    """One hidden layer, on x / 4."""
    return MLPDiscriminator((2,), width=64, depth=1, input_scale=0.25, init_gain=0.8)


def image_g(norm: Any = "batch") -> nn.Module:
    """A DCGAN of width 8."""
    return DCGANGenerator((1, SIDE, SIDE), latent_dim=16, width=8, norm=norm)


def image_d(norm: Any = "none") -> nn.Module:
    """Its mirror."""
    return DCGANDiscriminator((1, SIDE, SIDE), width=8, norm=norm)


def image_mlp_g() -> nn.Module:
    """z to images, two hidden layers of 64."""
    return MLPGenerator((1, SIDE, SIDE), latent_dim=16, width=64, depth=2)


def image_mlp_d() -> nn.Module:
    """Images to a score."""
    return MLPDiscriminator((1, SIDE, SIDE), width=64, depth=2)


def adam(lr: float, beta1: float = 0.5, beta2: float = 0.999) -> Callable[[Any], Adam]:
    """A maker of Adam."""
    return partial(Adam, lr=lr, beta1=beta1, beta2=beta2)


def sgd(lr: float, momentum: float = 0.0) -> Callable[[Any], torch.optim.SGD]:
    """A maker of SGD."""
    return partial(torch.optim.SGD, lr=lr, momentum=momentum)


def rms(lr: float) -> Callable[[Any], torch.optim.RMSprop]:
    """A maker of RMSprop."""
    return partial(torch.optim.RMSprop, lr=lr)


# The runs.


@dataclass(frozen=True)
class Case:
    """A run to be made from any seed."""

    kind: str  # HEALTHY, or the pathology it is made to have
    data: Callable[..., LightningDataModule]
    objective: type[GAN]
    generator: Callable[[], nn.Module]
    discriminator: Callable[[], nn.Module]
    g: Callable[[Any], torch.optim.Optimizer]
    d: Callable[[Any], torch.optim.Optimizer]
    dynamics: Callable[[], Dynamics] = Alternating
    more: Callable[[], dict[str, Any]] = dict

    def build(self, seed: int) -> tuple[GAN, LightningDataModule]:
        """The game and its data."""
        torch.manual_seed(seed)
        game = self.objective(
            self.generator(), self.discriminator(), g_optimizer=self.g, d_optimizer=self.d, dynamics=self.dynamics(),
            **self.more(),
        )  # fmt: skip
        return game, self.data(seed=seed, batch_size=BATCH)


def toy(name: Any) -> Callable[..., LightningDataModule]:
    """One of the toy sets."""
    return partial(Toy, name=name, samples=20_000)


ring, grid, two, roll = map(toy, ("ring", "grid", "two_gaussians", "swiss_roll"))
digits = partial(Digits, image_size=SIDE)
usual, gently, heavy = adam(1e-3), adam(5e-4), adam(1e-3, 0.9)
penalised: dict[str, Any] = {"g": adam(5e-4, 0.5, 0.9), "d": adam(1e-3, 0.5, 0.9), "more": lambda: {"gp_weight": 0.1}}
boundless: Callable[[], dict[str, Any]] = lambda: {"clip": FREE}  # noqa: E731
wide_g, many_g = partial(toy_g, gain=1.1), partial(toy_g, 64)
often = partial(Alternating, 2)

CASES: dict[str, Case] = {
    "ring, DRAGAN": Case(HEALTHY, ring, DRAGAN, toy_g, toy_d, usual, usual, more=lambda: {"one_sided": True}),
    "ring, instance noise": Case(
        HEALTHY, ring, NSGAN, toy_g, toy_d, usual, usual, more=lambda: {"stabilizers": [InstanceNoise(50, 1.0)]}
    ),
    "ring, consensus": Case(HEALTHY, ring, NSGAN, toy_g, toy_d, rms(1e-3), rms(1e-3), partial(Consensus, 10.0)),
    "grid, WGAN-GP": Case(HEALTHY, grid, WGANGP, toy_g, toy_d, dynamics=often, **penalised),
    "grid, minimax, SGD": Case(HEALTHY, grid, MinimaxGAN, many_g, toy_d, sgd(1e-2), adam(2e-3)),
    "two Gaussians, NSGAN": Case(HEALTHY, two, NSGAN, toy_g, toy_d, adam(5e-4), usual),
    "swiss roll, instance noise": Case(
        HEALTHY, roll, NSGAN, toy_g, toy_d, usual, usual, more=lambda: {"stabilizers": [InstanceNoise(50, 1.0)]}
    ),
    "grid, instance noise": Case(
        HEALTHY, grid, NSGAN, toy_g, toy_d, usual, usual, more=lambda: {"stabilizers": [InstanceNoise(50, 1.0)]}
    ),
    "blob, NSGAN": Case(HEALTHY, Blob, NSGAN, toy_g, toy_d, adam(2e-4), adam(5e-4)),
    "blob, minimax": Case(HEALTHY, Blob, MinimaxGAN, toy_g, toy_d, adam(2e-4), adam(5e-4)),
    "digits, NSGAN": Case(HEALTHY, digits, NSGAN, image_g, image_d, gently, gently, more=lambda: {"ema_decay": 0.99}),
    "digits, LSGAN": Case(HEALTHY, digits, LSGAN, image_g, image_d, gently, gently),
    "digits, minimax": Case(HEALTHY, digits, MinimaxGAN, image_g, image_d, gently, gently),
    "digits, hinge, spectral norm": Case(
        HEALTHY, digits, HingeGAN, image_g, image_d, gently, gently, more=lambda: {"stabilizers": [SpectralNorm()]}
    ),
    "digits, WGAN-GP": Case(HEALTHY, digits, WGANGP, image_g, image_d, usual, usual, partial(Alternating, 3)),
    "digits, WGAN": Case(
        HEALTHY, digits, WGAN, image_g, partial(image_d, "batch"), rms(5e-4), rms(5e-4), partial(Alternating, 3),
        lambda: {"clip": 0.05},
    ),
    "digits, DRAGAN": Case(HEALTHY, digits, DRAGAN, image_g, image_d, usual, usual, more=lambda: {"one_sided": True}),
    # D learns much faster than G, under the loss that saturates
    "ring, fast D": Case(DIMINISHED, ring, MinimaxGAN, toy_g, toy_d, adam(1e-5), adam(2e-3)),
    "two Gaussians, fast D": Case(DIMINISHED, two, MinimaxGAN, toy_g, toy_d, adam(1e-5), adam(2e-3)),
    "swiss roll, fast D": Case(DIMINISHED, roll, MinimaxGAN, toy_g, toy_d, adam(1e-5), adam(2e-3), often),
    "digits, fast D": Case(DIMINISHED, digits, MinimaxGAN, image_g, image_d, adam(5e-5), adam(2e-3)),
    "digits, MLP, fast D": Case(
        DIMINISHED, digits, MinimaxGAN, image_mlp_g, image_mlp_d, adam(1e-4), adam(1e-3), often
    ),
    # G learns too fast, or from many latents on far modes
    "ring, plain": Case(COLLAPSE, ring, NSGAN, many_g, toy_d, usual, usual),
    "grid, plain": Case(COLLAPSE, grid, NSGAN, many_g, toy_d, usual, usual),
    "ring, high rates": Case(COLLAPSE, ring, NSGAN, toy_g, toy_d, adam(0.05), adam(0.05)),
    "two Gaussians, high rates": Case(COLLAPSE, two, NSGAN, toy_g, toy_d, adam(0.05), adam(0.05)),
    "digits, MLP, momentum": Case(COLLAPSE, digits, NSGAN, image_mlp_g, image_mlp_d, heavy, heavy),
    "digits, MLP, many G moves": Case(
        COLLAPSE, digits, NSGAN, image_mlp_g, image_mlp_d, usual, adam(2e-4), partial(Alternating, 1, 3)
    ),
    # both chase each other
    "blob, simultaneous": Case(
        OSCILLATION, Blob, MinimaxGAN, wide_g, partial(toy_d, 1, 32), sgd(0.05), sgd(0.05), Simultaneous
    ),
    "blob, linear D": Case(OSCILLATION, Blob, NSGAN, wide_g, partial(toy_d, 0), sgd(0.02, 0.5), sgd(0.1)),
    "blob, critic without a bound": Case(
        OSCILLATION, Blob, WGAN, wide_g, toy_d, sgd(0.05), sgd(0.05), Simultaneous, boundless
    ),
    "ring, minimax, small D": Case(OSCILLATION, ring, MinimaxGAN, many_g, small_d, usual, usual),
    "two Gaussians, momentum": Case(OSCILLATION, two, NSGAN, toy_g, small_d, adam(3e-3, 0.9), adam(1e-3, 0.9)),
    "digits, MLP, fast G": Case(OSCILLATION, digits, NSGAN, image_mlp_g, image_mlp_d, adam(2e-3), gently),
    # a critic that nothing bounds, and rates that are too high
    "ring, critic without a bound": Case(DIVERGENCE, ring, WGAN, toy_g, toy_d, adam(1e-5), adam(1e-2), more=boundless),
    "grid, critic without a bound": Case(
        DIVERGENCE, grid, WGAN, toy_g, toy_d, adam(1e-5), adam(5e-3), often, boundless
    ),
    "digits, critic without a bound": Case(
        DIVERGENCE, digits, WGAN, image_g, image_d, adam(1e-5), adam(5e-3), more=boundless
    ),
    "blob, spiral": Case(
        DIVERGENCE, Blob, WGAN, wide_g, toy_d, sgd(0.2, 0.9), sgd(0.2, 0.9), Simultaneous, boundless
    ),
    "ring, LSGAN, SGD": Case(DIVERGENCE, ring, LSGAN, toy_g, toy_d, sgd(0.5, 0.9), sgd(0.5, 0.9)),
    "digits, LSGAN, SGD": Case(DIVERGENCE, digits, LSGAN, image_mlp_g, image_mlp_d, sgd(1.0, 0.9), sgd(1.0, 0.9)),
}  # fmt: skip


# What became of them.


class Outcome(Callback):
    """Looks 40 times, evenly; `facts()` tells what was seen, and `verdicts` what that means."""

    def __init__(self) -> None:
        self.looks: list[dict[str, Any]] = []
        self.means: list[Tensor] = []
        self.end: dict[str, float] = {}

    def on_train_start(self, trainer: Any, gan: Any) -> None:
        """Remember the start, and the data to compare with."""
        data: Any = trainer.datamodule
        split = data.splits["train"]
        self.train = scaled(split.data).flatten(1)
        self.held_out = scaled(data.splits["val"].data)
        self.centres = self.train if self.train.shape[1] > 2 else getattr(data, "centres", None)
        self.labels = (
            split.labels
            if self.train.shape[1] > 2
            else None
            if self.centres is None
            else torch.arange(len(self.centres))
        )
        self.spread = float(self.train.var(0).sum().sqrt())
        self.start = {"distance": self._distance(gan), "weights": _weights(gan)}

    def on_train_batch_end(self, trainer: Any, gan: Any, *args: Any) -> None:
        """Look when a fortieth is over."""
        if gan.steps % (BATCHES // CHECKS) == 0:
            self._look(gan)

    def on_train_end(self, trainer: Any, gan: Any) -> None:
        """See where it ended."""
        with torch.no_grad(), evaluating(gan.discriminator):
            real = gan.discriminator(self.held_out[:SAMPLES])[0]
            fake = gan.discriminator(_samples(gan, 99))[0]
        both = torch.cat([real, fake])
        self.end = {
            "wrong": float(((real <= 0).float().mean() + (fake >= 0).float().mean()) / 2),
            "scores": float((both - both.mean()).abs().max()),
            "distance": self._distance(gan) / self.start["distance"],
            "weights": _weights(gan) / self.start["weights"],
        }

    def _look(self, gan: GAN) -> None:
        made = _samples(gan, 1000 + len(self.looks)).flatten(1)
        look: dict[str, Any] = {"spread": float(made.var(0).sum().sqrt()) / self.spread}
        if self.centres is not None and self.labels is not None and made.isfinite().all():
            nearest = torch.cdist(made, self.centres).argmin(1)
            classes = int(self.labels.max()) + 1
            share = torch.bincount(self.labels[nearest], minlength=classes).double() / len(made)
            look["modes"] = float((-torch.special.xlogy(share, share)).sum().exp()) / classes
            look["share"] = [round(float(s), 4) for s in share]
        self.means.append(made.mean(0))
        self.looks.append(look)

    def _distance(self, gan: GAN) -> float:
        made = _samples(gan, 98)
        if not made.isfinite().all():
            return math.nan
        return math.sqrt(max(0.0, frechet_distance(_small(made), _small(self.held_out[:SAMPLES])).item()))

    def facts(self) -> dict[str, Any]:
        """What was seen, for a JSON."""
        half = CHECKS // 2
        late = torch.tensor([look["share"] for look in self.looks[-LATE:] if "share" in look])
        shares = [look["share"] for look in self.looks[half:] if "share" in look]
        differ = [sum(abs(x - y) for x, y in zip(a, b, strict=True)) / 2 for a, b in combinations(shares, 2)]
        return {
            "stray": _residual(self.means[half:]) / self.spread,
            "differ": sum(differ) / len(differ) if differ else None,
            "dropped": float((late.mean(0) < 0.1 / late.shape[1]).float().mean()) if late.numel() else 0.0,
            "modes": [look["modes"] for look in self.looks if "modes" in look],
            "spread": [look["spread"] for look in self.looks],
            **self.end,
        }  # fmt: skip


def verdicts(facts: dict[str, Any], failed: bool) -> set[str]:
    """The pathologies that a run had in its second half, by what was seen of it.

    - divergence: it stopped on a move that was not finite, or the weights ended 10 times as large as they began, or
      D's scores of held-out data and samples more than 1,000 from their mean
    - mode collapse: in the last 15 looks, on average no more than 0.35 (of two modes 0.6) of the modes, or of the
      classes of the nearest training images, counted as the exponential of the entropy; or a spread below 0.25 of the
      data's, in the median
    - mode dropping: not a collapse, and in the last 15 looks together one mode or class has less than a tenth of the
      samples that an even spread gives it
    - oscillation: over the last 20 looks the samples' mean lay 0.35 of the data's spread or more (root mean square)
      from the straight line closest to it and, with modes, two of these looks differ in half of the samples' modes on
      average: however fast or slowly it goes to and fro
    - diminished gradient: at the end D, at a threshold of 0, is wrong on less than 1 % of held-out data and samples,
      and the samples, which move no more, are at least 0.5 as far from the data as they were at the start (root of the
      Fréchet distance, of points or of images averaged to 4x4)
    """
    if failed or not math.isfinite(facts.get("weights", math.nan)) or facts["weights"] >= 10 or facts["scores"] >= 1e3:
        return {DIVERGENCE}
    found = set()
    few = 0.6 if facts.get("two") else 0.35
    modes = facts["modes"][-LATE:]
    collapsed = median(facts["spread"][-LATE:]) <= 0.25 or (bool(modes) and sum(modes) / len(modes) <= few)
    moved = facts["stray"] >= 0.35
    oscillating = moved and (facts["differ"] is None or facts["differ"] >= 0.5)
    found |= {OSCILLATION} if oscillating else set()
    saturated = facts["wrong"] < 0.01 and facts["distance"] >= 0.5 and not moved
    if saturated:
        return {DIMINISHED}  # what has not moved from where it began shows no modes either
    if collapsed:
        return found | {COLLAPSE}
    return found | ({DROPPING} if facts.get("dropped", 0) else set())


def _samples(gan: GAN, seed: int) -> Tensor:
    """Of the plain generator."""
    z = gan.sample_latent(SAMPLES, Noise(seed))
    with torch.no_grad(), evaluating(gan.generator):
        return gan.generate(z, None)


def _residual(course: Sequence[Tensor]) -> float:
    """The root mean square of what a line through places (D,) leaves; NaN of too few, or of what is not finite."""
    if len(course) < 3 or not all(place.isfinite().all() for place in course):
        return math.nan
    return float(detour(torch.stack(list(course)).double()))


def _small(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 4).flatten(1) if x.ndim == 4 else x


def _weights(gan: GAN) -> float:
    return max(
        float(torch.stack([p.detach().norm() for p in net.parameters()]).norm()) for net in gan.players().values()
    )


def kinds() -> Sequence[str]:
    """In the order of the table."""
    return (HEALTHY, DIMINISHED, COLLAPSE, DROPPING, OSCILLATION, DIVERGENCE)
