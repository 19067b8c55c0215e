"""Step counts that follow a schedule, or D's accuracy."""

import math
from bisect import bisect_left

import torch
from torch import Tensor

from zoo import distributed
from zoo.dynamics.alternating import Alternating, Dynamics
from zoo.dynamics.checks import at_least
from zoo.types import Data, Game


class CriticWarmup(Alternating):
    """Alternating, with more D moves in the first rounds and in every `every`-th: the rule of WGAN's published code.

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

    def round_ends(self, gan: Game) -> bool:
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
    """D moves while its accuracy is low, G while it is high.

    Accuracy is the share of pairs (xᵢ, G(zᵢ)) that D last ranked rightly, over all ranks; it needs no threshold, and
    means the same for logits, critics and energies. D moves while it is at most `d_until`, G while it is at least
    `g_from`; since `g_from` <= `d_until`, at least one moves. While D does not move, its last scores of real images are
    reused with new scores of fakes from G's turns. Where there are no such scores, as after a resume with another batch
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

    def forward(self, gan: Game, data: Data) -> None:
        """Play one batch."""
        accuracy = float(self.accuracy)
        turns = gan.turns()
        d_turn = next(turn.name for turn in turns if turn.side == "d")
        known = d_turn in gan.outputs and len(gan.outputs[d_turn]["real"].score) == len(data[0])
        moves = {"d": accuracy <= self.d_until or not known, "g": accuracy >= self.g_from}
        for turn in turns:
            if moves[turn.side]:
                gan.play(turn, data)
        newest = d_turn if moves["d"] else next(turn.name for turn in turns if turn.side == "g")
        gap = gan.outputs[d_turn]["real"].score - gan.outputs[newest]["fake"].score
        right = gap < 0 if gan.energy_based else gap > 0
        self.accuracy.copy_(distributed.mean(right.float().mean()))
        gan.latest["accuracy/d"] = self.accuracy

    def extra_repr(self) -> str:
        """The thresholds, for printing."""
        return f"d_until={self.d_until}, g_from={self.g_from}"
