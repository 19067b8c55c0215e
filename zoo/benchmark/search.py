"""A random search over each variant's own hyper-parameters, as in Lucic et al. 2018, "Are GANs Created Equal?"."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from zoo.cli.errors import no_option

Values = dict[str, Any]  # options of train.py to what was drawn


@dataclass(frozen=True)
class Uniform:
    """Any number between two."""

    low: float
    high: float

    def at(self, u: float) -> float:
        """The quantile of u in [0, 1)."""
        return self.low + u * (self.high - self.low)

    @property
    def probes(self) -> tuple[Any, ...]:
        """What must be possible if all is."""
        return self.low, self.high


@dataclass(frozen=True)
class LogUniform(Uniform):
    """A positive number whose logarithm is uniform."""

    def at(self, u: float) -> float:
        """The quantile of u in [0, 1)."""
        return min(max(self.low * (self.high / self.low) ** u, self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of several values, each as likely as the others."""

    values: tuple[Any, ...]

    def at(self, u: float) -> Any:
        """The quantile of u in [0, 1)."""
        return self.values[int(u * len(self.values))]

    @property
    def probes(self) -> tuple[Any, ...]:
        """What must be possible if all is."""
        return self.values


@dataclass(frozen=True)
class SameAs:
    """What was drawn for another option."""

    option: str


Range = Uniform | Choice | SameAs


@dataclass(frozen=True)
class Search:
    """Draws of hyper-parameters, as functions of (seed, variant, option, number of the draw).

    So a longer search begins with the draws of a shorter one, and another range leaves an option's neighbours alone.

    Attributes:
        draws: for each variant; each is trained with every seed of the protocol.
        seed: of the draws.
        ranges: for each variant, options of `train.py` to ``{uniform: [low, high]}``, ``{log_uniform: [low, high]}``,
            ``{choice: [...]}`` or ``{same_as: option}``.
    """

    draws: int
    seed: int
    ranges: Mapping[str, Mapping[str, Range]]

    _KEYS: ClassVar[tuple[str, ...]] = ("draws", "seed", "ranges")

    @classmethod
    def read(cls, given: Any, variants: Iterable[str]) -> Search:
        """The section ``search`` of a protocol; ValueError, in one line, where it is wrong."""
        if not isinstance(given, dict):
            raise ValueError(f"search: must have {', '.join(cls._KEYS)}")
        for key in given:
            if key not in cls._KEYS:
                raise ValueError(no_option(str(key), "search: ", cls._KEYS))
        draws, seed = given.get("draws"), given.get("seed", 0)
        ranges: dict[str, Any] = given.get("ranges", {})
        if not isinstance(ranges, dict):
            raise ValueError(f"search: ranges must be a mapping of variants to options, got {ranges!r}")
        if not isinstance(draws, int) or draws < 1:
            raise ValueError(f"search: draws must be an integer from 1 up, got {draws!r}")
        if not isinstance(seed, int):
            raise ValueError(f"search: seed must be an integer, got {seed!r}")
        variants = list(variants)
        for name in ranges:
            if name not in variants:
                raise ValueError(no_option(str(name), "search.ranges: ", variants))
        for name in variants:
            if not ranges.get(name):
                raise ValueError(f"search.ranges: there are none for {name}")
        return cls(draws, seed, {name: _ranges(options, name) for name, options in ranges.items()})

    def draw(self, variant: str, number: int) -> Values:
        """Draw `number`, from 0, of a variant."""

        def drawn(option: str, among: Range) -> Any:
            if isinstance(among, SameAs):
                return drawn(among.option, ranges[among.option])
            return among.at(random.Random(f"{self.seed}/{variant}/{option}/{number}").random())

        ranges = self.ranges[variant]
        return {option: drawn(option, among) for option, among in ranges.items()}

    def probes(self, variant: str) -> list[Values]:
        """Values with both ends of every range and each member of every choice among them."""
        ranges = self.ranges[variant]
        tried = {option: among.probes for option, among in ranges.items() if not isinstance(among, SameAs)}
        followed = {option: among.option for option, among in ranges.items() if isinstance(among, SameAs)}
        longest = max(map(len, tried.values()))
        return [
            {option: values[i % len(values)] for option in ranges for values in [tried[followed.get(option, option)]]}
            for i in range(longest)
        ]


def _ranges(options: Any, variant: str) -> dict[str, Range]:
    if not isinstance(options, dict):
        raise ValueError(f"search.ranges: {variant}: must be options of train.py and their ranges")
    made = {option: _range(given, f"search.ranges: {variant}: {option}") for option, given in options.items()}
    for option, among in made.items():
        if isinstance(among, SameAs) and isinstance(made.get(among.option, among), SameAs):
            raise ValueError(f"search.ranges: {variant}: {option}: there is no range for {among.option}")
    return made


def _range(given: Any, where: str) -> Range:
    if not isinstance(given, dict) or len(given) != 1:
        raise ValueError(f"{where}: must be one of {{{'|'.join(_READERS)}: ...}}, got {given!r}")
    ((kind, value),) = given.items()
    if kind not in _READERS:
        raise ValueError(no_option(str(kind), f"{where}: ", _READERS))
    try:
        return _READERS[kind](value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {kind}: {error}") from None


def _ends(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"must be [low, high], got {value!r}")
    low, high = map(float, value)  # YAML takes 1e-5 for a string
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"low must be below high, and both finite, got {value}")
    return low, high


def _log_uniform(value: Any) -> LogUniform:
    low, high = _ends(value)
    if low <= 0:
        raise ValueError(f"low must be positive, got {value}")
    return LogUniform(low, high)


def _choice(value: Any) -> Choice:
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be a list of values, got {value!r}")
    if any(isinstance(member, list | dict) for member in value):
        raise ValueError("a search draws numbers and words, not lists or classes")
    return Choice(tuple(value))


def _same_as(value: Any) -> SameAs:
    if not isinstance(value, str):
        raise ValueError(f"must be an option, got {value!r}")
    return SameAs(value)


_READERS: dict[str, Callable[[Any], Range]] = {
    "uniform": lambda value: Uniform(*_ends(value)),
    "log_uniform": _log_uniform,
    "choice": _choice,
    "same_as": _same_as,
}
