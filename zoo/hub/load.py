"""Read a run's checkpoint back into a model."""

import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule

import zoo.backbones  # noqa: F401 - lets short class names in a checkpoint be found
from zoo.gan import GAN
from zoo.variants import variants


def load(path: str | Path, *, map_location: str | torch.device = "cpu") -> GAN:
    """The GAN that `train.py` saved at `path`, strictly, in evaluation mode, on `map_location`.

    Only tensors and plain values are unpickled, and only classes of the zoo, of torch, or of modules that are already
    imported, are built.

    Raises:
        ValueError: if there is no such file, or it is not a checkpoint of a run, or it was written by a `Trainer` used
            from Python, which does not know how its networks were built: there, use
            `YourClass.load_from_checkpoint(path, generator=..., discriminator=...)`.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}")
    variants()
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} cannot be read as a checkpoint: {reason}") from error
    if "game" not in checkpoint:
        raise ValueError(f"{path} was not written by the zoo: it has no 'game' entry")
    if not checkpoint.get("hyper_parameters"):
        raise ValueError(
            f"{path} does not say how its networks were built, since it was not written by "
            "train.py; use YourClass.load_from_checkpoint(path, generator=..., discriminator=...)"
        )
    _refuse_foreign_classes(checkpoint["hyper_parameters"], path)
    gan = LightningModule.load_from_checkpoint(path, map_location=map_location, weights_only=True)
    assert isinstance(gan, GAN)
    return gan.eval()


def _refuse_foreign_classes(value: Any, path: Path) -> None:
    """A class path is imported when it is built: the file must not choose what code runs."""
    if isinstance(value, dict):
        for name in (value.get("class_path"), value.get("_class_path")):
            module = str(name or "zoo").rpartition(".")[0] or "zoo"
            if module.partition(".")[0] not in {"zoo", "torch"} and module not in sys.modules:
                raise ValueError(f"{path} wants the class {name}; import {module} first if you trust it")
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            _refuse_foreign_classes(part, path)
