"""Schedules: pure functions from kimg to a factor on a learning rate, 1 - β₂, a penalty's weight or a half-life.

Being functions of kimg alone they have no state to save, and mean the same at any batch size, `d_steps` or number of
ranks.
"""

import math
from abc import ABC, abstractmethod

from zoo.support.described import Described


class Schedule(Described, ABC):
    """Call it with the kimg so far; it returns the factor, at least 0."""

    @abstractmethod
    def __call__(self, kimg: float) -> float:
        """The factor at `kimg`."""


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0 kimg, got {value}")


def _not_negative(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value}")


class Linear(Schedule):
    """`start_factor` until `start_kimg`, then a straight line to `end_factor` at `end_kimg`, then flat.

    SNGAN (Miyato et al. 2018) decays to 0 over the whole run: `Linear(end_kimg=budget)`.
    """

    def __init__(
        self, end_kimg: float, start_kimg: float = 0.0, end_factor: float = 0.0, start_factor: float = 1.0
    ) -> None:
        _positive(end_kimg=end_kimg)
        if not 0 <= start_kimg < end_kimg:
            raise ValueError(f"start_kimg must be in [0, end_kimg={end_kimg}), got {start_kimg}")
        _not_negative(end_factor=end_factor, start_factor=start_factor)
        self.start_kimg, self.end_kimg = start_kimg, end_kimg
        self.start_factor, self.end_factor = start_factor, end_factor

    def __call__(self, kimg: float) -> float:
        """The factor at `kimg`."""
        share = (kimg - self.start_kimg) / (self.end_kimg - self.start_kimg)
        return self.start_factor + min(max(share, 0.0), 1.0) * (self.end_factor - self.start_factor)


class Step(Schedule):
    """Multiplied by `factor` every `every_kimg`, never below `floor`. BEGAN halves its rate this way."""

    def __init__(self, every_kimg: float, factor: float = 0.5, floor: float = 0.0) -> None:
        _positive(every_kimg=every_kimg)
        _not_negative(factor=factor, floor=floor)
        self.every_kimg, self.factor, self.floor = every_kimg, factor, floor

    def __call__(self, kimg: float) -> float:
        """The factor at `kimg`."""
        return max(self.factor ** math.floor(kimg / self.every_kimg), self.floor)


class Cosine(Schedule):
    """Half a cosine from `start_factor` at 0 kimg to `end_factor` at `end_kimg`, then flat (Loshchilov & Hutter 2017).

    The burn-in of R3GAN (Huang et al. 2024) is of this form for every quantity that it schedules.
    """

    def __init__(self, end_kimg: float, end_factor: float = 0.0, start_factor: float = 1.0) -> None:
        _positive(end_kimg=end_kimg)
        _not_negative(end_factor=end_factor, start_factor=start_factor)
        self.end_kimg, self.start_factor, self.end_factor = end_kimg, start_factor, end_factor

    def __call__(self, kimg: float) -> float:
        """The factor at `kimg`."""
        share = min(kimg / self.end_kimg, 1.0)
        return self.end_factor + (self.start_factor - self.end_factor) * (1 + math.cos(math.pi * share)) / 2
