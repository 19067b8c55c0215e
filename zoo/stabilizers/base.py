"""What every stabilizer is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from zoo.described import Described
from zoo.noise import Noise
from zoo.types import Batch, Critic, Role, Terms, Turn, Verdict

if TYPE_CHECKING:
    from zoo.gan import GAN


class Stabilizer(Described, nn.Module):
    """Override what you need; the rest does nothing."""

    replaces_g_loss: bool = False  # whether its terms stand instead of the objective's, not beside them
    differentiates_twice: ClassVar[bool] = False  # whether it takes gradients of a network's gradients

    def prepare(self, gan: GAN) -> None:
        """Rewrite or check the networks, once, at the end of `GAN.__init__`."""

    def begin(self, gan: GAN) -> None:
        """Follow a schedule, once a batch, before anybody moves."""

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """What D is allowed to see of x (N, ...)."""
        return x

    def d_terms(self, critic: Critic, batch: Batch, real: Verdict, fake: Verdict) -> Terms:
        """Named scalars to add to the discriminator's loss."""
        return {}

    def g_terms(self, critic: Critic, batch: Batch, fake: Verdict) -> Terms:
        """Named scalars to add to the generator's loss."""
        return {}

    def after_turn(self, turn: Turn, gan: GAN) -> None:
        """Project the weights after a turn."""
