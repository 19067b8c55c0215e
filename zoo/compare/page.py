"""A comparison as one HTML file: no script, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from zoo import __version__
from zoo.compare.charts import Line, line_chart, measured, number, span, strip
from zoo.compare.comparison import Comparison, Section, Variant, When, problems
from zoo.compare.runs import Point, Run
from zoo.compare.scores import FULL, Measure, kind_of
from zoo.compare.statistics import least_p, seeds_needed
from zoo.run.records import read_picture

ALPHA = 0.05
Styles = dict[str, str]  # a variant's label to its CSS class

_COLOURS, _DASHES = 6, ("none", "7 3", "2 3", "9 3 2 3")  # the style sheet has --p0 to --p5
_PAGE = 6_000_000  # bytes of all pictures of a page
_SIDES = (1024, 540, 384, 270, 192, 128)  # pixels


def html(comparison: Comparison) -> str:
    """The page; the same runs always give the same one."""
    from jinja2 import Environment, StrictUndefined

    styles = {label: f"v{i}" for i, label in enumerate(comparison.labels)}
    here = files("zoo.compare")
    css = here.joinpath("page.css").read_text(encoding="utf-8") + _rules(len(styles))
    most = _PAGE // max(1, sum(bool(run.pictures) for run in comparison.runs))
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string(here.joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        comparison=comparison, styles=styles, css=Markup(css), version=__version__, alpha=ALPHA,
        digest=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        number=number, measured=measured, span=span, strip=strip, plain=plain, value_range=value_range,
        protocol=protocol, sizes=sizes, answer=answer, flags=flags, short_flags=short_flags,
        real_images_get=real_images_get, columns=columns, score_figures=partial(score_figures, styles=styles),
        loss_figures=partial(loss_figures, styles=styles), other_figures=partial(other_figures, styles=styles),
        last_picture=partial(last_picture, most=most),
    )  # fmt: skip


def protocol(measure: Measure) -> str:
    """How it was measured, in a sentence."""
    p = measure.protocol
    where = f"in the features of {p.extractor}" if p.extractor else "without features"
    if p.n_fake is None:
        return f"{where}; how many images is not recorded"
    return f"{where}, of {p.n_fake} samples against {p.n_real} {p.split} images"


def sizes(measure: Measure) -> str:
    """The number of samples and images, for a column's head."""
    p = measure.protocol
    when = "full" if measure.key.startswith(FULL) else "proxy"
    return when if p.n_fake is None else f"{when}: {p.n_fake} samples, {p.n_real} {p.split} images"


def plain(value: Any) -> str:
    """As in the configuration, but words without quotes."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def value_range(values: Sequence[float], digits: int) -> str:
    """The lowest and the highest; one number where they are the same."""
    if not values:
        return "–"
    low, high = number(min(values), digits), number(max(values), digits)
    return low if low == high else f"{low} – {high}"


def answer(section: Section, measure: Measure) -> str:
    """Whether the lead of the best variant over the next is more than chance."""
    top = section.difference(measure)
    if top is None:
        return ""
    needed = f"{seeds_needed(top.comparisons)} seeds of each of these variants"
    if max(top.seeds) == 1:
        return f"One seed of each cannot say: another seed could turn it round. It takes at least {needed}."
    text = f"{top.first} wins in {top.pairwise.wins:g} of {top.pairwise.pairs} pairs of seeds"
    if top.interval is not None:
        low, high = (measured(end, 3) for end in top.interval)
        text += f", and its mean differs by {measured(top.difference, 3)} (95 % interval {low} to {high})"
    text += f"; the permutation test gives p = {top.pairwise.p:.2g}"
    if top.comparisons > 1:
        text += f", raised to {top.pairwise.p_holm:.2g} for the {top.comparisons} pairs (Holm)"
    most = max(len(v.summary(measure, "best").values) for v in section.variants)
    beyond = least_p(most, most) * top.comparisons >= ALPHA
    if top.pairwise.p_holm < ALPHA:
        verdict = "Yes, at the 5 % level. "
    elif top.pairwise.p < ALPHA:
        verdict = "Perhaps: by itself it would pass for real, but not after allowing for all comparisons made here"
        verdict += f", for which it takes at least {needed}. " if beyond else ". "
    elif beyond:
        verdict = f"So few seeds cannot say, whatever they had shown: it takes at least {needed}. "
    else:
        verdict = "Not shown. "
    return f"{verdict}{text}."


def columns(section: Section) -> list[tuple[Measure, list[When]]]:
    """The measures that do not order variants; with "best" where a run took them more than once."""
    found: list[tuple[Measure, list[When]]] = []
    for measure in section.measures:
        if measure not in section.headlines:
            repeated = any(len(scores.get(measure, ())) > 1 for v in section.variants for scores in v.scores)
            found.append((measure, ["best", "final"] if repeated else ["final"]))
    return found


def flags(run: Run, counts: bool) -> list[Markup]:
    """All warnings of a run, pathologies with their evidence."""
    found = [] if counts else ["not counted: another run of this seed and configuration is newer, or finished"]
    marked = [Markup("{}").format(text) for text in [*found, *problems(run)]]
    for finding in run.pathologies:
        at = f" at {number(finding['kimg'])} kimg" if isinstance(finding.get("kimg"), int | float) else ""
        parts = [Markup("<b>{}{}.</b>").format(finding.get("name", "pathology"), at)]
        parts += [Markup("{}").format(finding["evidence"])] if finding.get("evidence") else []
        parts += [Markup("<i>{}</i>").format(finding["advice"])] if finding.get("advice") else []
        marked.append(Markup(" ").join(parts))
    return marked


def short_flags(variant: Variant, measure: Measure) -> str:
    """The warnings of a variant's runs, counted."""
    statuses = Counter(run.status for run in variant.runs if run.status != "finished")
    warnings = [f"{count} {status}" for status, count in statuses.items()]
    if lost := variant.summary(measure, "final").lost:
        warnings.append(f"{lost} NaN at the end")
    if variant.others:
        warnings.append(f"{len(variant.others)} not counted")
    names = Counter(str(p.get("name", "pathology")) for run in variant.runs for p in run.pathologies)
    return ", ".join([*warnings, *(f"{name} ({count})" if count > 1 else name for name, count in names.items())])


def real_images_get(section: Section, measure: Measure) -> float | None:
    """The measure's value for real images, where a run took it."""
    for variant in section.variants:
        for run, found in zip(variant.runs, variant.scores, strict=True):
            if measure in found and f"{measure.key}_real" in run.series:
                return run.series[f"{measure.key}_real"][0].value
    return None


class Panel(NamedTuple):
    """A figure with its charts: on kimg and on the clock, of which the style sheet shows one."""

    caption: str
    small: str
    style: str
    charts: list[Markup]


def score_figures(section: Section, styles: Styles) -> Iterator[Panel]:
    """A figure for each score that was measured more than once in a run."""
    for measure in section.measures:
        found = {v.label: [f[measure] for f in v.scores if measure in f] for v in section.variants}
        if any(len(points) > 1 for seeds in found.values() for points in seeds):
            several = sum(other.key == measure.key for other in section.measures) > 1
            small = measure.direction + (f" {protocol(measure)}" if several else "")
            yield _panel(found, styles, measure.key, small, floor=real_images_get(section, measure))


def loss_figures(section: Section, styles: Styles) -> Iterator[Panel]:
    """A figure for the losses of each variant."""
    for variant in section.variants:
        style = styles[variant.label]
        keys = sorted({key for run in variant.runs for key in run.series if _is_loss(key)})
        found = {key: [run.series[key] for run in variant.runs if key in run.series] for key in keys}
        dashed = {key: f"{style} d{i % len(_DASHES)}" for i, key in enumerate(keys)}
        if keys:
            yield _panel(found, dashed, variant.label, style=style)


def other_figures(section: Section, styles: Styles) -> list[Panel]:
    """A figure for each other logged value."""
    keys = {key for v in section.variants for run in v.runs for key, points in run.series.items() if len(points) > 1}
    rest = sorted(k for k in keys if not (kind_of(k) or _is_loss(k) or k.startswith(("best/", FULL))))
    found = {k: {v.label: [r.series[k] for r in v.runs if k in r.series] for v in section.variants} for k in rest}
    return [_panel(lines, styles, key) for key, lines in found.items()]


def last_picture(run: Run, most: int) -> tuple[Picture | None, str]:
    """The last picture of a run and its kimg; without one, the reason."""
    if not run.pictures:
        return None, "no picture"
    path = run.pictures[-1]
    try:
        return embed(path, most), f"{number(float(path.stem))} kimg"
    except ValueError:
        return None, f"{path.name} is no picture of a run"


class Picture(NamedTuple):
    """A picture as the value of `src`."""

    src: str
    width: int
    height: int
    reduced: bool


def embed(path: Path, most: int) -> Picture:
    """A PNG as a data URI, of at most about `most` bytes: smaller if it must be, never below 128 pixels.

    Raises:
        ValueError: as for :func:`zoo.run.records.read_picture`.
    """
    from PIL import Image

    whole = read_picture(path)
    grey = whole.convert("L")
    if grey.convert("RGB").tobytes() == whole.tobytes():
        whole = grey
    for side in _SIDES:
        part = whole.copy()
        part.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = BytesIO()
        part.save(buffer, "PNG")
        if buffer.tell() <= most:
            break
    text = base64.b64encode(buffer.getvalue()).decode()
    return Picture(f"data:image/png;base64,{text}", *part.size, reduced=part.size != whole.size)


def _rules(variants: int) -> str:
    """Of each variant: its colour, its dash, and that it can be hidden."""
    return "".join(
        f".v{i}{{--c:var(--p{i % _COLOURS});--d:{_DASHES[i // _COLOURS % len(_DASHES)]}}}"
        f"body:has(#show-{i}:not(:checked)) .v{i}:is(g,figure){{display:none}}\n"
        for i in range(variants)
    )


def _is_loss(key: str) -> bool:
    return key.startswith("loss/") and key.count("/") == 1


def _panel(
    found: dict[str, list[list[Point]]], styles: Styles, caption: str, small: str = "", style: str = "",
    floor: float | None = None,
) -> Panel:  # fmt: skip
    seconds = max((p.seconds for seeds in found.values() for points in seeds for p in points), default=0.0)
    unit, name = (1, "seconds") if seconds < 180 else (60, "minutes") if seconds < 3 * 3600 else (3600, "hours")
    charts = []
    for axis, column, x_name, scale in (("kimg", 0, "kimg", 1), ("clock", 1, f"wall clock, {name}", unit)):
        lines = []
        for label, seeds in found.items():
            curves = [[(p[column] / scale, p.value) for p in points if math.isfinite(p[column])] for points in seeds]
            if any(curves):
                lines.append(Line(label, styles[label], [curve for curve in curves if curve]))
        if lines:
            charts.append(line_chart(lines, title=f"{caption} {small}", x_name=x_name, style=f"on-{axis}", floor=floor))
    return Panel(caption, small, style, charts)
