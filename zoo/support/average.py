"""An exponential moving average of the generator's weights, from which samples are taken."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn

from zoo.types import Game


class Average:
    """Moves `generator_ema` towards `generator`; buffers are copied. Skipped moves count as moves.

    `decay` is followed at each generator move. With a half-life, each batch leaves the average the weight
    0.5^(kimg of the batch / half-life), as in StyleGAN2-ADA (Karras et al. 2020) and R3GAN (Huang et al. 2024); a
    half-life of 0 keeps nothing. `zoo.training.ManualTraining` documents the arguments.

    Raises:
        ValueError: both are given, one is out of its range, or `schedule` is given without a half-life.
    """

    def __init__(
        self, decay: float | None, half_life_kimg: float | None, schedule: Callable[[float], float] | None
    ) -> None:
        if decay is not None and not 0 <= decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {decay}")
        if half_life_kimg is not None and not 0 <= half_life_kimg < float("inf"):
            raise ValueError(f"ema_half_life_kimg must be at least 0 and finite, got {half_life_kimg}")
        if decay is not None and half_life_kimg is not None:
            raise ValueError(
                f"ema_decay {decay} and ema_half_life_kimg {half_life_kimg} are two settings of one average; "
                "set one of them to null"
            )
        if schedule is not None and half_life_kimg is None:
            raise ValueError("ema_scheduler is a factor on ema_half_life_kimg, which is not given")
        self.decay, self.half_life_kimg, self.schedule = decay, half_life_kimg, schedule

    def of(self, generator: nn.Module) -> nn.Module | None:
        """The average at the start, a frozen copy; None where nothing is averaged."""
        if self.decay is None and self.half_life_kimg is None:
            return None
        return deepcopy(generator).requires_grad_(False)

    def after_move(self, gan: Game) -> None:
        """Follow a generator move, where `decay` is set."""
        if self.decay is not None:
            _follow(gan, min(self.decay, (1 + gan.g_moves) / (10 + gan.g_moves)))

    def after_batch(self, gan: Game, images: int) -> None:
        """Follow a batch of `images` on each rank, where a half-life is set."""
        if self.half_life_kimg is None:
            return
        half_life = self.half_life_kimg * (1 if self.schedule is None else self.schedule(gan.kimg))
        kimg = images * gan.trainer.world_size / 1000
        _follow(gan, 0.5 ** (kimg / half_life) if half_life > 0 else 0.0)


@torch.no_grad()
def _follow(gan: Game, decay: float) -> None:
    average, current = gan.generator_ema, gan.generator
    assert average is not None
    torch._foreach_lerp_([*average.parameters()], [*current.parameters()], 1 - decay)
    for kept, buffer in zip(average.buffers(), current.buffers(), strict=True):
        kept.copy_(buffer)
