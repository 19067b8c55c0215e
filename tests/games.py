"""Small games for the tests: nets of a few units, data of a few points, a bare Trainer."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.backbones import Autoencoder, DecoderGenerator, Encoder, MLPDiscriminator, MLPGenerator, PairDiscriminator
from zoo.gan import GAN
from zoo.types import Batch, Output, Role, State


def points(batches: int = 4, n: int = 8, *, seed: int = 0, dtype=torch.float32) -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(n, 2, generator=generator, dtype=dtype),) for _ in range(batches)]


def networks(*, norm: str = "none", seed: int = 0, d_norm: str = "none") -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    return (
        MLPGenerator((2,), latent_dim=6, width=5, depth=2, norm=norm),
        MLPDiscriminator((2,), width=7, depth=2, norm=d_norm),
    )


def required(cls: type[GAN]) -> list[str]:
    """The networks that an objective cannot be made without, by the names of its arguments."""
    parameters = inspect.signature(cls).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]


def make(cls: type[GAN], **kwargs: Any) -> GAN:
    """Any objective, in float64, with networks as small as it takes."""
    judge = PairDiscriminator if getattr(cls, "paired", False) else MLPDiscriminator
    networks = {
        "generator": MLPGenerator((2,), width=4),
        "discriminator": judge((2,), width=4),
        "diffusion_discriminator": MLPDiscriminator((2,), width=4),
        "encoder": Encoder((2,), width=4, norm="none", stochastic=getattr(cls, "stochastic_encoder", False)),
    }
    if cls.energy_based:
        image = (1, 8, 8)
        networks |= {"generator": DecoderGenerator(image, width=4), "discriminator": Autoencoder(image, width=4)}
    return cls(**{name: networks[name] for name in required(cls)}, **kwargs).double()


def trainer(**kwargs: Any) -> Trainer:
    quiet = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": 1,
    }
    return Trainer(**{**quiet, **kwargs})


def fit(gan: GAN, data: list, *, ckpt_path: str | None = None, **kwargs: Any) -> Trainer:
    made = trainer(**kwargs)
    made.fit(gan, DataLoader(data, batch_size=None), ckpt_path=ckpt_path)
    return made


def score(gan: GAN, x: Tensor, *, role: Role = "fake", state: State | None = None) -> Output:
    """D's output on x, as the losses get it."""
    return gan.bind(Batch(x, None, x, x, gan.noise), state=state)(x, role)


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in module.state_dict().items()}


def refuses(build: Callable[[], Any], words: list[str]) -> None:
    """One line, with all these words in it."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        build()
    assert all(word in str(refused.value) for word in words), refused.value
    assert "\n" not in str(refused.value)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
