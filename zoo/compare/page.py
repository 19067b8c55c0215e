"""A comparison as one HTML file: no script, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Iterator
from importlib.resources import files

from zoo import __version__
from zoo.compare import tables
from zoo.compare.charts import Line, line_chart, number, swatch
from zoo.compare.comparison import Comparison, Section, Variant
from zoo.compare.curves import Curve
from zoo.compare.markup import Markup, join, tag
from zoo.compare.pictures import PAGE, embed
from zoo.compare.runs import Point, Run
from zoo.compare.scores import FULL, Measure, kind_of
from zoo.compare.tables import Styles

_COLOURS, _DASHES = 6, ("none", "7 3", "2 3", "9 3 2 3")  # the style sheet has --p0 to --p5
_READING = (
    "A seed is a run. Best is the best of a run's measurements, chosen and reported on the same images: it flatters, "
    "the more so the more often one measures. Final is the last measurement.",
    "Mean and standard deviation (n − 1) are over seeds, of finite values; how many were not is said. In the pairwise "
    "comparison NaN is worse than any number.",
    "The 95 % interval of the mean is the percentile bootstrap over seeds (10,000 resamples, a fixed seed). With few "
    "seeds it is too narrow: with 2 or 3 it is the range from the lowest to the highest, which holds the true mean in "
    "only 50 % or 75 % of cases even where values spread symmetrically.",
    "In the pairwise table, the share of pairs of seeds that the row wins estimates the probability that a new seed of "
    "the row beats one of the column (Mann-Whitney). One asterisk is p < 0.05 in the exact permutation test, two "
    "are the same after Holm's correction for all pairs of the table; without it one pair in twenty passes by chance "
    "alone. With fewer than 4 seeds of each no pair can pass.",
    "Scores of different features, numbers of images or splits are different quantities, and never share a column.",
    "A thin line is a seed, a thick one their mean where all have values, the band goes from the lowest to the "
    "highest. A cross at the foot is a value that is NaN or infinite.",
)


def html(comparison: Comparison) -> str:
    """The page; the same runs always give the same one.

    Raises:
        ValueError: a picture of samples cannot be read.
    """
    styles = {label: f"v{i}" for i, label in enumerate(comparison.labels)}
    css = files("zoo.compare").joinpath("page.css").read_text(encoding="utf-8") + _rules(len(styles))
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    n = len(comparison.runs)
    title = f"{n} run{'s' * (n > 1)} of {len(styles)} variant{'s' * (len(styles) > 1)}"
    names = [section.dataset for section in comparison.sections]
    most = PAGE // max(1, sum(bool(run.pictures) for run in comparison.runs))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy",
            content=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"GAN zoo: {title} on {', '.join(names)}"),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(css)),
    )  # fmt: skip
    links = [tag("a", name, href=f"#data-{i}") for i, name in enumerate(names)] if len(names) > 1 else []
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("p", f"On {', '.join(names)}. Made by zoo {__version__}.")),
        _controls(styles, links),
        tag("main", *(_section(section, i, styles, most) for i, section in enumerate(comparison.sections)), _reading()),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _rules(variants: int) -> str:
    """Of each variant: its colour, its dash, and that it can be hidden."""
    return "".join(
        f".v{i}{{--c:var(--p{i % _COLOURS});--d:{_DASHES[i // _COLOURS % len(_DASHES)]}}}"
        f"body:has(#show-{i}:not(:checked)) .v{i}:is(g,figure){{display:none}}\n"
        for i in range(variants)
    )


def _controls(styles: Styles, links: list[Markup]) -> Markup:
    axis = [
        tag("label", tag("input", type="radio", name="axis", id=f"axis-{name}", checked=name == "kimg"), text)
        for name, text in (("kimg", "kimg"), ("clock", "wall clock"))
    ]
    shown = [
        tag("label", tag("input", type="checkbox", id=f"show-{style[1:]}", checked=True), swatch(style), label)
        for label, style in styles.items()
    ]
    return tag(
        "nav",
        tag("span", *links, class_="links") if links else None,
        tag("fieldset", tag("legend", "Curves on"), *axis),
        tag("fieldset", tag("legend", "Show"), *shown, class_="variants"),
        aria_label="What curves and pictures show",
    )


def _section(section: Section, i: int, styles: Styles, most: int) -> Markup:
    parts: list[Markup | None] = [tag("h2", section.dataset)]
    for measure in section.headlines:
        parts.append(tables.verdict(section, measure))
    parts += [_notes(section)]
    if not section.measures:
        parts.append(tag("p", "No run on these data has scores.", class_="verdict"))
    for measure in section.headlines:
        parts.append(tables.headline(section, measure, styles))
    parts += _duels(section, styles)
    others = tables.others(section, styles)
    parts += [others and tag("h3", "Every other score"), others]
    parts += _curves(section, styles)
    parts += [tag("h3", "Samples"), _samples(section, styles, most)]
    parts += [tag("h3", "Configuration"), tables.configurations(section)]
    parts += [tag("h3", "Runs"), tables.runs(section, styles)]
    return tag("section", *parts, id=f"data-{i}")


def _notes(section: Section) -> Markup | None:
    """Warnings first: of the section, then of its runs."""
    items = [tag("li", note) for note in section.notes()]
    for variant in section.variants:
        for run in (*variant.runs, *variant.others):
            told = list(tables.flags(run, run in variant.runs))
            if told:
                seed = "no seed" if run.seed is None else f"seed {run.seed}"
                items.append(tag("li", tag("b", variant.label), f", {seed}: ", *_between(told, "; ")))
    if not items:
        return None
    folded = len(items) > 6
    summary = tag("summary", f"{len(items)} thing{'s' * (len(items) > 1)} to know before believing these numbers")
    return tag("details", summary, tag("ul", *items), class_="notes", open=not folded)


def _duels(section: Section, styles: Styles) -> Iterator[Markup]:
    for measure in section.headlines:
        best, final = (tables.duels(section, measure, when, styles) for when in ("best", "final"))
        if best is not None:
            yield tag("h3", "Is one better than another?")
            yield best
        if final is not None:
            yield tag("details", tag("summary", "The same of final scores"), final)


def _curves(section: Section, styles: Styles) -> Iterator[Markup]:
    figures = [_score_figure(section, measure, styles) for measure in section.measures]
    if any(figures):
        yield tag("h3", "Scores while training")
        yield tag("div", *figures, class_="figures")
    panels = [_loss_figure(variant, styles[variant.label]) for variant in section.variants]
    if any(panels):
        yield tag("h3", "Losses")
        yield tag("p", "A loss compares with nothing but itself at another time, so each variant has its own axes.")
        yield tag("div", *panels, class_="figures")
    rest = [_rest_figure(section, key, styles) for key in sorted(_rest(section))]
    if any(rest):
        yield tag("details", tag("summary", f"{len(rest)} other logged values"), tag("div", *rest, class_="figures"))


def _score_figure(section: Section, measure: Measure, styles: Styles) -> Markup | None:
    found = {v.label: [f[measure] for f in v.scores if measure in f] for v in section.variants}
    if not any(len(points) > 1 for seeds in found.values() for points in seeds):
        return None
    caption = (measure.key, tag("small", f" {tables.direction(measure)}"))
    several = sum(other.key == measure.key for other in section.measures) > 1
    detail = tag("small", f" {tables.protocol(measure)}") if several else None
    return _figure(found, styles, caption=join(*caption, detail), floor=tables.real_images_get(section, measure))


def _loss_figure(variant: Variant, style: str) -> Markup | None:
    keys = sorted({key for run in variant.runs for key in run.series if _is_loss(key)})
    found = {key: [run.series[key] for run in variant.runs if key in run.series] for key in keys}
    names = {key: f"{style} d{i % len(_DASHES)}" for i, key in enumerate(keys)}
    return _figure(found, names, caption=join(variant.label), style=style) if keys else None


def _rest_figure(section: Section, key: str, styles: Styles) -> Markup | None:
    found = {v.label: [run.series[key] for run in v.runs if key in run.series] for v in section.variants}
    return _figure(found, styles, caption=join(key))


def _rest(section: Section) -> set[str]:
    keys = {key for v in section.variants for run in v.runs for key, points in run.series.items() if len(points) > 1}
    return {k for k in keys if not (kind_of(k) or _is_loss(k) or k.startswith(("best/", FULL)))}


def _is_loss(key: str) -> bool:
    return key.startswith("loss/") and key.count("/") == 1


def _figure(
    found: dict[str, list[list[Point]]], styles: Styles, *, caption: Markup, style: str = "", floor: float | None = None
) -> Markup:
    """The same lines twice, on kimg and on the clock; the style sheet shows one of them."""
    seconds = max((p.seconds for seeds in found.values() for points in seeds for p in points), default=0.0)
    unit, name = (1, "seconds") if seconds < 180 else (60, "minutes") if seconds < 3 * 3600 else (3600, "hours")
    charts = []
    for axis, at, x_name in (("kimg", _kimg, "kimg"), ("clock", _clock(unit), f"wall clock, {name}")):
        lines = [Line(label, styles[label], [_curve(points, at) for points in seeds])
                 for label, seeds in found.items() if seeds]  # fmt: skip
        charts.append(line_chart(lines, title=_text(caption), x_name=x_name, style=f"on-{axis}", floor=floor))
    return tag("figure", tag("figcaption", caption), *charts, class_=style or None)


def _kimg(point: Point) -> float:
    return point.kimg


def _clock(unit: float) -> Callable[[Point], float]:
    return lambda point: point.seconds / unit


def _curve(points: list[Point], at: Callable[[Point], float]) -> Curve:
    return [(at(point), point.value) for point in points if math.isfinite(at(point))]


def _text(markup: Markup) -> str:
    from html import unescape
    from re import sub

    return unescape(sub("<[^>]*>", "", markup))


def _samples(section: Section, styles: Styles, most: int) -> Markup:
    figures = [_grid(run, v.label, styles[v.label], most) for v in section.variants for run in v.runs]
    said = tag("p", "The last picture of each run: the same latents in all whose latent space has the same size.")
    return join(said, tag("div", *figures, class_="grids"))


def _grid(run: Run, label: str, style: str, most: int) -> Markup:
    name = (swatch(style), tag("b", label), "" if run.seed is None else f" seed {run.seed}")
    if not run.pictures:
        return tag("figure", tag("div", "no picture", class_="empty"), tag("figcaption", *name), class_=style)
    path = run.pictures[-1]
    kimg = number(float(path.stem))
    shown = embed(path, most)
    image = tag(
        "img", src=shown.src, width=shown.width, height=shown.height, decoding="async",
        alt=f"Samples of {label}, seed {run.seed}, after {kimg} kimg", class_=None if shown.reduced else "sharp",
    )  # fmt: skip
    reduced = tag("small", " reduced") if shown.reduced else None
    return tag("figure", image, tag("figcaption", *name, f", {kimg} kimg", reduced), class_=style)


def _reading() -> Markup:
    rules = tag("ul", *(tag("li", text) for text in _READING))
    return tag("section", tag("h2", "How to read this"), rules, class_="reading")


def _between(parts: list[Markup], separator: str) -> Iterator[str]:
    for i, part in enumerate(parts):
        yield from (separator, part) if i else (part,)
