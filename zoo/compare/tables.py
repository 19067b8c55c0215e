"""The tables of a section."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from zoo.compare.charts import Scale, measured, number, strip, swatch
from zoo.compare.comparison import Section, Variant, When, problems
from zoo.compare.markup import Markup, join, tag
from zoo.compare.runs import Run
from zoo.compare.scores import FULL, Measure
from zoo.compare.statistics import Summary, least_p, seeds_needed

NAMES = {
    "fid": "Fréchet inception distance", "fd": "Fréchet distance", "kid": "kernel inception distance",
    "kd": "kernel distance", "is": "inception score", "precision": "precision", "recall": "recall",
    "density": "density", "coverage": "coverage", "modes/covered": "modes covered",
    "modes/populated": "modes populated", "modes/high_quality": "share near a mode", "modes/missing": "modes missing",
    "modes/kl": "KL divergence of modes",
}  # fmt: skip
ALPHA = 0.05
Styles = dict[str, str]  # a variant's label to its CSS class


def direction(measure: Measure) -> str:
    """Which way is better."""
    return "lower is better" if measure.lower_is_better else "higher is better"


def protocol(measure: Measure) -> str:
    """How it was measured, in a sentence."""
    p = measure.protocol
    where = f"in the features of {p.extractor}" if p.extractor else "without features"
    if p.n_fake is None:
        return f"{where}; how many images is not recorded"
    return f"{where}, of {p.n_fake} samples against {p.n_real} {p.split} images"


def scroll(label: str, table: Markup) -> Markup:
    """A table that may be wider than the screen."""
    return tag("div", table, class_="scroll", role="region", aria_label=label, tabindex=0)


def headline(section: Section, measure: Measure, styles: Styles) -> Markup:
    """Best and final scores of each variant, and what they cost."""
    rows = [v for v in section.variants if v.summary(measure, "best").values]
    scored = {v.label for m in section.headlines for v in section.variants if v.summary(m, "best").values}
    if measure == section.headlines[0]:
        rows += [v for v in section.variants if v.label not in scored]
    values = [value for v in rows for value in v.summary(measure, "best").values]
    scale = Scale.over(values, 6, 134, log=True)
    what = f"{measure.key}: {NAMES[measure.kind]} {protocol(measure)}. {direction(measure).capitalize()}."
    floor = real_images_get(section, measure)
    if floor is not None:
        what += f" Real images get {number(floor)}."
    what += " Mean ± standard deviation over seeds; below it the 95 % interval of the mean."
    strip_head = f"Best of each seed{', log scale' if scale.log else ''}"
    heads = ("Variant", "Seeds", "Best", strip_head, "Final", "kimg", "Minutes", "Images/s", "Flags")
    body = [_headline_row(v, measure, scale, styles[v.label]) for v in rows]
    table = tag("table", tag("caption", what), _head(heads), tag("tbody", *body))
    return scroll(f"{measure.key} of each variant", table)


def others(section: Section, styles: Styles) -> Markup | None:
    """Every score that does not order variants, a column each."""
    measures = [measure for measure in section.measures if measure not in section.headlines]
    if not measures:
        return None
    top, under = [tag("th", "Variant", scope="col", rowspan=2)], []
    columns: list[tuple[Measure, When]] = []
    for measure in measures:
        whens: tuple[When, ...] = ("best", "final") if _repeated(section, measure) else ("final",)
        columns += [(measure, when) for when in whens]
        head = (tag("span", measure.key), tag("small", "↓ " if measure.lower_is_better else "↑ ", direction(measure)))
        top.append(tag("th", *head, tag("small", _sizes(measure)), scope="colgroup", colspan=len(whens)))
        under += [tag("th", when, scope="col") for when in whens]
    body = []
    for variant in section.variants:
        cells = [_mean(variant.summary(measure, when), 3) for measure, when in columns]
        body.append(tag("tr", _name(variant.label, styles[variant.label]), *cells))
    caption = tag("caption", "Mean ± standard deviation over seeds; below it the 95 % interval of the mean.")
    head_rows = tag("thead", tag("tr", *top), tag("tr", *under))
    return scroll("Every other score", tag("table", caption, head_rows, tag("tbody", *body)))


def duels(section: Section, measure: Measure, when: When, styles: Styles) -> Markup | None:
    """In how many pairs of seeds the variant of the row beats that of the column."""
    matrix = section.matrix(measure, when)
    labels = [v.label for v in section.variants if v.summary(measure, when).values]
    if len(labels) < 2:
        return None
    head = [tag("th", "is better than →", scope="col")]
    head += [tag("th", tag("span", label, class_="turned"), scope="col") for label in labels]
    body = []
    for a in labels:
        cells = [_duel(*matrix[a, b]) if a != b else tag("td", class_="self") for b in labels]
        body.append(tag("tr", _name(a, styles[a]), *cells))
    what = f"{when.capitalize()} {measure.key} of a run: share and number of pairs of seeds that the row's variant wins"
    caption = tag("caption", what)
    table = tag("table", caption, tag("thead", tag("tr", *head)), tag("tbody", *body), class_="duels")
    return scroll(f"Pairwise comparison, {when}", table)


def verdict(section: Section, measure: Measure) -> Markup:
    """Which variant is first, and whether its lead over the next is more than chance."""
    top = section.difference(measure)
    if top is None:
        return tag("p", "Fewer than two variants have a finite score: there is nothing to compare.", class_="verdict")
    n, m = top.seeds
    means = {v.label: v.summary(measure, "best").mean for v in section.variants}
    first = (
        tag("b", top.first), f" has the best mean {measure.key}, {measured(means[top.first])}, before ",
        tag("b", top.second), f" with {measured(means[top.second])}. ", tag("b", "Is the difference real? "),
    )  # fmt: skip
    needed = f"{seeds_needed(top.comparisons)} seeds of each of these variants"
    if max(n, m) == 1:
        second = f"One seed of each cannot say: another seed could turn it round. It takes at least {needed}."
        return tag("p", *first, second, class_="verdict")
    said = f"{top.first} wins in {top.duel.wins:g} of {top.duel.pairs} pairs of seeds"
    if top.interval is not None:
        low, high = (measured(end, 3) for end in top.interval)
        said += f", and its mean differs by {measured(top.difference, 3)} (95 % interval {low} to {high})"
    said += f"; the exact permutation test gives p = {top.duel.p:.2g}"
    if top.comparisons > 1:
        said += f", raised to {top.duel.p_holm:.2g} for the {top.comparisons} pairs (Holm)"
    most = max(len(v.summary(measure, "best").values) for v in section.variants)
    beyond = least_p(most, most) * top.comparisons >= ALPHA
    if top.duel.p_holm < ALPHA:
        answer = "Yes, at the 5 % level. "
    elif top.duel.p < ALPHA:
        answer = "Perhaps: by itself it would pass for real, but not after allowing for all comparisons made here"
        answer += f", for which it takes at least {needed}. " if beyond else ". "
    elif beyond:
        answer = f"So few seeds cannot say, whatever they had shown: it takes at least {needed}. "
    else:
        answer = "Not shown. "
    return tag("p", *first, answer, said, ".", class_="verdict")


def configurations(section: Section) -> Markup:
    """Keys that differ, a column a variant; below, folded, those that do not."""
    labels = [v.label for v in section.variants if v.config]
    heads = [tag("th", "Key", scope="col"), *(tag("th", label, scope="col") for label in labels)]
    body = []
    for key, row in section.differing.items():
        cells = [tag("td", _plain(row[label]) if label in row else "–") for label in labels]
        body.append(tag("tr", tag("th", tag("code", key), scope="row"), *cells))
    parts = []
    if body:
        table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), class_="config")
        parts.append(scroll("Configuration differences", table))
    else:
        parts.append(tag("p", "The configurations are the same." if labels else "No run has a config.yaml."))
    rows = [tag("tr", tag("th", tag("code", key), scope="row"), tag("td", _plain(value)))
            for key, value in section.common.items()]  # fmt: skip
    if rows:
        folded = scroll("What all configurations share", tag("table", tag("tbody", *rows), class_="config"))
        parts.append(tag("details", tag("summary", f"{len(rows)} keys are the same in all"), folded))
    return join(*parts)


def runs(section: Section, styles: Styles) -> Markup:
    """Every run, and what is to be known of it."""
    heads = ("Run", "Variant", "Seed", "Status", "kimg", "Minutes", "Images/s", "Device", "Commit", "To be known")
    body = []
    for variant in section.variants:
        for run in (*variant.runs, *variant.others):
            git = run.record.get("git") or {}
            commit = str(git.get("commit") or "–")[:8] + (" + changes" if git.get("dirty") else "")
            told = [tag("li", text) for text in flags(run, run in variant.runs)]
            cells = (variant.label, _plain(run.seed), run.status, number(run.kimg), number(run.seconds / 60, 3),
                     number(run.images_per_second, 3), str(run.record.get("device") or "–"), commit)  # fmt: skip
            name = tag("th", tag("span", run.folder.name, title=run.folder), scope="row")
            last = tag("td", tag("ul", *told) if told else "")
            body.append(tag("tr", name, *(tag("td", cell) for cell in cells), last, class_=styles[variant.label]))
    return scroll("All runs", tag("table", _head(heads), tag("tbody", *body), class_="runs"))


def flags(run: Run, counts: bool) -> Iterator[Markup]:
    """All warnings of a run, pathologies with their evidence."""
    if not counts:
        yield join("not counted: another run of this seed and configuration is newer, or finished")
    yield from (join(text) for text in problems(run))
    for found in run.pathologies:
        at = f" at {number(found['kimg'])} kimg" if isinstance(found.get("kimg"), int | float) else ""
        evidence, advice = (f" {found[part]}" if found.get(part) else None for part in ("evidence", "advice"))
        yield join(tag("b", found.get("name", "pathology"), at, "."), evidence, advice and tag("i", advice))


def real_images_get(section: Section, measure: Measure) -> float | None:
    """The measure's value for real images, where a run took it."""
    for variant in section.variants:
        for run, found in zip(variant.runs, variant.scores, strict=True):
            if measure in found and f"{measure.key}_real" in run.series:
                return run.series[f"{measure.key}_real"][0].value
    return None


def _headline_row(variant: Variant, measure: Measure, scale: Scale, style: str) -> Markup:
    best, final = variant.summary(measure, "best"), variant.summary(measure, "final")
    n = len(variant.runs)
    if not best.values:
        scored = [tag("td", "no scores", colspan=3, class_="flags")]
    else:
        scored = [_mean(best), tag("td", strip(best, scale, style)), _mean(final)]
    speeds = [run.images_per_second for run in variant.runs if run.images_per_second is not None]
    cost = (
        _range([run.kimg for run in variant.runs], 4),
        _range([run.seconds / 60 for run in variant.runs], 3),
        _range(speeds, 3) if speeds else "–",
    )
    told = ", ".join(_short_flags(variant, measure))
    cells = [tag("td", cell) for cell in cost]
    seeds = tag("td", f"{len(best.values)} of {n}" if 0 < len(best.values) < n else n)
    return tag("tr", _name(variant.label, style), seeds, *scored, *cells, tag("td", told, class_="flags"))


def _short_flags(variant: Variant, measure: Measure) -> Iterator[str]:
    statuses = Counter(run.status for run in variant.runs if run.status != "finished")
    yield from (f"{count} {status}" for status, count in statuses.items())
    if lost := variant.summary(measure, "final").lost:
        yield f"{lost} NaN at the end"
    if variant.others:
        yield f"{len(variant.others)} not counted"
    names = Counter(str(p.get("name", "pathology")) for run in variant.runs for p in run.pathologies)
    yield from (f"{name} ({count})" if count > 1 else name for name, count in names.items())


def _head(names: Sequence[str]) -> Markup:
    return tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names)))


def _name(label: str, style: str) -> Markup:
    return tag("th", swatch(style), label, scope="row")


def _mean(summary: Summary, digits: int = 4) -> Markup:
    if not summary.values:
        return tag("td", "–", class_="muted")
    spread = tag("span", f" ± {measured(summary.sd, 2)}", class_="sd") if summary.sd is not None else None
    below: str | None = None
    if summary.interval is not None:
        below = " to ".join(measured(end, digits) for end in summary.interval)
    elif summary.n == 1 == len(summary.values) and digits == 4:
        below = "1 seed"
    lost = tag("small", f"{summary.lost} of {len(summary.values)} NaN", class_="lost") if summary.lost else None
    mean = "NaN" if summary.mean is None else measured(summary.mean, digits)
    return tag("td", tag("b", mean), spread, below and tag("small", below), lost)


def _duel(won: float, pairs: int, p: float, p_holm: float) -> Markup:
    share = won / pairs
    style = f"w{math.floor(share * 4 + 0.5)}"
    count = f"{won:g}/{pairs}"
    if pairs == 1:
        return tag("td", count, class_="muted")
    mark = "**" if p_holm < ALPHA else "*" if p < ALPHA else ""
    return tag("td", f"{share:.2f}{mark}", tag("small", count), class_=style, title=f"p = {p:.2g}, Holm {p_holm:.2g}")


def _repeated(section: Section, measure: Measure) -> bool:
    return any(len(found.get(measure, ())) > 1 for v in section.variants for found in v.scores)


def _sizes(measure: Measure) -> str:
    p = measure.protocol
    when = "full" if measure.key.startswith(FULL) else "proxy"
    return when if p.n_fake is None else f"{when}: {p.n_fake} samples, {p.n_real} {p.split} images"


def _range(values: Sequence[float], digits: int) -> str:
    low, high = number(min(values), digits), number(max(values), digits)
    return low if low == high else f"{low} – {high}"


def _plain(value: Any) -> str:
    """As in the configuration, but words without quotes."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
