"""Read a run's checkpoint back into a model."""

import re
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule

import zoo.backbones  # noqa: F401 - lets short class names in a checkpoint be found
from zoo import sealed
from zoo.gan import GAN
from zoo.variants import variants

_MODULE = re.compile(r"[^\W\d]\w*(\.\w+)*")


def load(path: str | Path, *, map_location: str | torch.device = "cpu") -> GAN:
    """The GAN that `train.py` saved at `path`, strictly, in evaluation mode, on `map_location`.

    Only tensors and plain values are unpickled, and only classes of the zoo, of torch, or of modules that are already
    imported, are built.

    Raises:
        ValueError: if there is no such file, or it is damaged or not a checkpoint of a run, or it was written by a
            `Trainer` used from Python, which does not know how its networks were built: there, use
            `YourClass.load_from_checkpoint(path, generator=..., discriminator=...)`.
    """
    begun = recipe_of(path).get("init_from")
    told: dict[str, Any] = {"init_from": {"ref": begun}} if isinstance(begun, str) else {}  # text may be a class path
    gan = LightningModule.load_from_checkpoint(path, map_location=map_location, weights_only=True, **told)
    assert isinstance(gan, GAN)
    return gan.eval()


def recipe_of(path: str | Path) -> dict[str, Any]:
    """The arguments with which the GAN at `path` is built, class paths checked; ValueError as for :func:`load`."""
    path = Path(path)
    variants()
    checkpoint = sealed.read(path)
    if "game" not in checkpoint:
        raise ValueError(f"{path} was not written by the zoo: it has no 'game' entry")
    if not checkpoint.get("hyper_parameters"):
        raise ValueError(
            f"{path} does not say how its networks were built, since it was not written by "
            "train.py; use YourClass.load_from_checkpoint(path, generator=..., discriminator=...)"
        )
    recipe: dict[str, Any] = checkpoint["hyper_parameters"]
    begun = recipe.get("init_from")
    if isinstance(begun, dict) and begun.keys() - {"ref", "parts", "freeze"}:
        raise ValueError(f"{path}: init_from has ref, parts and freeze, not {', '.join(begun)}")
    _refuse_foreign_classes({key: value for key, value in recipe.items() if key != "init_from"}, path)
    return recipe


def _refuse_foreign_classes(value: Any, path: Path) -> None:
    """A class path is imported when it is built: the file must not choose what code runs.

    The parser takes any text for a class path, or for YAML with class paths in it, where a class may stand.
    """
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _refuse_foreign_classes(part, path)
    if not isinstance(value, str):
        return
    if "class_path" in value:
        raise ValueError(f"{path} hides a class in the text {value!r}")
    module = value.rpartition(".")[0] or "zoo"
    if _MODULE.fullmatch(module) and module.partition(".")[0] not in {"zoo", "torch"} and module not in sys.modules:
        raise ValueError(f"{path} wants the class {value}; import {module} first if you trust it")
