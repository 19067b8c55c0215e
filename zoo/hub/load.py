"""Read a run's checkpoint back into a model."""

from pathlib import Path

import torch
from lightning.pytorch import LightningModule

import zoo.backbones  # noqa: F401 - lets short class names in a checkpoint be found
from zoo.gan import GAN
from zoo.variants import variants


def load(path: str | Path, *, map_location: str | torch.device = "cpu") -> GAN:
    """The GAN that `train.py` saved at `path`, strictly, in evaluation mode, on `map_location`.

    Only tensors and plain values are unpickled, and only classes of the zoo, or ones already imported, are built.

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
    gan = LightningModule.load_from_checkpoint(path, map_location=map_location, weights_only=True)
    assert isinstance(gan, GAN)
    return gan.eval()
