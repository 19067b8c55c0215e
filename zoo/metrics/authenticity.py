"""Memorisation: whether samples lie closer to training images than new images of the same law would."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.metrics._checks import as_float64
from zoo.metrics.prdc import nearest

SIGMAS = 3.0  # standard errors between two shares before they count as different


def authpct(train: Tensor, x: Tensor) -> Tensor:
    """AuthPct of Alaa et al. (2022, "How Faithful is your Synthetic Data?"), a float64 scalar in [0, 100].

    A row of `x` is authentic if its nearest row of `train` has another row of `train` nearer still. 0 for copies of
    training images; about what held-out images get, somewhat below 50, for a generator that has learned the law. It
    rises again for samples far from the data, so it measures memorisation alone, not quality.

    Args:
        train: features of the training images, (N, D), N >= 2: of all, since what is left out cannot be found.
        x: features of samples, or of held-out images for comparison, (M, D).

    Raises:
        ValueError: a shape is wrong, `train` has fewer than two rows, `x` none, or a value is not finite.
    """
    train, x = as_float64("authpct", train, x, least=1)
    if len(train) < 2:
        raise ValueError(f"authpct: needs at least 2 training images, got {len(train)}")
    distance, place = nearest(x, train)
    places, back = torch.unique(place, return_inverse=True)
    second, _ = nearest(train[places], train, but=places)
    return 100 * (second[back] < distance).double().mean()


def memorises(samples: float, held_out: float, n_samples: int, n_held_out: int) -> bool:
    """Whether AuthPct is lower for samples than for held-out images, by more than 3 standard errors of the difference.

    Each is a share of so many independent rows. A generator that shows training images is found where it shows enough
    of them; one that only resembles them more than new images do is found as well.
    """
    shares = ((samples / 100, n_samples), (held_out / 100, n_held_out))
    variance = sum(p * (1 - p) / n for p, n in shares)
    return held_out - samples > 100 * SIGMAS * math.sqrt(variance)
