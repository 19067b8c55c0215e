"""G learns from its best samples."""

from __future__ import annotations

from zoo import distributed
from zoo.schedules import Schedule, Step
from zoo.stabilizers.base import Stabilizer
from zoo.support.checks import check_schedule
from zoo.types import Batch, Critic, Game, Output, Terms


class TopK(Stabilizer):
    """G's loss is that of the k fakes of a batch that D scores highest (Sinha et al. 2020, "Top-k Training of GANs").

    The gradient of a sample that D is sure of may point away from the data (the paper's section 3); the others are left
    out of G's turn. k is a share of the batch of all ranks, at least one fake, that falls as D learns which are good.

    Args:
        scheduler: kimg to the share. None is the paper's: 0.99 to the power of the epochs so far, not below 0.5, with
            CIFAR-10's 50,000 images an epoch.

    Raises:
        ValueError: for no schedule, and for an objective whose loss for G has parts of its own.
    """

    replaces_g_loss = True

    def __init__(self, scheduler: Schedule | None = None) -> None:
        super().__init__()
        check_schedule(scheduler, "TopK: scheduler")
        self.scheduler = scheduler or Step(every_kimg=50, factor=0.99, floor=0.5)
        self._of: tuple[Game, ...] = ()  # in a tuple: not a submodule

    def prepare(self, gan: Game) -> None:
        """Refuse an objective whose loss for G is not of the fakes' scores alone, and another one that replaces it."""
        others = [type(s).__name__ for s in gan.stabilizers if s.replaces_g_loss and s is not self]
        if gan.g_terms.__qualname__ != "GAN.g_terms" or others:
            parts = f"{', '.join(others)} replaces" if others else "parts of its own are in"
            raise ValueError(f"{type(gan).__name__}: TopK picks from the scores of fakes, and {parts} its loss for G")
        self._of = (gan,)

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """The objective's loss of the best fakes, as `adversarial`."""
        (gan,) = self._of
        scores = distributed.gather(fake.score)
        share = min(max(self.scheduler(batch.kimg), 0.0), 1.0)
        best = scores.topk(max(1, round(share * len(scores))), largest=not gan.energy_based).values
        return {"adversarial": gan.g_loss(best)}
