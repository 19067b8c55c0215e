"""The objective that a command line names: its networks, and its paper's optimisers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

from torch import nn

from zoo.cli.choices import find_class
from zoo.cli.configs import model_section, settings
from zoo.gan import GAN
from zoo.support.described import description

SIDES = ("g_optimizer", "d_optimizer")


def network_arguments(objectives: Iterable[type[GAN]]) -> list[str]:
    """The names of the networks that these objectives' constructors take."""
    found: dict[str, None] = {}
    for cls in (base for objective in objectives for base in objective.__mro__ if issubclass(base, GAN)):
        hints = get_type_hints(cls.__init__)
        networks = (name for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, nn.Module))
        found |= dict.fromkeys(networks)
    return list(found)


def objectives_of(words: Sequence[str]) -> list[tuple[str, type[GAN]]]:
    """The objectives that a command line and its files choose, each with its place; other names are the parser's."""
    named = [(place, value) for place, value in settings("class_path", words) if place.endswith("model.class_path")]
    named += [(place, value) for place, value in settings("model", words) if place.endswith("model")]
    return [(place, cls) for place, name in named if (cls := _objective(name)) is not None]


def with_optimizers(tree: Any) -> Any:
    """A configuration in which an optimiser without a class has that of the objective named beside it."""
    model: Any = tree.get("model") if isinstance(tree, dict) else None
    objective = _objective(model.get("class_path")) if isinstance(model, dict) else None
    given = (model.get("init_args") or {}) if objective is not None else {}
    if objective is None or not isinstance(given, dict):
        return tree
    partial = {side: value for side, value in given.items() if side in SIDES and isinstance(value, dict)}
    whole = {side: _over(_own(objective, side), v) for side, v in partial.items() if "class_path" not in v}
    return {**tree, "model": {**model, "init_args": {**given, **whole}}}


def optimizer_words(words: Sequence[str]) -> list[str]:
    """Insert the objective's own optimisers behind its name, so that single settings of them can follow.

    Those that a file sets are left out.
    """
    sides = [side for side in SIDES if not any(": " in place for place, _ in settings(side, words))]
    for i, (flag, value) in enumerate(pairwise(["", *words])):
        name: Any = value.removeprefix("--model=") if value.startswith("--model=") else None
        if flag == "--model":
            name = value
        elif flag in {"-c", "--config"}:
            name = model_section(Path(value)).get("class_path")
        if (objective := _objective(name)) is not None:
            own = [f"--model.{side}={json.dumps(_own(objective, side))}" for side in sides]
            return [*words[: i + 1], *own, *words[i + 1 :]]
    return list(words)


def _own(objective: type[GAN], side: str) -> Any:
    own = objective.default_g_optimizer if side == "g_optimizer" else None
    return description(own or objective.default_optimizer, side)


def _over(own: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    return {**own, "init_args": {**own["init_args"], **(given.get("init_args") or {})}}


def _objective(name: Any) -> type[GAN] | None:
    if isinstance(name, str):
        with suppress(ValueError):
            found = find_class(name, "model")
            return found if issubclass(found, GAN) else None
    return None
