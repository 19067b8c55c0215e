"""A curriculum: from coarse images to fine ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.noise import Noise
from zoo.stabilizers.base import Stabilizer
from zoo.types import Batch, Critic, Game, Output, Role, Terms


class ProgressiveGrowing(Stabilizer):
    """Both networks grow from 4x4, layer by layer: Karras et al. 2018, "Progressive Growing of GANs", section 2.

    Each resolution is trained for `stable_kimg`; then the next fades in over `fade_kimg`. While it does, real images
    are faded too, between themselves and their own averages of 2 x 2 pixels, so that D cannot tell them from fakes by
    detail that fakes do not have yet. A gradient penalty is taken at real images that are not faded.

    The paper trains the first resolution for as long as it fades and trains any other, and so does this.

    Args:
        stable_kimg: at each resolution, above 0. The paper uses 600.
        fade_kimg: from each to the next, above 0. The paper uses 600.

    Raises:
        ValueError: if a network cannot grow; use zoo.backbones.GrowingGenerator and GrowingDiscriminator.
    """

    def __init__(self, stable_kimg: float = 600.0, fade_kimg: float = 600.0) -> None:
        super().__init__()
        if stable_kimg <= 0 or fade_kimg <= 0:
            raise ValueError(
                "ProgressiveGrowing: stable_kimg and fade_kimg must be above 0, "
                f"got stable_kimg={stable_kimg}, fade_kimg={fade_kimg}"
            )
        self.stable_kimg, self.fade_kimg = stable_kimg, fade_kimg
        self._now, self._top = 0.0, 0

    def prepare(self, gan: Game) -> None:
        """Begin at 4x4."""
        for net in (gan.generator, gan.discriminator):
            if not hasattr(net, "level"):
                raise ValueError(
                    f"ProgressiveGrowing: {type(net).__name__} cannot grow; "
                    "use zoo.backbones.GrowingGenerator and GrowingDiscriminator"
                )
        self._top = int(gan.discriminator.level.top)  # type: ignore[arg-type, union-attr]
        self._grow(gan)

    def begin(self, gan: Game) -> None:
        """Grow to the level of this kimg."""
        self._grow(gan)

    def level_at(self, kimg: float) -> float:
        """0 at 4x4, one more at each doubling."""
        rounds, within = divmod(kimg, self.stable_kimg + self.fade_kimg)
        return min(rounds + max(0.0, within - self.stable_kimg) / self.fade_kimg, float(self._top))

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """Fade real images (N, C, S, S) as far as the newest layers are."""
        share = self._now % 1
        if role != "real" or not share:
            return x
        fine = 2 ** (self._top - int(self._now) - 1)
        return torch.lerp(_blur(x, 2 * fine), _blur(x, fine), share)

    def _grow(self, gan: Game) -> None:
        self._now = self.level_at(gan.kimg)
        nets: list[Any] = [gan.generator, gan.discriminator, getattr(gan, "generator_ema", None)]
        for net in nets:
            if net is not None:
                net.level.set(self._now)
        gan.latest["progress/level"] = self._now

    def extra_repr(self) -> str:
        """The schedule, for printing."""
        return f"stable_kimg={self.stable_kimg}, fade_kimg={self.fade_kimg}"


class ScoreDrift(Stabilizer):
    """weight · E D(x)², which keeps a critic's scores from wandering off (Karras et al. 2018, appendix A.1).

    Args:
        weight: the paper's ε_drift.
    """

    def __init__(self, weight: float = 1e-3) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"ScoreDrift: weight must be at least 0, got {weight}")
        self.weight = weight

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """The penalty, as `score_drift`."""
        return {"score_drift": self.weight * real.score.square().mean()}

    def extra_repr(self) -> str:
        """The weight, for printing."""
        return f"weight={self.weight}"


def _blur(images: Tensor, factor: int) -> Tensor:
    """Each square of `factor` by `factor` pixels becomes its mean."""
    return images if factor == 1 else F.interpolate(F.avg_pool2d(images, factor), scale_factor=factor)
