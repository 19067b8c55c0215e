"""Group equal configurations, and name different ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from zoo.cli.configs import find_config, read_file
from zoo.compare.runs import flatten

Config = Mapping[str, Any]  # flat, see :func:`zoo.compare.runs.flatten`

# Names, seeds, and where a run reads and writes.
OF_A_RUN = (
    "variant", "dataset", "seed_everything", "data.seed", "ckpt_path", "weights_only", "trainer.default_root_dir",
    "trainer.logger",
)  # fmt: skip
# What a run measures, shows and keeps.
_WATCHED = ("progress", "samples", "quality", "diagnostics", "checkpoints", "without")
_LENGTH = ("budget", "trainer.max_", "trainer.min_", "trainer.fast_dev_run")
# Of the trainer's options those that change what a batch does to the weights.
_NUMERICS = (
    "trainer.precision", "trainer.gradient_clip", "trainer.accumulate_grad_batches", "trainer.limit_train_batches",
    "trainer.overfit_batches",
)  # fmt: skip
_CLASS = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*\.([A-Za-z_]\w*)")
_OURS = re.compile(r"(?:zoo|datamodules)(?:\.\w+)*\.(\w+)")


def plain(value: Any) -> Any:
    """A value to compare by: 20 as 20.0, "none", null and [] as None, a class of ours without its module."""
    if isinstance(value, str):
        if value.lower() in {"none", "null", ""}:
            return None
        if ours := _OURS.fullmatch(value):
            return f"zoo.{ours[1]}"
        with suppress(ValueError):
            return float(value)
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        with suppress(OverflowError):
            return float(value)
    if isinstance(value, list | tuple | dict):
        return value or None
    return value


def frozen(value: Any) -> str:
    """Equal for equal values: of a configuration, those that are None do not count."""
    if isinstance(value, Mapping):
        value = {key: plain(part) for key, part in value.items() if plain(part) is not None}
    return json.dumps(plain(value), sort_keys=True, default=str)


def training(config: Config) -> dict[str, Any]:
    """The part of a configuration that decides how weights move, without seeds and length."""
    return {key: value for key, value in config.items() if _counts(key, value)}


def length(config: Config) -> dict[str, Any]:
    """The part of a configuration that decides how long a run trains."""
    return {key: value for key, value in config.items() if key.startswith(_LENGTH)}


def differing(configs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The keys whose value is not the same in all, with the value of each that has it."""
    keys = dict.fromkeys(key for config in configs.values() for key in config)
    differ = [key for key in keys if len({frozen(config.get(key)) for config in configs.values()}) > 1]
    return {key: {label: config[key] for label, config in configs.items() if key in config} for key in differ}


def recipe(variant: str, dataset: str) -> dict[str, Any]:
    """The configurations of these names, which a run of them starts from; empty without such files."""
    flat: dict[str, Any] = {}
    for name, room in ((variant, ""), (dataset, "data")):
        if re.fullmatch(r"[\w-]+", name):
            with suppress(ValueError, OSError):
                flat |= flatten(read_file(find_config(name, (room,))))
    return flat


def suffixes(configs: Sequence[Config], own: Config) -> list[str]:
    """A short name for each configuration of one variant on one data set, all different; one of them may be empty.

    In it stands what is not as in the variant's own file `own`, of those options that are not the same in all. Only
    where that leaves two alike do further options follow.
    """
    keys = list(differing({str(i): dict(config) for i, config in enumerate(configs)}))
    shown = [list(_changed(config, own, keys)) for config in configs]
    for key in keys:
        texts = [_joined(each, config, own) for each, config in zip(shown, configs, strict=True)]
        if len(set(texts)) == len(texts):
            break
        for text in {text for text in texts if texts.count(text) > 1}:
            alike = [i for i, other in enumerate(texts) if other == text]
            if len({frozen(configs[i].get(key)) for i in alike}) > 1:
                for i in alike:
                    if plain(configs[i].get(key)) is not None:
                        shown[i].append(key)
    texts = [_joined(each, config, own) for each, config in zip(shown, configs, strict=True)]
    seen: list[str] = []
    for text in texts:
        again = texts[: len(seen)].count(text) + 1
        seen.append(text if again == 1 else f"{text} ({again})".lstrip())
    return seen


def _counts(key: str, value: Any) -> bool:
    if key.startswith("trainer.callbacks."):
        return not str(value).startswith(("zoo.", "lightning.")) and bool(_CLASS.fullmatch(str(value)))
    if key.startswith("trainer"):
        return key.startswith(_NUMERICS)
    return not key.startswith(("patience", "data.num_workers", *OF_A_RUN, *_WATCHED, *_LENGTH))


def _changed(config: Config, own: Config, keys: Sequence[str]) -> Iterator[str]:
    """The keys of the model and the data whose value is not that of `own`, without the arguments of another class.

    An option that `own` does not name is at its default where it is off, zero or empty.
    """
    for key in keys:
        parts = key.split(".")
        above = [".".join(parts[:n]) for n in range(1, len(parts))]
        other_class = any(frozen(config.get(k)) != frozen(own.get(k)) if k in own else k in keys for k in above)
        same = frozen(config.get(key)) == frozen(own[key]) if key in own else not plain(config.get(key))
        if parts[0] in {"model", "data"} and not same and not other_class:
            yield key


def _joined(keys: Iterable[str], config: Config, own: Config) -> str:
    """The options in words; one that G and D share stands once."""
    words: dict[str, set[str]] = {}
    for key in keys:
        words.setdefault(_word(key, config, own), set()).add(_side(key))
    named = [word if sides != {"G"} and sides != {"D"} else f"{min(sides)} {word}" for word, sides in words.items()]
    return ", ".join(dict.fromkeys(named))


def _side(key: str) -> str:
    return next((side for side in "GD" if re.search(_SIDES[side], key)), "")


_SIDES = {"G": r"\.(generator\.|g_(?!steps))", "D": r"\.(discriminator\.|d_(?!steps))"}


def _word(key: str, config: Config, own: Config) -> str:
    name, value = key.rpartition(".")[2], plain(config.get(key))
    if value is None:
        kind = _CLASS.fullmatch(str(own.get(key)))
        return f"no {kind[1]}" if kind else f"{name}=none"
    if isinstance(value, str) and (kind := _CLASS.fullmatch(value)):
        return kind[1]
    if isinstance(value, str):
        text = value.replace("\\", "/").rstrip("/").rpartition("/")[2]
    else:
        text = f"{value:g}" if isinstance(value, float) else json.dumps(value, default=str)
    return f"{name}={text}"
