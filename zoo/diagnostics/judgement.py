"""Readings in, findings out.

Everything is decided over windows of readings, never by a single one, and by medians, which one odd batch does not
move. Windows are counted in readings: what they are in kimg follows from how often one reads.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from statistics import median
from typing import NamedTuple

from zoo.diagnostics.reading import Reading
from zoo.diagnostics.remedies import COLLAPSE, DIMINISHED, DIVERGENCE, DROPPING, OSCILLATION, OVERFITTING, advice

# Chosen on runs of benchmarks/diagnosis.py before those were looked at that docs/diagnosis.md counts.
SURE, FLAT, FALL = 0.95, 0.03, 30.0  # D's accuracy; the slope of L_G; the fall of G's gradient
NARROW, UNLIKE, FEW = 0.35, 0.45, 0.35  # diversity in pixels and in features; modes; all of the data's
CERTAIN, LOST = 0.99, 0.5  # D's accuracy where G is not near the data, unless its diversity is that of its peak
WIDE, DECAY = 0.6, 0.6  # movement, of the data's spread; that of a window's second half over the first
ASTRAY = 0.42  # the distance from a straight course, of the data's spread
WILDLY, OFTEN, SOMETIMES = 1.5, 0.7, 0.25  # movement that is no progress whatever rises; the share of turns back
RISE = 1.15  # of a window's second half over the first
HUGE, AGAIN = 10.0, 1.25  # weights and the spread of scores over their first; over what they were before
WILD, BEYOND = 300.0, 1e6  # the spread of scores that may be too much, and that is
LEARNT, TELLS = 0.5, 0.8  # of D's lead on training images, the part that held-out ones lack; D's accuracy
STUCK, ALIKE, RESTLESS, GROWING, SUDDEN, CALM = 6, 12, 14, 4, 12, 12  # readings
ALIKE_WITHIN = 6  # readings, of pairs of the same class


class Finding(NamedTuple):
    """A pathology that came up."""

    name: str  # one of `zoo.diagnostics.PATHOLOGIES`
    kimg: float  # of the reading at which it was seen
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name} at {self.kimg:g} kimg: {self.evidence}; {self.advice}"


class History:
    """Readings of one run in order, and the findings, a function of them.

    Args:
        readings: those there are already.
        uses: what the game is made of, for advice, as `zoo.diagnostics.reader.uses` tells.
    """

    def __init__(self, readings: Iterable[Reading] = (), uses: Collection[str] = ()) -> None:
        self.readings: list[Reading] = []
        self.findings: list[Finding] = []
        self.uses = uses
        self._absent: dict[str, int] = {}  # for how many readings each known pathology has not been seen
        for reading in readings:
            self.add(reading)

    def add(self, reading: Reading) -> list[Finding]:
        """Add a reading; returns the findings that are new, or back after an absence."""
        self.readings.append(reading)
        seen = present(self.readings)
        new = [
            Finding(name, reading.kimg, evidence, advice(name, self.uses))
            for name, evidence in seen.items()
            if self._absent.get(name, CALM) >= CALM
        ]
        self._absent = {name: count + 1 for name, count in self._absent.items()} | dict.fromkeys(seen, 0)
        self.findings += new
        return new


def present(readings: Sequence[Reading]) -> dict[str, str]:
    """The pathologies present at the last reading, {name: evidence in words}."""
    found = {DIVERGENCE: divergence(readings), DIMINISHED: diminished(readings)}
    if not found[DIVERGENCE] and not found[DIMINISHED]:  # either leaves a generator that makes nothing of use
        found[COLLAPSE], found[OSCILLATION] = collapse(readings), oscillation(readings)
        found[DROPPING] = "" if found[COLLAPSE] else dropping(readings)
    found[OVERFITTING] = overfitting(readings)
    return {name: evidence for name, evidence in found.items() if evidence}


def divergence(readings: Sequence[Reading]) -> str:
    """Numbers that are none, or weights or scores that grow without a bound."""
    if not readings[-1].finite:
        return "losses, scores, gradients, weights or samples are NaN or infinite"
    if readings[-1].scale >= BEYOND:
        return f"scores are {readings[-1].scale:.3g} from their mean"
    if burst := _burst(readings):
        return burst
    if len(readings) < 3 * GROWING:
        return ""
    first, before, now = readings[:GROWING], readings[-3 * GROWING : -2 * GROWING], readings[-GROWING:]
    for what, name in (("weights", "the norm of the weights"), ("scale", "the spread of scores")):
        start, then, end = (_middle(part, what) for part in (first, before, now))
        grown, lately = _over(end, start), _over(end, then)
        if grown >= HUGE and lately >= AGAIN and (what == "weights" or end >= WILD):
            recent = _span(readings[-3 * GROWING :])
            return f"{name} grew {grown:.3g}-fold to {end:.3g}, and {lately:.3g}-fold in the last {recent}"
    return ""


def _burst(readings: Sequence[Reading]) -> str:
    """Whether the weights grew 10-fold in a few readings, or before the first, and have not come back."""
    first, now = readings[0], readings[-1]
    norms = [_over(first.weights, first.growth), *(r.weights for r in readings)]
    times = [0.0, *(r.kimg for r in readings)]
    for i, before in enumerate(norms):
        if _over(now.weights, before) >= HUGE:
            for k in range(i + 1, min(i + 1 + SUDDEN, len(norms))):
                if (grown := _over(norms[k], before)) >= HUGE:
                    return f"the norm of the weights grew {grown:.3g}-fold in {times[k] - times[i]:g} kimg"
    return ""


def diminished(readings: Sequence[Reading]) -> str:
    """Evidence that D ranks rightly while G's loss is flat there, or its gradient has fallen; else empty."""
    window = readings[-STUCK:]
    if len(window) < STUCK or min(r.accuracy for r in window) < SURE:
        return ""
    right = f"while D ranks {_middle(window, 'accuracy'):.1%} of pairs rightly"
    peak = max((_middle(readings[i : i + 3], "gradient"), -i) for i in range(max(1, len(readings) - 3)))
    now = _middle(window, "gradient")
    fall = _over(peak[0], now)
    fell = f"the gradient of G fell {fall:.3g}-fold in {readings[-1].kimg - readings[-peak[1]].kimg:g} kimg"
    slope = _middle(window, "slope")
    if slope <= FLAT:
        flat = f"G's loss passes on {slope:.2g} of what moves D's score of a sample"
        return f"{fell}, and {flat}, {right}" if fall >= 3 else f"{flat}, {right}"
    return f"{fell} {right}" if fall >= FALL else ""


def collapse(readings: Sequence[Reading]) -> str:
    """The samples are alike, or of few modes, and do not become more.

    Pairs of the same class are as different as the data's from the start where labels enter G as they should, so half
    as long a window does for them.
    """
    within = readings[-1].within_classes
    least = ALIKE_WITHIN if within else ALIKE
    window = readings[-least:]
    if len(window) < least or any(_rises(window, what) for what in ("diversity", "feature_diversity", "modes")):
        return ""
    pixels, features, modes = (_middle(window, what) for what in ("diversity", "feature_diversity", "modes"))
    peak = max(_middle(readings[i : i + 3], "diversity") for i in range(max(1, len(readings) - 3)))
    if _middle(window, "accuracy") >= CERTAIN and not pixels <= LOST * peak:
        return ""  # G has not come near the data yet
    alike = "samples of the same class differ" if within else "samples differ"
    if pixels <= NARROW:
        text = f"{alike} {pixels:.2g} times as much as the data do"
    elif features <= UNLIKE:
        text = f"{alike} {features:.2g} times as much as the data do, in features"
    elif modes <= FEW and math.isnan(features):
        text = f"samples have {modes:.2g} times as many modes as the data"
    else:
        return ""
    more = f", and {modes:.2g} times as many modes" if modes <= FEW and "modes" not in text else ""
    return f"{text}{more}, with no rise in {_span(window)}"


def dropping(readings: Sequence[Reading]) -> str:
    """Modes of the data that no sample is of, while those that there are differ as the data do."""
    window = readings[-STUCK:]
    if len(window) < STUCK or not min(r.dropped for r in window) > 0 or _rises(window, "modes"):
        return ""
    if _middle(window, "accuracy") >= CERTAIN:
        return ""  # G has not come near the data yet
    alike = {"diversity": NARROW, "feature_diversity": UNLIKE, "modes": FEW}
    if any(_middle(window, what) <= least for what, least in alike.items()):
        return ""  # a collapse, or the way to one
    if any(oscillation(readings[: len(readings) - i]) for i in range(STUCK)):
        return ""  # modes come and go
    share, now = _middle(window, "dropped"), window[-1]
    return (
        f"{share:.0%} of the data's modes have next to no sample in {_span(window)}, while samples differ "
        f"{now.diversity:.2g} times as much as the data do"
    )


def oscillation(readings: Sequence[Reading]) -> str:
    """What G makes goes on moving as a whole, far and to and fro, and nothing comes of it."""
    window = readings[-RESTLESS:]
    if len(window) < RESTLESS:
        return ""
    first, second = _halves(window, "movement")
    back = sum(r.direction_change < 0 for r in window)
    wild = min(first, second) >= WILDLY and back >= OFTEN * len(window)
    if not wild and any(_rises(window, what) for what in ("diversity", "feature_diversity", "modes")):
        return ""
    movement = _middle(window, "movement")
    astray = window[-1].detour
    if not (movement >= WIDE and astray >= ASTRAY and second >= DECAY * first and back >= SOMETIMES * len(window)):
        return ""
    return (
        f"from one reading to the next the samples moved as a whole by {movement:.2g} of the data's spread, and turned "
        f"back {back} times in {_span(window)}, {astray:.2g} off a straight course, without calming down"
    )


def overfitting(readings: Sequence[Reading]) -> str:
    """Held-out images have scores that are nearer to those of fakes than to those of training images."""
    window = readings[-STUCK:]
    if len(window) < STUCK or not min(r.overfitting for r in window) >= LEARNT or _middle(window, "accuracy") < TELLS:
        return ""
    share, sign = _middle(window, "overfitting"), _middle(window, "sign")
    known = "" if math.isnan(sign) else f"; D has {(1 + sign) / 2:.0%} of training images on the side of real ones"
    return f"D's scores of held-out images lie {share:.0%} of the way from training images to fakes{known}"


def _middle(readings: Sequence[Reading], what: str) -> float:
    """The median of the values that are not NaN; NaN if all are."""
    known = [value for r in readings if not math.isnan(value := getattr(r, what))]
    return median(known) if known else math.nan


def _halves(window: Sequence[Reading], what: str) -> tuple[float, float]:
    half = len(window) // 2
    return _middle(window[:half], what), _middle(window[half:], what)


def _rises(window: Sequence[Reading], what: str) -> bool:
    first, second = _halves(window, what)
    return second > RISE * first


def _over(value: float, other: float) -> float:
    """The ratio, also to 0."""
    return value / other if other else math.inf if value else math.nan


def _span(window: Sequence[Reading]) -> str:
    return f"{window[-1].kimg - window[0].kimg:g} kimg"
