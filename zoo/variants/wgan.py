"""WGAN: Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", algorithm 1.

    L_D = E D(G(z)) - E D(x),   all weights of D in [-c, c]
    L_G = -E D(G(z))

D is a critic: a real number, no sigmoid. -L_D estimates K·W(P_r, P_g), for an unknown Lipschitz constant K.
"""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import RMSprop

from zoo.dynamics import Alternating, Dynamics
from zoo.gan import GAN
from zoo.stabilizers import Stabilizer, WeightClip


class WGAN(GAN):
    """The critic's Lipschitz constant is bounded by clipping its weights.

    Deviations: the authors' code, not the paper, takes 100 critic steps in each of the first 25 rounds and in every
    500th; here it is always the paper's n_critic = 5.

    Args:
        generator: as in `GAN`.
        discriminator: the critic; batch norm allowed.
        clip: c, half the side of the box.
        dynamics: None is 5 critic moves to each generator move.
        stabilizers: applied after the clipping.
        g_optimizer: as in `GAN`.
        d_optimizer: as in `GAN`.
        kwargs: the rest of `GAN`.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        clip: float = 0.01,
        dynamics: Dynamics | None = None,
        stabilizers: Sequence[Stabilizer] | None = None,
        g_optimizer: OptimizerCallable = lambda p: RMSprop(p, lr=5e-5, foreach=True),
        d_optimizer: OptimizerCallable = lambda p: RMSprop(p, lr=5e-5, foreach=True),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            dynamics=dynamics or Alternating(d_steps=5),
            stabilizers=[WeightClip(clip), *(stabilizers or ())],
            g_optimizer=g_optimizer,
            d_optimizer=d_optimizer,
            **kwargs,
        )

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """E D(G(z)) - E D(x)."""
        return d_fake.mean() - d_real.mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E D(G(z))."""
        return -d_fake.mean()
