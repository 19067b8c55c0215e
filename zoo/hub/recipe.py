"""How a GAN was built, in plain values: classes go by short names, which only the zoo's own rooms give a meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache, partial
from typing import Any

import torch

from zoo import backbones, dynamics, optim, schedules, stabilizers
from zoo.cli.errors import find, no_memory
from zoo.gan import GAN
from zoo.variants import variants

FindClass = Callable[[str, str], type]  # of a name and its place, to tell them in a ValueError for one that may not be
Recipe = Mapping[str, Any]  # a constructor's arguments; a class is {"class_path": its short name, "init_args": {...}}
_TORCH = (torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD)
BESIDE = {"_class_path", "_instantiator", "init_from"}  # what a checkpoint keeps beside the arguments of the networks
ROOMS = "zoo.backbones, zoo.dynamics, zoo.stabilizers, zoo.optim and zoo.schedules, or one of AdamW, RMSprop and SGD"


@cache
def classes() -> dict[str, type]:
    """Whatever a published checkpoint may name, beside the objective, by short name."""
    found = [getattr(room, name) for room in (backbones, dynamics, stabilizers) for name in room.__all__]
    for room in (optim, schedules):
        found += [value for value in vars(room).values() if getattr(value, "__module__", "") == room.__name__]
    return {value.__name__: value for value in (*found, *_TORCH) if isinstance(value, type)}


def objective(name: str) -> type[GAN]:
    """The class of `zoo/variants/<name>.py`.

    Raises:
        ValueError: for another name, with close ones.
    """
    known = {member.__module__.rpartition(".")[2]: member for member in variants().values()}
    if name not in known:
        raise ValueError(f"there is no objective {name!r} in zoo.variants{close(name, known)}")
    return known[name]


def described(hyper_parameters: Recipe) -> tuple[str, dict[str, Any]]:
    """The name of the objective and the arguments of its constructor, from what a run's checkpoint keeps of both.

    `init_from` is left out: the networks that it begins with are in the checkpoint.

    Raises:
        ValueError: for a class that is not of the zoo's rooms, and a value that JSON cannot hold.
    """
    path = str(hyper_parameters["_class_path"])
    member = variants().get(path.rpartition(".")[2])
    if member is None or find(path) is not member:
        raise ValueError(f"{path} cannot be published: it is no objective of zoo.variants")
    arguments = {key: value for key, value in hyper_parameters.items() if key not in BESIDE}
    return member.__module__.rpartition(".")[2], {key: _described(value, key) for key, value in arguments.items()}


def build(name: str, init_args: Recipe) -> GAN:
    """A new GAN of this objective. No name is imported: those of `classes` are all there are.

    Raises:
        ValueError: for an unknown objective, class or argument, or a value that a constructor refuses.
    """
    if "init_from" in init_args:
        raise ValueError("init_from: a published checkpoint begins with its own weights")
    return make(objective(name), init_args, _of_rooms)


def make(kind: type[GAN], init_args: Recipe, find_class: FindClass) -> GAN:
    """A new GAN of this kind, with the classes that `find_class` knows; ValueError as for :func:`build`."""
    try:
        return kind(**{key: _built(value, key, find_class) for key, value in init_args.items()})
    except ValueError:
        raise
    except Exception as error:  # a constructor given something of another type, or of an impossible size
        reason = no_memory(error) or str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{kind.__name__} cannot be built: {reason}") from error


def close(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """What may have been meant, else all there is."""
    near = get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else f" (choose from {', '.join(sorted(known))})"


def _described(value: Any, place: str) -> Any:
    if isinstance(value, list | tuple):
        return [_described(part, f"{place}[{i}]") for i, part in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if not isinstance(value, dict) or "class_path" not in value:
        raise ValueError(f"{place} cannot be published: it is a {type(value).__name__}, neither a class nor plain")
    path = value["class_path"]
    name = path.rpartition(".")[2]
    known = classes().get(name)
    if known is None or ("." in path and find(path) is not known):
        raise ValueError(f"{place}: {path} cannot be published: it is no class of {ROOMS}")
    arguments = {**(value.get("init_args") or {}), **(value.get("dict_kwargs") or {})}
    return {
        "class_path": name,
        "init_args": {key: _described(part, f"{place}.{key}") for key, part in arguments.items()},
    }


def _built(value: Any, place: str, find_class: FindClass) -> Any:
    """Build the classes in plain values; an optimiser becomes a partial that waits for its parameters."""
    if isinstance(value, list):
        return [_built(part, f"{place}[{i}]", find_class) for i, part in enumerate(value)]
    if not isinstance(value, dict):
        return value
    name, init_args = value.get("class_path"), value.get("init_args", {})
    if value.keys() - {"class_path", "init_args"} or not isinstance(name, str) or not isinstance(init_args, dict):
        raise ValueError(f"{place}: a class has a class_path and init_args, this has {_keys(value)}")
    found = find_class(name, place)
    arguments = {key: _built(part, f"{place}.{key}", find_class) for key, part in init_args.items()}
    return partial(found, **arguments) if issubclass(found, torch.optim.Optimizer) else found(**arguments)


def _of_rooms(name: str, place: str) -> type:
    known = classes()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{place}: unknown class {name!r}{hint}: a published checkpoint names those of {ROOMS}")
    return known[name]


def _keys(value: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, value)) or "nothing"
