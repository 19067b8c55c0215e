"""Ranks stay one run for long, and a checkpoint of theirs resumes on every one of them."""

from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from tests.games import trainer
from tests.groups import together
from zoo import distributed
from zoo.backbones import DCGANDiscriminator, DCGANGenerator
from zoo.datamodules.loader import TensorLoader
from zoo.dynamics import Balanced
from zoo.gan import GAN
from zoo.noise import Noise
from zoo.schedules import Cosine, Linear
from zoo.stabilizers import HistoricalAveraging, InstanceNoise, SpectralNorm
from zoo.variants.nsgan import NSGAN

SHAPE = (1, 8, 8)


def digest(value: Any) -> str:
    """Of tensors in a tree, to the bit; of all else, its text."""
    if isinstance(value, torch.Tensor):
        value = value.detach().contiguous().numpy().tobytes()
    elif isinstance(value, dict):
        value = repr([(key, digest(part)) for key, part in value.items()]).encode()
    elif isinstance(value, list | tuple):
        value = repr([digest(part) for part in value]).encode()
    else:
        value = repr(value).encode()
    return blake2b(value, digest_size=8).hexdigest()


class Comparison(Callback):
    """Counts how often all ranks had the same of everything, every so many steps."""

    def __init__(self, every: int) -> None:
        self.every, self.same = every, 0

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *args: Any) -> None:
        if gan.steps % self.every:
            return
        mine = {name: digest(value) for name, value in gan.state_dict().items()}
        for i, optimizer in enumerate(trainer.optimizers):
            mine[f"optimizer {i}"] = digest(optimizer.state_dict())
        mine["latest"] = digest(gan.latest)
        mine["samples"] = digest(gan.sample(4, seed=0))
        mine["counters"] = digest([gan.steps, gan.images, gan.g_moves, gan.skipped])
        first, *others = distributed.collect(mine)
        for other in others:
            assert [name for name in first if first[name] != other[name]] == [], f"after {gan.steps} steps"
        self.same += 1


class Forgetful(nn.Module):
    """A discriminator with a dropout of torch's, which draws from this rank's global generator."""

    image_shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self.net = DCGANDiscriminator(SHAPE, width=4)

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(nn.functional.dropout(x, 0.3))


def fit(gan: GAN, steps: int, *callbacks: Callback, **kwargs: Any) -> None:
    data = torch.randn(100, *SHAPE, generator=torch.Generator().manual_seed(1)).tanh()
    run = trainer(
        devices=2, strategy="ddp", callbacks=list(callbacks), max_epochs=-1, max_steps=steps, log_every_n_steps=1
    )
    loader = TensorLoader(data, batch_size=8, shuffle=True, rank=run.global_rank, world_size=2)
    run.fit(gan, loader, **kwargs)


def long(steps: int, every: int) -> int:
    """How often the ranks of a game with all that moves by itself were found to agree."""
    torch.manual_seed(0)
    kimg = steps * 16 / 1000
    gan = NSGAN(
        DCGANGenerator(SHAPE, latent_dim=8, width=4), DCGANDiscriminator(SHAPE, width=4), ema_decay=0.9, clip_norm=1.0,
        dynamics=Balanced(0.8, 0.5), g_scheduler=Linear(kimg), d_scheduler=Cosine(kimg),
        stabilizers=[InstanceNoise(kimg / 2), SpectralNorm(), HistoricalAveraging(0.01)],
    )  # fmt: skip
    comparison = Comparison(every)
    fit(gan, steps, comparison)
    return comparison.same


@pytest.mark.parametrize(("steps", "every"), [(20, 2), pytest.param(1000, 10, marks=pytest.mark.slow)])
def test_ranks_never_drift(steps: int, every: int) -> None:
    """Weights, running statistics, power iterations, averages, optimisers, rates, accuracy, what is logged, samples."""
    assert together(lambda: long(steps, every)) == [steps // every] * 2


class SaveAt(Callback):
    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *args: Any) -> None:
        if gan.steps == self.step:
            trainer.save_checkpoint(self.path)


def resumed(path: Path) -> list[str]:
    """What differs between a straight and a resumed run on this rank, whose D waits when it is cut."""

    def game() -> GAN:
        torch.manual_seed(0)
        generator = DCGANGenerator(SHAPE, latent_dim=8, width=4)
        gan = NSGAN(generator, Forgetful(), dynamics=Balanced(0.0, 0.0), ema_decay=0.9)
        gan.noise = Noise(1)
        return gan

    def told(gan: GAN) -> dict[str, Any]:
        return {**gan.state_dict(), **gan.latest, "drawn": torch.rand(3), "numpy": np.random.rand(3)}

    straight, rank = game(), torch.distributed.get_rank()
    torch.manual_seed(rank)
    np.random.seed(rank)
    fit(straight, 9, SaveAt(5, path))
    before, again = told(straight), game()
    fit(again, 9, ckpt_path=str(path))
    after = told(again)
    return [name for name in before if digest(before[name]) != digest(after[name])]


def test_every_rank_goes_on_where_it_was(tmp_path: Path) -> None:
    assert together(lambda: resumed(tmp_path / "a.ckpt")) == [[], []]
