"""Charts by matplotlib as inline SVG. Colours, widths and dashes are the style sheet's, by class."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup, escape

from zoo.compare.statistics import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = Sequence[tuple[float, float]]  # x rising, y
Span = tuple[float, float, bool]  # lowest, highest, logarithmic

_WIDTH, _LEFT, _TOP, _BOTTOM = 400, 44, 8, 34  # pixels of a chart, and its margins
_LEAST_HEIGHT, _LINE_HEIGHT = 236, 12
_LETTERS, _LETTER = 19, 6.8  # of a label, and pixels of each
_LOG_FROM = 10  # highest over lowest value
_RC = {"svg.fonttype": "none", "svg.hashsalt": "zoo", "text.parse_math": False, "path.simplify_threshold": 0.3}


@dataclass(frozen=True)
class Line:
    """The curves of a variant's seeds, drawn together."""

    label: str
    style: str  # CSS classes
    seeds: Sequence[Curve]


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


def span(values: Iterable[float]) -> Span:
    """The extremes of the finite values, logarithmic where they are positive and more than a factor of 10 apart."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    return low, high, low > 0 and high > _LOG_FROM * low


def pool(seeds: Sequence[Curve]) -> np.ndarray:
    """(4, n): x, mean, lowest and highest over seeds, from the last start to the first end.

    At all x that any of them has there, the others interpolated; NaN beside a NaN.
    """
    begin, end = max(curve[0][0] for curve in seeds), min(curve[-1][0] for curve in seeds)
    grid = np.array(sorted({x for curve in seeds for x, _ in curve if begin <= x <= end}))
    columns = [np.array(curve, dtype=float).T for curve in seeds]
    values = np.stack([np.interp(grid, x, np.where(np.isfinite(y), y, np.nan)) for x, y in columns])
    return np.stack([grid, *(f(values, axis=0) for f in (np.mean, np.min, np.max))]) if len(grid) else np.empty((4, 0))


def spread_out(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places, moved to be at least `gap` apart in the same order, and within `low` and `high` where they fit."""
    moved = np.sort(np.clip(places, low, high))
    steps = gap * np.arange(len(moved))
    moved = np.maximum.accumulate(moved - steps) + steps
    moved = np.minimum.accumulate(np.minimum(moved, high)[::-1] + steps)[::-1] - steps[::-1]
    found = np.empty(len(moved))
    found[np.argsort(places, kind="stable")] = moved
    return found.tolist()


def line_chart(
    lines: Sequence[Line], *, title: str, x_name: str, style: str = "", floor: float | None = None
) -> Markup:
    """Lines on common axes: of each variant a thin line a seed, the mean of seeds, and the band between its extremes.

    A value that is not finite is a gap, and a cross at the foot.

    Args:
        lines: each with at least one point.
        title: the chart's subject, for screen readers.
        x_name: of the axis.
        style: CSS classes.
        floor: a level to mark: the score of real images.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

    height = max(_LEAST_HEIGHT, _TOP + _BOTTOM + _LINE_HEIGHT * len(lines))
    right = _LETTER * max(len(_short(line.label)) for line in lines) + 14
    figure = _figure(_WIDTH, height)
    box = (_LEFT / _WIDTH, _BOTTOM / height, (_WIDTH - _LEFT - right) / _WIDTH, (height - _TOP - _BOTTOM) / height)
    axes = figure.add_axes(box, frame_on=False)
    low, high, log = span(
        [*(y for line in lines for c in line.seeds for _, y in c), math.nan if floor is None else floor]
    )
    axes.set_yscale("log" if log else "linear")
    margin = 0.0 if high > low else abs(low) / 10 or 0.5
    axes.set_ylim(low - margin, high + margin)
    titles: dict[str, str] = {}
    for line in lines:
        titles |= _draw(axes, line)
    starts, ends = zip(*((c[0][0], c[-1][0]) for line in lines for c in line.seeds), strict=True)
    axes.set_xlim(min(starts), max(ends) if max(ends) > min(starts) else min(starts) + 1)
    if floor is not None:
        axes.axhline(floor, gid="floor", clip_on=False)
        axes.annotate("real images", (0, floor), (4, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", gid="floor")  # fmt: skip
    fine = LogLocator(subs=(1, 2, 5) if log and high < 1000 * low else (1,), numticks=7)
    axes.yaxis.set_major_locator(fine if log else MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if log:
        axes.yaxis.set_major_locator(FixedLocator([t for t in fine.tick_values(low, high) if low <= t <= high]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.tick_params(left=False, bottom=False)
    axes.yaxis.grid(True, gid="grid", clip_on=False)
    axes.set_xlabel(f"{x_name} (vertical axis logarithmic)" if log else x_name, gid="axis", labelpad=2)
    names = _name_ends(figure, axes, lines, titles)
    described = "; ".join(f"{line.label} ends at {', '.join(number(c[-1][1]) for c in line.seeds)}" for line in lines)
    return _svg(figure, f"chart {style}".strip(), title, f"{described}.", titles, names)


def strip(summary: Summary, over: Span, style: str) -> Markup:
    """A summary in a table's cell: a tick a seed, the interval as a bar, the mean as a dot."""
    low, high, log = over
    figure = _figure(140, 18)
    axes = figure.add_axes((6 / 140, 0, 128 / 140, 1), frame_on=False, xticks=[], yticks=[], ylim=(0, 18))
    axes.set_xscale("log" if log else "linear")
    axes.set(xlim=(low, high) if high > low else (low - 0.5, low + 0.5), xticks=[])
    axes.minorticks_off()
    for value in filter(math.isfinite, summary.values):
        axes.plot([value, value], [3, 15], gid="seed", clip_on=False)
    if summary.interval is not None:
        axes.plot(summary.interval, [9, 9], gid="interval", clip_on=False)
    if summary.mean is not None:
        axes.plot([summary.mean] * 2, [9, 9], gid="dot", clip_on=False)
    said = "seeds: " + ", ".join(map(measured, summary.values))
    return _svg(figure, f"strip {style}", said)


def _draw(axes: Axes, line: Line) -> dict[str, str]:
    """{class of a part drawn: its title}."""
    ids = {part: f"{line.style} {part}" for part in ("mean", "thin", "band", "lost")}
    pooled = pool(line.seeds) if len(line.seeds) > 1 else np.empty((4, 0))
    if pooled.size:
        axes.fill_between(pooled[0], pooled[2], pooled[3], gid=ids["band"], clip_on=False)
    foot = axes.get_ylim()[0]
    for curve in line.seeds:
        x, y = np.array(curve, dtype=float).T
        y[~np.isfinite(y)] = np.nan
        axes.plot(x, y, gid=ids["thin" if pooled.size else "mean"], clip_on=False)
        for at in sorted(set(x[np.isnan(y)].tolist())):
            axes.annotate("×", (at, foot), ha="center", gid=ids["lost"], annotation_clip=False)
    if pooled.size:
        axes.plot(pooled[0], pooled[1], gid=ids["mean"], clip_on=False)
    return {ids["mean"]: line.label, ids["lost"]: f"{line.label}: NaN or infinite"}


def _name_ends(figure: Figure, axes: Axes, lines: Sequence[Line], titles: dict[str, str]) -> list[Line]:
    """Put each line's name beside its end, moved up or down where others are; returns the lines that got one.

    A line that ends before the right edge has a dot there, and nothing that leads from it to its name.
    A name stands as "@0@" for now: matplotlib need not have a font for it.
    """
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    named, places = [], []
    for line in lines:
        finite = [point for curve in line.seeds for point in curve if math.isfinite(point[1])]
        if finite:
            end = max(x for x, _ in finite)
            last = [y for x, y in finite if x == end]
            named.append(line)
            places.append(axes.transData.transform((end, sum(last) / len(last))))
    moved = spread_out([y for _, y in places], _LINE_HEIGHT - 0.5, _BOTTOM, figure.bbox.height - _TOP)
    edge = axes.bbox.x1
    for i, (line, (x, y), place) in enumerate(zip(named, places, moved, strict=True)):
        name = f"{line.style} name"
        titles[name] = line.label
        if x > edge - 2:
            part, at = "leader", ([x, edge + 6, edge + 10], [y, place, place])
        else:
            part, at = "end", ([x, x], [y, y])
        figure.add_artist(Line2D(*at, transform=None, gid=f"{line.style} {part}"))
        figure.add_artist(Text(edge + 13, place - 3.5, f"@{i}@", transform=None, gid=name))
    return named


def _short(label: str) -> str:
    """The head and the tail: the last option is the one that most often sets a label apart."""
    return label if len(label) <= _LETTERS else f"{label[:6].rstrip(' ·')}…{label[7 - _LETTERS :]}"


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72, frameon=False)


def _svg(
    figure: Figure, style: str, title: str, description: str = "",
    titles: Mapping[str, str] = MappingProxyType({}), names: Sequence[Line] = (),
) -> Markup:  # fmt: skip
    """Matplotlib's SVG without colours, fonts and ids; an artist's gid becomes its class, with its title if any."""
    from matplotlib import rc_context

    file = StringIO()
    with rc_context(_RC):  # type: ignore[arg-type]  # a dict of keys, not of literals
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    body = text[text.index('<g id="figure_1"') : text.rindex("</svg>")]
    body = re.sub(r"<defs>.*?</defs>", "", body, flags=re.DOTALL)

    def clean(match: re.Match[str]) -> str:
        tag = match[0].replace("\n", " ")
        found = re.search(r' id="([^"]*)"', tag)
        name = found[1] if found else ""
        anchor = re.search(r"text-anchor: (\w+)", tag)
        tag = re.sub(r' (?:id|style|clip-path|transform)="[^"]*"', "", tag)
        tag = re.sub(r"(\d\.\d)\d+", r"\1", tag)
        tag = re.sub(r"(M \S+ \S+) (?=M|\")", r"\1 h0 ", tag)  # a point between gaps
        if anchor:
            tag = tag.replace("<text", f'<text text-anchor="{anchor[1]}"')
        if name and not re.fullmatch(r"[\w.]+_\d+", name):  # matplotlib's own
            heading = f"<title>{escape(titles[name])}</title>" if name in titles else ""
            tag = tag.replace(">", f' class="{escape(name)}">{heading}')
        return tag

    body = re.sub(r"<[^>]+>", clean, body)
    body = re.sub(r">\s+<", "><", body)
    body = re.sub(r"@(\d+)@", lambda match: str(escape(_short(names[int(match[1])].label))), body)
    words = Markup("<title>{}</title><desc>{}</desc>").format(title, description)
    box = f"0 0 {figure.bbox.width:g} {figure.bbox.height:g}"
    return Markup('<svg viewBox="{}" class="{}" role="img">{}{}</svg>').format(box, style, words, Markup(body))
