"""The interface of a stabilizer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from zoo.noise import Noise
from zoo.support.described import Described
from zoo.types import Batch, Critic, Game, Output, Role, Terms, Turn


class Stabilizer(Described, nn.Module):
    """Override what you need; the rest does nothing."""

    replaces_g_loss: bool = False  # its terms replace the objective's
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
