"""Inline SVG: lines over seeds, and intervals. Colours and dashes are the style sheet's, by class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from zoo.compare.curves import Curve, log_ticks, pool, spread_out, thin, ticks
from zoo.compare.markup import Markup, join, tag
from zoo.compare.statistics import Summary

WIDTH, LEFT, TOP, BOTTOM = 400, 44, 8, 34  # pixels of a chart, and its margins
_LEAST_HEIGHT, _LINE_HEIGHT = 236, 12
_LETTERS, _LETTER = 19, 6.4  # of a label, and pixels of each
_FINE = 10  # paths are drawn in tenths of a pixel, as whole numbers
_POINTS = 100  # of a path
_LOG_FROM = 10  # highest over lowest value


@dataclass(frozen=True)
class Line:
    """What is drawn together: the curves of a variant's seeds."""

    label: str
    style: str  # CSS classes
    seeds: list[Curve]


@dataclass(frozen=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, log: bool = False) -> Scale:
        """What shows all finite values; logarithmic, if it may be, where they span more than a factor of 10."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        log = log and low > 0 and high > _LOG_FROM * low
        if low == high:
            low, high = (low - 0.5, high + 0.5) if low == 0 else (low - abs(low) / 10, high + abs(high) / 10)
        return cls(low, high, start, end, log)

    def __call__(self, value: float) -> float:
        """Where a finite value is."""
        f: Callable[[float], float] = math.log if self.log else float
        share = (f(value) - f(self.low)) / (f(self.high) - f(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values."""
        return log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high, about)


def number(value: float | None, digits: int = 4) -> str:
    """A number in a table; a dash for None."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    text = f"{value:.0f}" if 10**digits <= abs(value) < 1e7 else f"{value:.{digits}g}"
    return text.replace("-", "−")


def measured(value: float | None, digits: int = 4) -> str:
    """A :func:`number` with all its digits, zeros too."""
    plain = value is None or not math.isfinite(value) or value == 0 or abs(value) >= 10**digits
    return number(value, digits) if plain else f"{value:#.{digits}g}".removesuffix(".").replace("-", "−")


def line_chart(
    lines: Sequence[Line], *, title: str, x_name: str, style: str = "", floor: float | None = None
) -> Markup:
    """Lines on common axes: of each variant a thin line a seed, the mean of seeds, and the band between its extremes.

    A value that is not finite is a gap, and a cross at the foot.

    Args:
        lines: each with at least one point.
        title: what the chart shows, for those who cannot see it.
        x_name: of the axis.
        style: CSS classes.
        floor: a level to mark: what real images get.
    """
    seeds = [curve for line in lines for curve in line.seeds]
    height = max(_LEAST_HEIGHT, TOP + BOTTOM + _LINE_HEIGHT * len(lines))
    values = [y for curve in seeds for _, y in curve]
    end = WIDTH - _LETTER * max(len(_short(line.label)) for line in lines) - 14
    x = Scale.over([x for curve in seeds for x, _ in curve], LEFT, end)
    y = Scale.over([*values, math.nan if floor is None else floor], height - BOTTOM, TOP, log=True)
    parts = [tag("title", title), tag("desc", _described(lines)), _axes(x, y, height, x_name)]
    if floor is not None:
        at = f"{y(floor):.1f}"
        parts.append(tag("line", x1=LEFT, x2=x.end, y1=at, y2=at, class_="floor"))
        parts.append(tag("text", "real images", x=LEFT + 4, y=f"{y(floor) - 3:.1f}", class_="floor"))
    parts += [_drawn(line, x, y) for line in lines]
    parts.append(_labels(lines, x, y))
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", class_=f"chart {style}".strip(), role="img")


def strip(summary: Summary, scale: Scale, style: str) -> Markup:
    """A summary in a table's cell: a tick a seed, the interval as a bar, the mean as a dot."""
    marks = [tag("line", x1=f"{scale(v):.1f}", x2=f"{scale(v):.1f}", y1=3, y2=15, class_="seed")
             for v in summary.values if math.isfinite(v)]  # fmt: skip
    if summary.interval is not None:
        low, high = (f"{scale(v):.1f}" for v in summary.interval)
        marks.append(tag("line", x1=low, x2=high, y1=9, y2=9, class_="interval"))
    if summary.mean is not None:
        marks.append(tag("circle", cx=f"{scale(summary.mean):.1f}", cy=9, r=3.5))
    said = "seeds: " + ", ".join(map(measured, summary.values))
    box = f"0 0 {max(scale.start, scale.end) + 6:g} 18"
    return tag("svg", tag("title", said), *marks, viewBox=box, class_=f"strip {style}", role="img")


def swatch(style: str) -> Markup:
    """A piece of a variant's line."""
    line = tag("line", x1=1, x2=23, y1=5, y2=5, class_="mean")
    return tag("svg", line, viewBox="0 0 24 10", class_=f"swatch {style}", aria_hidden="true")


def _axes(x: Scale, y: Scale, height: float, x_name: str) -> Markup:
    parts = []
    for value in y.ticks():
        at = f"{y(value):.1f}"
        parts.append(tag("line", x1=LEFT, x2=x.end, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", number(value), x=LEFT - 5, y=f"{y(value) + 3.5:.1f}", class_="end"))
    for value in x.ticks(6):
        parts.append(tag("text", number(value), x=f"{x(value):.1f}", y=height - 20, class_="middle"))
    name = f"{x_name} (vertical axis logarithmic)" if y.log else x_name
    parts.append(tag("text", name, x=f"{(x.start + x.end) / 2:.1f}", y=height - 5, class_="middle axis"))
    return tag("g", *parts, class_="axes", aria_hidden="true")


def _drawn(line: Line, x: Scale, y: Scale) -> Markup:
    pooled = pool(line.seeds) if len(line.seeds) > 1 else []
    parts = []
    if pooled:
        parts.append(tag("path", d=_band(pooled, x, y), class_="band"))
    for curve in line.seeds:
        parts.append(tag("path", d=_path(thin(curve, _POINTS), x, y), class_="thin" if pooled else "mean"))
        lost = sorted({round(x(at) * _FINE) for at, value in curve if not math.isfinite(value)})
        foot = round(y.start * _FINE)
        crosses = "".join(f"M{at - 30} {foot - 30}l60 60m0-60l-60 60" for at in lost)
        if crosses:
            parts.append(tag("path", tag("title", f"{line.label}: NaN or infinite"), d=crosses, class_="lost"))
    if pooled:
        mean = thin([(at, value) for at, value, _, _ in pooled], _POINTS)
        parts.append(tag("path", tag("title", line.label), d=_path(mean, x, y), class_="mean"))
    return tag("g", *parts, class_=line.style, transform=f"scale({1 / _FINE})")


def _path(curve: Curve, x: Scale, y: Scale) -> str:
    """Moves and lines; a point between two gaps is a line of no length, which a round cap makes a dot."""
    words: list[str] = []
    at: tuple[int, int] | None = None
    for place, value in curve:
        if not math.isfinite(value):
            at = None
            continue
        here = round(x(place) * _FINE), round(y(value) * _FINE)
        if at is None:
            words.append(f"M{here[0]} {here[1]}h0")
        else:
            words.append(f"l{here[0] - at[0]} {here[1] - at[1]}".replace(" -", "-"))
        at = here
    return "".join(words)


def _band(pooled: Sequence[tuple[float, float, float, float]], x: Scale, y: Scale) -> str:
    """Closed outlines, one between any two gaps."""
    outlines, stretch = [], []
    for at, _, low, high in [*pooled, (0.0, 0.0, math.nan, math.nan)]:
        if math.isfinite(low):
            stretch.append((at, low, high))
        elif stretch:
            step = max(1, len(stretch) // _POINTS)
            short = [*stretch[:-1:step], stretch[-1]]
            edge = [(at, high) for at, _, high in short] + [(at, low) for at, low, _ in reversed(short)]
            outlines.append(_path(edge, x, y) + "z")
            stretch = []
    return "".join(outlines)


def _labels(lines: Sequence[Line], x: Scale, y: Scale) -> Markup:
    """A line's name beside its end, moved up or down where others are."""
    named = []
    for line in lines:
        finite = [p for curve in line.seeds for p in curve if math.isfinite(p[1])]
        if finite:
            end = max(at for at, _ in finite)
            last = [value for at, value in finite if at == end]
            named.append((line, x(end), y(sum(last) / len(last))))
    places = spread_out([at for _, _, at in named], _LINE_HEIGHT - 0.5, y.end + 4, y.start)
    parts = []
    for (line, left, at), place in zip(named, places, strict=True):
        leader = f"M{left:.1f} {at:.1f}L{x.end + 6} {place:.1f}h4"
        text = tag("text", tag("title", line.label), _short(line.label), x=x.end + 13, y=f"{place + 3.5:.1f}")
        parts.append(tag("g", tag("path", d=leader, class_="leader"), text, class_=line.style))
    return join(*parts)


def _short(label: str) -> str:
    return label if len(label) <= _LETTERS else label[: _LETTERS - 1] + "…"


def _described(lines: Sequence[Line]) -> str:
    """The last values, in words."""
    told = []
    for line in lines:
        last = ", ".join(number(curve[-1][1]) for curve in line.seeds)
        told.append(f"{line.label} ends at {last}")
    return "; ".join(told) + "."
