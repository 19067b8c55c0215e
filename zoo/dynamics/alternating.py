"""One side after the other, in fixed or in following proportions."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from functools import cache, partial
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo import ranks
from zoo.dynamics.base import Dynamics, at_least
from zoo.types import Data, Turn

if TYPE_CHECKING:
    from zoo.gan import GAN


class Alternating(Dynamics):
    """The discriminator's turns on every batch; the others' `g_steps` times on every `d_steps`-th batch.

    Every discriminator step so has real data of its own (Goodfellow et al. 2014, algorithm 1; Arjovsky et al. 2017,
    algorithm 1 with `d_steps` = n_critic). Each move draws new latents.

    Args:
        d_steps: discriminator moves per round, at least 1.
        g_steps: generator moves per round, at least 1; those of one round see the same real batch.
    """

    def __init__(self, d_steps: int = 1, g_steps: int = 1) -> None:
        super().__init__()
        at_least(self, 1, d_steps=d_steps, g_steps=g_steps)
        self.d_steps, self.g_steps = d_steps, g_steps

    def forward(self, gan: GAN, data: Data) -> None:
        """Play one batch."""
        generators_turn, turns = self.round_ends(gan), gan.turns()
        ahead: dict[str, Any] = {}
        for turn, following in zip(turns, (*turns[1:], None), strict=True):
            if turn.side == "d":
                if generators_turn and following is not None and self._deals_ahead(gan, following):
                    gan.play(turn, data, meanwhile=partial(self._deal, gan, following, data, ahead))
                else:
                    self.play(gan, turn, data)
            elif generators_turn:
                for _ in range(self.g_steps):
                    self._play_dealt(gan, turn, data, ahead)

    def play(self, gan: GAN, turn: Turn, data: Data) -> None:
        """One move."""
        gan.play(turn, data)

    def _play_dealt(self, gan: GAN, turn: Turn, data: Data, ahead: dict[str, Any]) -> None:
        if ahead:
            gan.play(turn, data, **ahead)
            ahead.clear()
        else:
            self.play(gan, turn, data)

    def _deals_ahead(self, gan: GAN, turn: Turn) -> bool:
        """Whether G's samples for this turn are made while D's gradients cross the ranks: they do not depend on D.

        Not where the dynamics have a `play` of their own, nor where that of the game does not hand on what it is given.
        """
        if ranks.world_size() == 1 or type(self).play is not Alternating.play:
            return False
        return turn.side == "g" and "g" in turn.movers and turn.samples and _hands_on(type(gan).play)

    def _deal(self, gan: GAN, turn: Turn, data: Data, ahead: dict[str, Any]) -> None:
        before = gan.snapshot(turn.movers)
        ahead.update(dealt=gan.deal(data, graph=True), before=before)

    def round_ends(self, gan: GAN) -> bool:
        """Whether the generator's side moves on this batch."""
        return (gan.steps + 1) % self.d_steps == 0

    def extra_repr(self) -> str:
        """The step counts, for printing."""
        return f"d_steps={self.d_steps}, g_steps={self.g_steps}"


@cache
def _hands_on(play: Callable[..., None]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in signature(play).parameters.values())


class CriticWarmup(Alternating):
    """Alternating, with long rounds at the start and now and then: the rule of WGAN's published code.

    A round has `warmup_d_steps` discriminator moves instead of `d_steps` if fewer than `warmup_rounds` rounds are over,
    or if their number is a multiple of `every` (Arjovsky et al. 2017; not in the paper). It is a function of the number
    of batches, so there is nothing to save.

    Args:
        d_steps: of an ordinary round.
        warmup_d_steps: of a long round.
        warmup_rounds: long rounds at the start.
        every: rounds from one later long round to the next.
    """

    def __init__(self, d_steps: int = 5, warmup_d_steps: int = 100, warmup_rounds: int = 25, every: int = 500) -> None:
        super().__init__(d_steps)
        at_least(self, 1, warmup_d_steps=warmup_d_steps, every=every)
        at_least(self, 0, warmup_rounds=warmup_rounds)
        self.warmup_d_steps, self.warmup_rounds, self.every = warmup_d_steps, warmup_rounds, every

    def round_ends(self, gan: GAN) -> bool:
        """Whether the generator's side moves on this batch."""
        batches = gan.steps + 1
        rounds = bisect_left(range(batches + 1), batches, key=self.batches_of)
        return self.batches_of(rounds) == batches

    def batches_of(self, rounds: int) -> int:
        """How many batches the first `rounds` rounds take."""
        early = min(rounds, self.warmup_rounds)
        later = math.ceil(rounds / self.every) - math.ceil(early / self.every)
        return self.d_steps * rounds + (self.warmup_d_steps - self.d_steps) * (early + later)

    def extra_repr(self) -> str:
        """The step counts, for printing."""
        return f"{super().extra_repr()}, {self.warmup_d_steps} in the first {self.warmup_rounds} and every {self.every}"


class Balanced(Dynamics):
    """Whoever is behind moves: both sides' steps follow D's accuracy in telling real from fake.

    Accuracy is the share of pairs (xᵢ, G(zᵢ)) that D last ranked rightly, over all ranks; it needs no threshold, and
    means the same for logits, critics and energies. D moves while it is at most `d_until`, G while it is at least
    `g_from`, and since `g_from` <= `d_until` somebody always moves; while D waits, its last scores of real images stay
    valid and G's turns bring new scores of fakes. Where there are no such scores, as after a resume with another batch
    size, D moves.

    The lectures name step counts that follow a metric, without a formula; this one is ours. A batch is played on the
    accuracy of the batch before: reading it waits for that one, not for this one.

    Args:
        d_until: in [0, 1]: above it D waits.
        g_from: in [0, d_until]: below it G waits.
    """

    accuracy: Tensor

    def __init__(self, d_until: float = 0.9, g_from: float = 0.6) -> None:
        super().__init__()
        if not 0 <= g_from <= d_until <= 1:
            raise ValueError(f"Balanced needs 0 <= g_from <= d_until <= 1, got g_from={g_from}, d_until={d_until}")
        self.d_until, self.g_from = d_until, g_from
        self.register_buffer("accuracy", torch.tensor((d_until + g_from) / 2))

    def forward(self, gan: GAN, data: Data) -> None:
        """Play one batch."""
        accuracy = float(self.accuracy)
        turns = gan.turns()
        d_turn = next(turn.name for turn in turns if turn.side == "d")
        known = d_turn in gan.verdicts and len(gan.verdicts[d_turn]["real"].score) == len(data[0])
        moves = {"d": accuracy <= self.d_until or not known, "g": accuracy >= self.g_from}
        for turn in turns:
            if moves[turn.side]:
                gan.play(turn, data)
        newest = d_turn if moves["d"] else next(turn.name for turn in turns if turn.side == "g")
        gap = gan.verdicts[d_turn]["real"].score - gan.verdicts[newest]["fake"].score
        right = gap < 0 if gan.energy_based else gap > 0
        self.accuracy.copy_(ranks.mean(right.float().mean()))
        gan.latest["accuracy/d"] = self.accuracy

    def extra_repr(self) -> str:
        """The thresholds, for printing."""
        return f"d_until={self.d_until}, g_from={self.g_from}"
