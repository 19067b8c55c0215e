"""The numbers of a comparison as JSON."""

from __future__ import annotations

from typing import Any

from zoo.compare.comparison import WHENS, Comparison, Matrix, Section, Variant, problems
from zoo.compare.runs import Run
from zoo.compare.scores import Measure
from zoo.compare.statistics import LEVEL, RESAMPLES
from zoo.run.records import encode

SCHEMA = 1
_OF_A_RUN = (
    "folder", "variant", "seed", "status", "error", "kimg", "seconds", "images_per_second", "device", "pathologies",
)  # fmt: skip
_OF_A_SUMMARY = ("values", "n", "mean", "sd", "interval")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The page's numbers in plain values; NaN and the infinities are "nan", "inf" and "-inf".

    {"schema", "statistics", "left_out", "sections": [{"dataset", "notes", "variants", "measures", "configuration"}]};
    a section's "variants" hold their "runs", its "measures" hold "best" and "final" of each variant, over seeds, and,
    where they order variants, the "duels" of each pair and the "top_two".
    """
    return {
        "schema": SCHEMA,
        "statistics": {
            "interval": "percentile bootstrap of the mean over seeds", "level": LEVEL, "resamples": RESAMPLES,
            "p": "exact two-sided permutation test of Mann-Whitney's U", "p_holm": "raised by Holm's procedure",
        },
        "left_out": {
            "never_began": [{"folder": str(run.folder), "error": run.error} for run in comparison.never_began],
            "unreadable": [{"folder": str(folder), "error": why} for folder, why in comparison.unreadable.items()],
        },
        "sections": [_encoded(_section(section)) for section in comparison.sections],
    }  # fmt: skip


def _section(section: Section) -> dict[str, Any]:
    return {
        "dataset": section.dataset,
        "notes": list(section.notes()),
        "variants": [
            {"label": v.label, "seeds": len(v.runs), "runs": [_run(run, v) for run in (*v.runs, *v.others)]}
            for v in section.variants
        ],
        "measures": [_measure(section, measure) for measure in section.measures],
        "configuration": {"differing": section.differing, "common": section.common},
    }


def _run(run: Run, of: Variant) -> dict[str, Any]:
    row = {"counts": run in of.runs, "problems": list(problems(run))}
    return row | {key: getattr(run, key) for key in _OF_A_RUN}


def _measure(section: Section, measure: Measure) -> dict[str, Any]:
    variants = {}
    for v in section.variants:
        summaries = {when: v.summary(measure, when) for when in WHENS}
        if summaries["best"].values:
            variants[v.label] = {w: {key: getattr(s, key) for key in _OF_A_SUMMARY} for w, s in summaries.items()}
    row: dict[str, Any] = {
        "score": measure.key, "better": "lower" if measure.lower_is_better else "higher",
        "protocol": measure.protocol._asdict(), "variants": variants,
    }  # fmt: skip
    if measure in section.headlines:
        top = section.difference(measure)
        row["duels"] = {when: _duels(section.matrix(measure, when)) for when in WHENS}
        row["top_two"] = top and {**top._asdict(), "duel": top.pairwise._asdict()}
        if top:
            del row["top_two"]["pairwise"]
    return row


def _duels(matrix: Matrix) -> dict[str, dict[str, Any]]:
    row: dict[str, dict[str, Any]] = {}
    for (a, b), pair in matrix.items():
        row.setdefault(a, {})[b] = {**pair._asdict(), "probability": pair.wins / pair.pairs}
    return row


def _encoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _encoded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(part) for part in value]
    value = encode(value)
    return value if isinstance(value, str | int | float | None) else str(value)
