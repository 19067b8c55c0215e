"""Which logged numbers are scores of quality, which way they go, and what each was measured with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from zoo.compare.runs import Point, Protocol, Run

# {kind: (name, whether lower is better)}
KINDS = {
    "fid": ("Fréchet inception distance", True), "fd": ("Fréchet distance", True),
    "kid": ("kernel inception distance", True), "kd": ("kernel distance", True), "is": ("inception score", False),
    "precision": ("precision", False), "recall": ("recall", False), "density": ("density", False),
    "coverage": ("coverage", False), "modes/covered": ("modes covered", False),
    "modes/populated": ("modes populated", False), "modes/high_quality": ("share near a mode", False),
    "modes/missing": ("modes missing", True), "modes/kl": ("KL divergence of modes", True),
    "modes/score": ("share near a mode times evenness of modes", False),
}  # fmt: skip
FULL = "full/"


class Measure(NamedTuple):
    """A score under a protocol: one column of a table."""

    key: str  # as it is logged: fd/digits-cnn, full/kd/digits-cnn, modes/covered
    protocol: Protocol

    @property
    def name(self) -> str:
        """In words."""
        return KINDS[kind_of(self.key)][0]

    @property
    def lower_is_better(self) -> bool:
        """Which way it goes."""
        return KINDS[kind_of(self.key)][1]

    @property
    def direction(self) -> str:
        """Which way it goes, in words."""
        return "lower is better" if self.lower_is_better else "higher is better"

    @property
    def distance(self) -> bool:
        """Whether it is the Fréchet distance taken during training, which a run keeps its best checkpoint by."""
        return kind_of(self.key) in {"fid", "fd"} and not self.key.startswith(FULL)

    def best(self, points: Sequence[Point]) -> float:
        """The best finite value; NaN if there is none."""
        finite = [point.value for point in points if math.isfinite(point.value)]
        return (min if self.lower_is_better else max)(finite, default=math.nan)


def kind_of(key: str) -> str:
    """`fd` of `full/fd/digits-cnn`, `modes/kl` of `modes/kl`; empty for what is no score."""
    name = key.removeprefix(FULL)
    kind = name if name.startswith("modes/") else name.partition("/")[0]
    derived = name.endswith(("_real", "/std"))
    return kind if kind in KINDS and not derived else ""


def scores(run: Run) -> dict[Measure, list[Point]]:
    """The scores of a run, in the order in which they were measured.

    The protocol of a score that `scores.jsonl` does not know is the features in its name, and otherwise unknown.
    """
    found: dict[Measure, list[Point]] = {}
    for key, points in run.series.items():
        if not kind_of(key):
            continue
        named = key.removeprefix(FULL).removeprefix(kind_of(key)).removeprefix("/") or None
        unknown = Protocol(named, *[None] * (len(Protocol._fields) - 1))
        for point in points:
            measure = Measure(key, run.protocols.get((key, point.kimg), unknown))
            found.setdefault(measure, []).append(point)
    return found
