"""The interface of a stabilizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from zoo.noise import Noise
from zoo.support.described import Described
from zoo.types import Batch, Critic, Game, Output, Role, Terms, Turn


def refuse_points(stabilizer: Stabilizer, shape: Any) -> None:
    """Refuse, with a ValueError, data of another shape than (C, H, W); what is no shape passes."""
    if isinstance(shape, Sequence) and len(shape) != 3:
        raise ValueError(
            f"{type(stabilizer).__name__} changes images (C, H, W), but the data are {tuple(shape)}; leave it out"
        )


class Stabilizer(Described, nn.Module):
    """Override what you need; the rest does nothing."""

    replaces_g_loss: bool = False  # its terms replace the objective's
    classifies: ClassVar[bool] = False  # it trains the class logits of a D with `label: classifier`
    double_backward: ClassVar[bool] = False  # it takes gradients of a network's gradients

    def prepare(self, gan: Game) -> None:
        """Rewrite or check the networks, once, at the end of `GAN.__init__`."""

    def begin(self, gan: Game) -> None:
        """Follow a schedule; once per batch, before the first move."""

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """The input of D in place of x (N, ...); same shape."""
        return x

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """Named scalars to add to the discriminator's loss."""
        return {}

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """Named scalars to add to the generator's loss."""
        return {}

    def after_turn(self, turn: Turn, gan: Game) -> None:
        """Project the weights after a turn."""
