"""Read a run's checkpoint back into a model."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from zoo.cli.arguments import check_module
from zoo.gan import GAN
from zoo.hub import recipe
from zoo.hub.bundle import check_game
from zoo.hub.planned import compare, kinds_of, refuse_misfits
from zoo.run import files
from zoo.run.folders import checkpoint_of
from zoo.schedules import Schedule
from zoo.support.forms import Kind
from zoo.support.initial import InitFrom
from zoo.variants import variants

_MOST = 100_000  # values in what a checkpoint says of its networks
_PARTS = (nn.Module, torch.optim.Optimizer, Schedule)  # what a GAN is built of
_OF_TORCH = ("torch.nn", "torch.optim")
_CARRIED = {"lightning", "pytorch_lightning", "torch", "torch_fidelity", "torchmetrics", "torchvision", "zoo"}


def load(path: str | Path, *, trust: Sequence[str] = (), map_location: str | torch.device = "cpu") -> GAN:
    """The GAN of a run of `train.py`, strictly, in evaluation mode, on `map_location`.

    Only tensors and plain values are unpickled, and nothing larger than the file is built. Networks, optimisers and
    schedules are those of the zoo, of torch.nn and torch.optim, of modules that are already imported, and of `trust`.

    Args:
        path: a .ckpt file, a run's folder (its best.ckpt, else its last.ckpt) or "latest", as for
            `zoo.run.folders.checkpoint_of`.
        trust: modules of your own that may be imported, from the working folder too, as "mynets".
        map_location: where its tensors go.

    Raises:
        ValueError: if there is no such file, or it is damaged or not a checkpoint of a run; if it names a class of a
            module that is neither imported nor trusted; if its tensors are not those of the networks that it describes;
            or if it was written by a `Trainer` used from Python, which does not know how its networks were built:
            there, use `YourClass.load_from_checkpoint(path, generator=..., discriminator=...)`.
    """
    for name in trust:
        check_module(name)
    path = checkpoint_of(path) or Path(path)
    if not path.exists() and path.suffix != ".ckpt":
        raise ValueError(f"no checkpoint at {path}; zoo.from_pretrained takes names of the catalogue")
    checkpoint = _read(path)
    described = checkpoint["hyper_parameters"]

    def find_class(name: str, place: str) -> type:
        return _class_of(name, f"{path}: {place}", trust)

    kind = find_class(described["_class_path"], "model")
    if not issubclass(kind, GAN):
        raise ValueError(f"{path}: {described['_class_path']!r} is no GAN")

    def make() -> GAN:
        try:
            arguments = {key: _plain(value) for key, value in described.items() if key not in recipe.BESIDE}
            begun = _init_from(described.get("init_from"), path)
            gan = recipe.make(kind, arguments, find_class)
        except ValueError as error:
            raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from error
        gan.init_from = begun
        return gan

    tensors = tensors_of(checkpoint, path)
    refuse_misfits(path, kinds_of(tensors, path), make, "its own description")
    gan = make()
    gan.to(next(tensors[name].dtype for name, _ in gan.named_parameters()))  # the precision that it was trained in
    gan.load_state_dict(tensors)
    try:
        gan.on_load_checkpoint(checkpoint)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return gan.to(map_location).eval()


def refuse_others(path: str | Path, gan: GAN, trainer: Trainer, data: Any, command: str) -> None:
    """ValueError unless `command`, as "fit", of this Trainer can start from `path` with `gan` and `data`."""
    from zoo.hub import resume

    path = Path(path)
    checkpoint = _of_a_game(path)
    own = {name: Kind(x.dtype, tuple(x.shape)) for name, x in gan.state_dict().items()}
    compare(path, kinds_of(tensors_of(checkpoint, path), path), own, "the model")
    resume.check(path, checkpoint, gan, trainer, data, command)
    if gan.init_from is None:
        try:
            gan.freeze_parts(checkpoint["game"].get("frozen", ()))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def recipe_of(path: str | Path) -> dict[str, Any]:
    """How the GAN at `path` is built, without building it; ValueError as for :func:`load`."""
    return _read(Path(path))["hyper_parameters"]


def tensors_of(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The networks of a checkpoint that was read from `path`; ValueError where there are none."""
    found = checkpoint.get("state_dict")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{path} is no checkpoint: it has no networks")
    kinds_of(found, path)
    return found


def _of_a_game(path: Path) -> dict[str, Any]:
    """The checkpoint, with how far its game had come looked at."""
    checkpoint = files.read(path)
    if "game" not in checkpoint:
        raise ValueError(f"{path} was not written by the zoo: it has no 'game' entry")
    check_game(checkpoint["game"], path)
    return checkpoint


def _read(path: Path) -> dict[str, Any]:
    """The checkpoint, with all that is built from looked at."""
    checkpoint = _of_a_game(path)
    described = checkpoint.get("hyper_parameters")
    if described is None or described == {}:
        raise ValueError(
            f"{path} does not say how its networks were built, since it was not written by "
            "train.py; use YourClass.load_from_checkpoint(path, generator=..., discriminator=...)"
        )
    if not isinstance(described, dict) or not isinstance(described.get("_class_path"), str):
        raise ValueError(f"{path} does not say which objective it is of: it was not written by train.py")
    _refuse_odd(described, path)
    _init_from(described.get("init_from"), path)
    return checkpoint


def _refuse_odd(described: Any, path: Path) -> None:
    """ValueError unless these are plain values, and not too many."""
    left, seen = [described], 0
    while left:
        value = left.pop()
        seen += 1
        if seen > _MOST:
            raise ValueError(f"{path} says more than {_MOST:,} things of how its networks were built")
        if isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            left += value
        elif not isinstance(value, str | int | float | None):
            raise ValueError(f"{path}: hyper_parameters hold a {type(value).__name__}, not plain values alone")


def _class_of(name: str, place: str, trust: Sequence[str]) -> Any:
    """The class of a full name; ValueError, with the place, for one that may not be built."""
    module, _, word = name.rpartition(".")
    root = module.partition(".")[0]
    if root in trust:
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        try:
            import_module(module)
        except ImportError as error:
            raise ValueError(f"{place}: {name} cannot be imported: {error}") from None
    elif root == "zoo":
        with suppress(ImportError):
            import_module(module)
    elif module and module not in sys.modules and root not in _CARRIED:
        raise ValueError(
            f"{place} is {name}: if you trust the module {root}, allow it with --trust {root}, "
            f"or in Python with zoo.load(..., trust=[{root!r}])"
        )
    found = recipe.classes().get(word) if not module else getattr(sys.modules.get(module), word, None)
    ours = (*recipe.classes().values(), *variants().values(), GAN)
    carried = root in _CARRIED and not f"{module}.".startswith(tuple(f"{t}." for t in _OF_TORCH))
    if not isinstance(found, type) or not issubclass(found, _PARTS) or (carried and found not in ours):
        raise ValueError(f"{place}: {name!r} is no network, optimiser or schedule that a GAN can be built of")
    return found


def _init_from(spec: Any, path: Path) -> InitFrom | None:
    """What the run began from, which is not followed: its networks are in the checkpoint."""
    if not spec:
        return None
    if isinstance(spec, str):
        return InitFrom(spec)
    if not isinstance(spec, dict) or spec.keys() - {"ref", "parts", "freeze"}:
        raise ValueError(f"{path}: init_from has ref, parts and freeze, not {spec!r:.100}")
    try:
        return InitFrom(**spec)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _plain(value: Any) -> Any:
    """A class as `zoo.hub.recipe` has it: all of its arguments in init_args."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if not isinstance(value, dict) or "class_path" not in value:
        return value
    parts = [value.get("init_args") or {}, value.get("dict_kwargs") or {}]
    if not all(isinstance(part, dict) for part in parts):
        return value
    arguments = {**parts[0], **parts[1]}
    rest = {key: part for key, part in value.items() if key not in {"init_args", "dict_kwargs"}}
    return {**rest, "init_args": {key: _plain(part) for key, part in arguments.items()}}
