"""FLOPs per training image, for comparisons at equal compute."""

from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader
from torch.utils.flop_counter import flop_registry

from zoo.cli.quiet import silence
from zoo.gan import GAN


def flops_per_image(gan: GAN, data: LightningDataModule) -> float:
    """FLOPs of training per real image: all moves of one round over its number of images.

    A round, `d_steps` batches, is played on the CPU with noise of the data's shape and batch size, and `gan` is changed
    by it. Convolutions and matrix products count, forward, backward and twice differentiated, a multiply-add as two
    FLOPs; measuring quality does not. Where the proportion of moves changes while training goes on (`CriticWarmup`,
    `Balanced`), and where the networks do (progressive growing), this is the cost at the start.
    """
    shape, size, classes = (getattr(data, name) for name in ("image_shape", "batch_size", "num_classes"))
    generator = torch.Generator().manual_seed(0)

    def batch() -> tuple[Tensor, ...]:
        images = torch.rand(size, *shape, generator=generator) * 2 - 1
        return (images,) if classes is None else (images, torch.randint(classes, (size,), generator=generator))

    dealt: Any = [batch() for _ in range(getattr(gan.dynamics, "d_steps", 1))]
    trainer_options: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    with silence(), FlopCount() as count:
        trainer = Trainer(accelerator="cpu", max_steps=len(dealt), **trainer_options)
        trainer.fit(gan, DataLoader(dealt, batch_size=None))
    return count.flops / (len(dealt) * size)


class FlopCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up FLOPs by torch's own table; torch's own counter cannot follow autograd.grad(create_graph=True)."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out
