"""Curves of several seeds made into one, and made short enough to draw; NaN stays NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Curve = Sequence[tuple[float, float]]  # x rising, y


def pool(seeds: Sequence[Curve]) -> list[tuple[float, float, float, float]]:
    """(x, mean, lowest, highest) over seeds, where all of them have values: from the last start to the first end.

    At all x that any of them has there, the others interpolated; beside a NaN there is nothing to interpolate, and the
    result is NaN.
    """
    begin, end = max(curve[0][0] for curve in seeds), min(curve[-1][0] for curve in seeds)
    grid = np.array(sorted({x for curve in seeds for x, _ in curve if begin <= x <= end}))
    if not len(grid):
        return []
    rows = []
    for curve in seeds:
        x, y = np.array(curve, dtype=float).T
        rows.append(np.interp(grid, x, np.where(np.isfinite(y), y, np.nan)))
    values = np.stack(rows)
    return list(zip(grid.tolist(), *(f(values, axis=0).tolist() for f in (np.mean, np.min, np.max)), strict=True))


def thin(curve: Curve, most: int) -> list[tuple[float, float]]:
    """At most about `most` points of a curve: of every stretch the lowest and the highest, and a NaN if it has one."""
    if len(curve) <= most:
        return list(curve)
    kept: set[int] = {0, len(curve) - 1}
    for stretch in np.array_split(np.arange(len(curve)), most // 2):
        finite = [i for i in stretch.tolist() if math.isfinite(curve[i][1])]
        kept |= {min(finite, key=lambda i: curve[i][1]), max(finite, key=lambda i: curve[i][1])} if finite else set()
        kept |= set([i for i in stretch.tolist() if not math.isfinite(curve[i][1])][:1])
    return [curve[i] for i in sorted(kept)]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / about))
    step *= next(f for f in (1, 2, 5, 10) if (high - low) / (step * f) <= about)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between `low` and `high`, with 2 and 5 times them where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    if len(decades) > 7:
        decades = decades[:: math.ceil(len(decades) / 6)]
    found = [float(f"{f}e{e}") for e in decades for f in ((1, 2, 5) if len(decades) <= 3 else (1,))]
    return [t for t in found if low * 0.999 <= t <= high * 1.001]


def spread_out(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places, moved to be at least `gap` apart in the same order, and within `low` and `high` where they fit."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = [min(max(places[i], low), high) for i in order]
    for k in range(1, len(moved)):
        moved[k] = max(moved[k], moved[k - 1] + gap)
    if moved and moved[-1] > high:
        moved[-1] = high
        for k in range(len(moved) - 2, -1, -1):
            moved[k] = min(moved[k], moved[k + 1] - gap)
    found = [0.0] * len(places)
    for i, place in zip(order, moved, strict=True):
        found[i] = place
    return found
