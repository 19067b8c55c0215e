"""One reading of a game: numbers only."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

_FORMER = {"stray": "detour", "sway": "direction_change", "turn": "weight_turn"}


@dataclass(frozen=True)
class Reading:
    """A GAN at one moment; NaN is what could not be read.

    "Of the data" means: as much as a batch of real images has.
    """

    kimg: float
    finite: bool = True  # whether losses, scores, gradients, weights and samples all are
    loss_d: float = math.nan  # of the last turn of D's side
    loss_g: float = math.nan  # of the last turn of G's side
    accuracy: float = math.nan  # in [0, 1]: the share of pairs (real, fake) that D ranks rightly, ties by half
    overlap: float = math.nan  # in [0, 1]: of the scores of real and fake: 1 less the Kolmogorov-Smirnov distance
    gap: float = math.nan  # mean score of real less that of fake, above 0 where D is right
    sign: float = math.nan  # in [-1, 1]: the mean sign of the scores of real, ADA's r_t; NaN for energies
    held_out_gap: float = math.nan  # mean score of training images less that of held-out ones
    overfitting: float = math.nan  # that, of training images' lead over fakes: ADA's r_v, 1 at worst
    scale: float = math.nan  # the largest distance of a score from the mean of all
    slope: float = math.nan  # the mean |dL_G/df| of a fake's score f: 1 for a linear loss, σ(f) for the minimax loss
    gradient: float = math.nan  # the norm of G's gradient
    weights: float = math.nan  # the norm of the parameters of the player that has the largest
    growth: float = math.nan  # of that norm, over what it was before the first step
    diversity: float = math.nan  # the mean distance between samples in pixels, of the data's
    within_classes: bool = False  # whether diversity is that of pairs of the same class, as for a conditional GAN
    feature_diversity: float = math.nan  # the same in features
    modes: float = math.nan  # the effective number of modes or classes, of the data's
    dropped: float = (
        math.nan
    )  # in [0, 1]: of the data's modes, those of which the last 8 readings have next to no sample
    movement: float = math.nan  # of the samples' mean and spread since the last reading, of the data's spread
    detour: float = math.nan  # how far it lay from a straight course, over the last 8 readings, of the data's spread
    direction_change: float = math.nan  # in [-1, 1]: the cosine between the last two such movements
    weight_turn: float = math.nan  # in [-1, 1]: the cosine between the last two movements of G's weights

    def as_row(self) -> dict[str, float | bool]:
        """By name, as a checkpoint or a JSON holds it."""
        return asdict(self)

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Reading:
        """The inverse, also of rows with former names; unknown names are left out."""
        row = {_FORMER.get(name, name): value for name, value in row.items()}
        return cls(**{field.name: row[field.name] for field in fields(cls) if field.name in row})
