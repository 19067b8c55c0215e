"""The model card of a published checkpoint."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.gan import GAN
from zoo.hub import space

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_MEASURES = {"final": "these weights", "best": "the lowest of the run", "full": "these weights, in full"}
_PROTOCOL = ("kimg", "extractor", "fingerprint", "preprocessing", "n_real", "n_fake", "split", "seed", "ema")


def card(config: Mapping[str, Any], gan: GAN) -> str:
    """README.md for a published checkpoint, whose numbers are those of its `config.json`.

    The metadata are the Hub's: the results are those of these weights, each metric under its own name, since a Fréchet
    distance is an FID only in the features of Inception v3, and with the measurement's conditions as its arguments.
    """
    from huggingface_hub import ModelCard, ModelCardData

    rows = _measured(config)
    results = [result for key, row in rows.items() if key != "best" for result in _results(config, key, row)]
    tags = ["gan", "pytorch-lightning", config["objective"], config["variant"]]
    metadata = ModelCardData(
        license="mit", library_name="gan-zoo", pipeline_tag="unconditional-image-generation", tags=tags,
        model_name=config["name"], eval_results=results or None, **space.METADATA,
    )  # fmt: skip
    data, training, member = config["data"], config["training"], type(gan)
    shape = getattr(gan.generator, "image_shape", None)
    made = ModelCard.from_template(
        metadata, template_path=str(_TEMPLATE), config=config, training=training, rows=rows, measures=_MEASURES,
        values=_values, number=_number, kind=member.__name__, paper=paper(member), equations=equations(member),
        data=data["class_path"] if data else "unrecorded data", arguments=json.dumps(data and data["init_args"]),
        kimg=f"{gan.kimg:g}", kimg_of_training=f"{training['kimg']:g}", shape=shape and tuple(shape),
    )  # fmt: skip
    return f"{str(made).rstrip()}\n"


def _results(config: Mapping[str, Any], key: str, row: Mapping[str, Any]) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    dataset = (config["training"]["config"] or {}).get("dataset") or config["name"].partition("-")[2] or "unknown"
    return [
        EvalResult(
            task_type="unconditional-image-generation", task_name="Image generation", dataset_type=str(dataset),
            dataset_name=(config["data"] or {}).get("class_path") or "unknown", dataset_split=row["split"],
            metric_type=name, metric_value=value, metric_name=f"{name}, {_MEASURES[key]}",
            metric_args={condition: row[condition] for condition in _PROTOCOL},
        )
        for name, value in _values(row).items()
    ]  # fmt: skip


def _measured(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The measurements, without a best one that is the final one."""
    scores = config["scores"] or {}
    found = {key: scores[key] for key in _MEASURES if scores.get(key) is not None}
    return {key: row for key, row in found.items() if key != "best" or row != scores["final"]}


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of a measurement, without the run's best and its progress."""
    kept = {name: value for name, value in row["scores"].items() if not name.startswith(("best/", "progress/"))}
    return {name.removeprefix("full/"): value for name, value in kept.items()}


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def paper(member: type[GAN]) -> str:
    """Authors, year and title, as in the first paragraph of an objective's module."""
    return " ".join(_docstring(member).split("\n\n")[0].split()).partition(": ")[2].rstrip(".")


def equations(member: type[GAN]) -> list[str]:
    """The indented lines of that docstring, spaces folded, one equation a line."""
    lines = [line for line in _docstring(member).splitlines() if line.startswith("    ")]
    return [re.sub(r"\s+", " ", line.strip()) for line in lines]


def _docstring(member: type[GAN]) -> str:
    return inspect.getdoc(sys.modules[member.__module__]) or ""
