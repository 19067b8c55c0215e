"""The model card: what a published checkpoint is and how it was measured, for people and for Hugging Face's Hub."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping
from typing import Any

import yaml

from zoo.gan import GAN

_TASK = {"type": "unconditional-image-generation", "name": "Image generation"}
_MEASURES = {"final": "these weights", "best": "the lowest of the run", "full": "these weights, in full"}
_PROTOCOL = ("kimg", "extractor", "fingerprint", "preprocessing", "n_real", "n_fake", "split", "seed", "ema")


def card(config: Mapping[str, Any], gan: GAN) -> str:
    """README.md for a published checkpoint, whose numbers are those of its `config.json`.

    The front matter is the Hub's: `model-index` has one result for each measurement of these weights, each metric under
    its own name, since a Fréchet distance is an FID only in the features of Inception v3, and with all that it depends
    on in its `args`.
    """
    front = yaml.safe_dump(_front_matter(config), sort_keys=False, allow_unicode=True, width=120)
    member = type(gan)
    name, n = config["name"], config["samples"]["n"]
    sections = [
        f"---\n{front}---",
        f"# {name}",
        f"`{member.__name__}` as `configs/{config['variant']}.yaml` has it, on {_data(config)}, after "
        f"{gan.kimg:g} thousand images. {paper(member)}.",
        "```\n" + "\n".join(equations(member)) + "\n```",
        f"![{n} samples, seed {config['samples']['seed']}](samples.png)",
        "## Scores",
        _scores(config),
        "## Use",
        f"```python\nimport zoo\n\ngan = zoo.from_pretrained({name!r})  # or this folder's path\n"
        "images = gan.sample(16, seed=0)  # in [-1, 1], from the averaged generator if there is one\n```",
        "All networks and the objective's own state are here, so that training can go on, on other images too. Where "
        "the configuration's networks are others, it says which options make them alike:",
        f"```bash\npython train.py fit -c configs/{config['variant']}.yaml -c configs/data/image_folder.yaml \\\n"
        f"  --data.root my_images --model.init_args.init_from {name}\n```",
        "## Training",
        _training(config),
        "## Limits",
        _limits(config, gan),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(config: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of the Hub's model cards."""
    front: dict[str, Any] = {
        "license": "mit",
        "library_name": "gan-zoo",
        "pipeline_tag": _TASK["type"],
        "tags": list(dict.fromkeys(["gan", "pytorch-lightning", config["objective"], config["variant"]])),
    }
    results = [_result(config, key, row) for key, row in _measured(config).items() if key != "best"]
    return {**front, "model-index": [{"name": config["name"], "results": results}]} if results else front


def _result(config: Mapping[str, Any], key: str, row: Mapping[str, Any]) -> dict[str, Any]:
    data = (config["data"] or {}).get("class_path") or "unknown"
    protocol = {name: row[name] for name in _PROTOCOL}
    metrics = [
        {"type": name, "value": value, "name": f"{name}, {_MEASURES[key]}", "args": dict(protocol)}
        for name, value in _values(row).items()
    ]
    dataset = {"name": data, "type": _dataset(config), "split": row["split"]}
    return {"task": dict(_TASK), "dataset": dataset, "metrics": metrics}


def _dataset(config: Mapping[str, Any]) -> str:
    return str((config["training"]["config"] or {}).get("dataset") or config["name"].partition("-")[2] or "unknown")


def _measured(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What was measured, but for a best score that is that of these weights."""
    scores = config["scores"] or {}
    found = {key: scores[key] for key in _MEASURES if scores.get(key) is not None}
    return {key: row for key, row in found.items() if key != "best" or row != scores["final"]}


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of a measurement, without what belongs to the run."""
    kept = {name: value for name, value in row["scores"].items() if not name.startswith(("best/", "progress/"))}
    return {name.removeprefix("full/"): value for name, value in kept.items()}


def _scores(config: Mapping[str, Any]) -> str:
    """A table a measurement, and what it depends on."""
    if not _measured(config):
        return "Not measured."
    name = config["scores"]["name"]
    parts = [
        f"The score is `{name}`, a Fréchet distance; lower is better. It compares only with the same at as many images."
    ]
    for key, row in _measured(config).items():
        rows = [f"| {metric} | {_number(value)} |" for metric, value in _values(row).items()]
        parts += [f"### {_MEASURES[key].capitalize()}", "\n".join(["| | |", "| --- | --- |", *rows]), _protocol(row)]
    if seeds := config["training"]["seeds"]:
        told = ", ".join(f"{_number(row['score'])} (seed {row['seed']})" for row in seeds)
        parts.append(f"At the end of {len(seeds)} runs that differ in their seed alone: {told}.")
    return "\n\n".join(parts)


def _protocol(row: Mapping[str, Any]) -> str:
    return (
        f"{row['n_fake']} samples (seed {row['seed']}, {'averaged' if row['ema'] else 'plain'} generator, "
        f"{row['kimg']:g} kimg) against {row['n_real']} {row['split']} images, in the features of `{row['extractor']}` "
        f"({row['fingerprint']}; {row['preprocessing']})."
    )


def _training(config: Mapping[str, Any]) -> str:
    told = config["training"]
    versions, git = told["versions"] or {}, told["git"] or {}
    commit = f"{git['commit']}{', with changes on top' if git['dirty'] else ''}" if git else None
    facts = {
        "weights": f"{sum(config['parts'].values()):,} numbers: "
        + ", ".join(f"{part} {count:,}" for part, count in config["parts"].items()),
        "data": f"{_data(config)}, {json.dumps(config['data']['init_args'])}" if config["data"] else None,
        "length": f"{told['kimg']:g} kimg, {told['steps']} steps",
        "seed": told["seed"],
        "time": None if told["seconds"] is None else f"{told['seconds'] / 60:.1f} minutes on {told['device']}",
        "versions": ", ".join(f"{key} {value}" for key, value in versions.items()) or None,
        "commit": commit,
        "command": f"`{told['command']}`" if told["command"] else None,
    }
    lines = [f"- {key}: {value}" for key, value in facts.items() if value is not None]
    return "\n".join([*lines, "", "`config.json` has the whole configuration."])


def _limits(config: Mapping[str, Any], gan: GAN) -> str:
    shape = getattr(gan.generator, "image_shape", None)
    size = f"It makes samples of shape {tuple(shape)}, and knows nothing but {_data(config)}. " if shape else ""
    seeds = config["training"]["seeds"]
    return (
        f"{size}{'One seed of several' if seeds else 'One seed'}: another run ends elsewhere. The best score was "
        "chosen on the images it is measured on, so it flatters. The picture is not chosen: it is what seed "
        f"{config['samples']['seed']} gives. The optimisers' moments are not published: training that goes on starts "
        "them anew. Checksums find damage, not forgery."
    )


def _data(config: Mapping[str, Any]) -> str:
    return config["data"]["class_path"] if config["data"] else "unrecorded data"


def paper(member: type[GAN]) -> str:
    """Authors, year and title, as in the first paragraph of an objective's module."""
    return " ".join(_docstring(member).split("\n\n")[0].split()).partition(": ")[2].rstrip(".")


def equations(member: type[GAN]) -> list[str]:
    """The indented lines of that docstring, spaces folded, one equation a line."""
    lines = [line for line in _docstring(member).splitlines() if line.startswith("    ")]
    return [re.sub(r"\s+", " ", line.strip()) for line in lines]


def _docstring(member: type[GAN]) -> str:
    return inspect.getdoc(sys.modules[member.__module__]) or ""


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
