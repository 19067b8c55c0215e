"""The numbers of a comparison as JSON."""

from __future__ import annotations

from typing import Any

from zoo.compare.comparison import Comparison, Difference, Matrix, Section, Variant, problems
from zoo.compare.runs import Run
from zoo.compare.scores import Measure
from zoo.compare.statistics import LEVEL, RESAMPLES, Summary
from zoo.run.loggers import encode

SCHEMA = 1


def as_json(comparison: Comparison) -> dict[str, Any]:
    """What the page shows, in plain values; NaN and the infinities are "nan", "inf" and "-inf".

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
        "variants": [_variant(variant) for variant in section.variants],
        "measures": [_measure(section, measure) for measure in section.measures],
        "configuration": {"differing": section.differing, "common": section.common},
    }


def _variant(variant: Variant) -> dict[str, Any]:
    runs = [_run(run, counts=True) for run in variant.runs] + [_run(run, counts=False) for run in variant.others]
    return {"label": variant.label, "seeds": len(variant.runs), "runs": runs}


def _run(run: Run, counts: bool) -> dict[str, Any]:
    return {
        "folder": str(run.folder),
        "variant": run.variant,
        "seed": run.seed,
        "counts": counts,
        "status": run.status,
        "error": run.error,
        "kimg": run.kimg,
        "seconds": run.seconds,
        "images_per_second": run.images_per_second,
        "device": run.record.get("device"),
        "problems": list(problems(run)),
        "pathologies": run.pathologies,
    }


def _measure(section: Section, measure: Measure) -> dict[str, Any]:
    variants = {
        v.label: {"best": _summary(v.summary(measure, "best")), "final": _summary(v.summary(measure, "final"))}
        for v in section.variants
        if v.summary(measure, "best").values
    }
    told: dict[str, Any] = {
        "score": measure.key,
        "better": "lower" if measure.lower_is_better else "higher",
        "protocol": measure.protocol._asdict(),
        "variants": variants,
    }
    if measure in section.headlines:
        top = section.difference(measure)
        told["duels"] = {when: _duels(section.matrix(measure, when)) for when in ("best", "final")}
        told["top_two"] = None if top is None else _top_two(top)
    return told


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "values": list(summary.values),
        "n": summary.n,
        "mean": summary.mean,
        "sd": summary.sd,
        "interval": summary.interval,
    }


def _top_two(top: Difference) -> dict[str, Any]:
    told = top._asdict()
    told["duel"] = told.pop("pairwise")._asdict()
    return told


def _duels(matrix: Matrix) -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = {}
    for (a, b), pair in matrix.items():
        told.setdefault(a, {})[b] = {**pair._asdict(), "probability": pair.wins / pair.pairs}
    return told


def _encoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _encoded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(part) for part in value]
    value = encode(value)
    return value if isinstance(value, str | int | float | None) else str(value)
