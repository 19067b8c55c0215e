"""Hinge GAN: Lim & Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral Normalization for GANs", section 4.

    L_D = E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))
    L_G = -E D(G(z))

D is a real number, no sigmoid. It stops learning from real images above 1 and from fakes below -1.
"""

from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from zoo.dynamics import Alternating, Dynamics
from zoo.gan import GAN
from zoo.optim import Adam


class HingeGAN(GAN):
    """What SNGAN uses on CIFAR-10, without its spectral norm: for that, add the stabilizer `SpectralNorm`.

    Deviations: none known in the losses. Adam at 2e-4 with β = (0, 0.9) and 5 moves of D are the CIFAR-10 settings of
    Miyato et al.'s code, which also doubles G's batch, moves G first in each round, and lets the rates fall to 0.

    Args:
        generator: as in `GAN`.
        discriminator: as in `GAN`.
        dynamics: None is 5 discriminator moves to each generator move.
        g_optimizer: as in `GAN`.
        d_optimizer: as in `GAN`.
        kwargs: the rest of `GAN`.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        dynamics: Dynamics | None = None,
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=2e-4, beta1=0.0, beta2=0.9),
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=2e-4, beta1=0.0, beta2=0.9),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            dynamics=dynamics or Alternating(d_steps=5),
            g_optimizer=g_optimizer,
            d_optimizer=d_optimizer,
            **kwargs,
        )

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
        return (1 - d_real).relu().mean() + (1 + d_fake).relu().mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E D(G(z))."""
        return -d_fake.mean()
