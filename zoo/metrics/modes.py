"""Which modes of a known mixture a generator reaches."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.metrics._checks import as_float64, finite


class ModeCoverage(NamedTuple):
    """How points spread over the K centres of a mixture; near a centre they are of high quality."""

    covered: int
    """Centres with at least one high-quality point, 0..K."""
    populated: int
    """Centres with at least `enough` high-quality points, 0..K."""
    high_quality: float
    """The share of all points that are of high quality, 0..1."""
    kl: float
    """KL divergence in nats of the high-quality points' histogram from the uniform one: 0 when all
    modes get the same, log K when one gets all; NaN without a high-quality point."""
    score: float
    """high_quality · exp(-kl), 0..1: 1 when all points are good and all modes get the same, 1/K when one mode gets
    all, 0 without a high-quality point."""


def mode_coverage(
    points: Tensor, centres: Tensor, sigma: float, *, radius: float = 3.0, enough: int = 20
) -> ModeCoverage:
    """Count the modes that `points` reach.

    `covered` and `high_quality` are the measures of Srivastava et al. (VEEGAN, 2017), who draw 2500
    points; `populated` is a stricter count at the same 2500. Both counts grow with N: compare only
    at the same one. Of points drawn in the plane from the mixture itself, 1 - exp(-radius²/2) are
    of high quality: 0.989 at 3.

    Args:
        points: samples, (N, D).
        centres: the means of the mixture's components, (K, D).
        sigma: the components' standard deviation, in the unit of the points.
        radius: how far from its nearest centre a point may lie, in sigmas.
        enough: high-quality points that make a mode `populated`.

    Raises:
        ValueError: a shape is wrong, nothing is given, a value is not finite, or `sigma` <= 0.
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"mode_coverage: sigma must be positive and finite, got {sigma}")
    points, centres = as_float64("mode_coverage", points, centres, least=1)
    distance, nearest = torch.cdist(points, centres).min(1)
    good = nearest[distance <= radius * sigma]
    counts = torch.bincount(good, minlength=len(centres))
    share = counts.double() / counts.sum()
    high_quality = len(good) / len(points)
    kl = math.log(len(centres)) + torch.special.xlogy(share, share).sum().item()
    return ModeCoverage(
        covered=int((counts >= 1).sum()),
        populated=int((counts >= enough).sum()),
        high_quality=high_quality,
        kl=kl,
        score=high_quality * math.exp(-kl) if len(good) else 0.0,
    )


class ModeStatistics(NamedTuple):
    """How samples of K known modes are spread."""

    covered: int
    """Modes with a sample, 0..K."""
    missing: int
    """Modes without one: K - covered."""
    kl: float
    """KL divergence in nats of the samples' histogram from the data's: 0 when they are the same, infinite when a sample
    has a mode that the data have not."""


def mode_statistics(modes: Tensor, num_modes: int, shares: Tensor | None = None) -> ModeStatistics:
    """Of samples whose modes a classifier predicted (Metz et al. 2017, "Unrolled GANs", section 3.3.1).

    On stacked digits that paper reports `covered` and `kl` of 25,600 samples (it writes KL(model || data)). Both depend
    on N: even N samples that are spread evenly by chance have a `kl` of about (K - 1) / 2N.

    Args:
        modes: the mode of each sample, (N,), integers in 0..K-1; or class probabilities or logits (N, K), of which
            the largest counts.
        num_modes: K.
        shares: of the modes in the data, or their counts, (K,), scaled to sum to 1; None is the same for all.

    Raises:
        ValueError: a shape is wrong, nothing is given, or a mode is not in 0..K-1.
    """
    if modes.ndim == 2 and modes.shape[1] == num_modes and modes.is_floating_point():
        modes = finite("mode_statistics", modes).argmax(1)
    if modes.ndim != 1 or modes.is_floating_point():
        shape = f"{tuple(modes.shape)}, {modes.dtype}"
        raise ValueError(f"mode_statistics: needs modes as integers (N,) or scores (N, {num_modes}), got {shape}")
    if len(modes) and not 0 <= int(modes.min()) <= int(modes.max()) < num_modes:
        raise ValueError(f"mode_statistics: modes must be in 0..{num_modes - 1}, got {modes.min()}..{modes.max()}")
    counts = torch.bincount(modes, minlength=num_modes)
    if not len(modes):
        raise ValueError("mode_statistics: needs at least one sample")
    if shares is None:
        shares = torch.ones(len(counts))
    if shares.shape != counts.shape or (shares < 0).any() or shares.sum() == 0:
        raise ValueError(f"mode_statistics: shares must be >= 0, one for each of {len(counts)} modes")
    made, data = (s.double() / s.sum() for s in (counts, shares.to(counts.device)))
    covered = int((counts > 0).sum())
    kl = torch.special.xlogy(made, made / data).nan_to_num(0.0, posinf=math.inf).sum()  # 0 log 0/0 is 0
    return ModeStatistics(covered, len(counts) - covered, kl.item())


def stacked_modes(images: Tensor, classifier: nn.Module) -> Tensor:
    """The modes 0..999 of stacked images, (N,), int64: 100 a + 10 b + c for channels of classes a, b and c.

    Args:
        images: (N, 3, H, W), in [-1, 1]; each channel is a grey image.
        classifier: an extractor with logits of 10 classes, such as `Classifier("digits-cnn")`; sees all channels in
            one pass of (3N, 1, H, W).

    Raises:
        ValueError: a shape is wrong, or the classifier has no logits of 10 classes.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"stacked_modes: needs images of shape (N, 3, H, W), got {tuple(images.shape)}")
    logits = classifier(images.flatten(0, 1).unsqueeze(1)).logits
    if logits is None or logits.shape[1] != 10:
        raise ValueError(f"stacked_modes: {type(classifier).__name__} has no logits of 10 classes")
    digits = logits.argmax(1).view(-1, 3)
    return digits @ torch.tensor([100, 10, 1], device=digits.device)
