"""Hinge GAN: Lim & Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral Normalization for GANs", section 4.

    L_D = E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))
    L_G = -E D(G(z))

D is a real number, no sigmoid. It stops learning from real images above 1 and from fakes below -1.
"""

from functools import partial

from torch import Tensor

from zoo.dynamics import Alternating, Dynamics
from zoo.gan import GAN
from zoo.optim import Adam


class HingeGAN(GAN):
    """What SNGAN uses on CIFAR-10, without its spectral norm: for that, add the stabilizer `SpectralNorm`.

    Deviations: none known in the losses. Adam at 2e-4 with β = (0, 0.9) and 5 moves of D are the CIFAR-10 settings of
    Miyato et al.'s code, which also doubles G's batch, moves G first in each round, and lets the rates fall to 0.
    """

    default_optimizer = partial(Adam, lr=2e-4, beta1=0.0, beta2=0.9)

    def default_dynamics(self) -> Dynamics:
        """5 discriminator moves to each generator move."""
        return Alternating(d_steps=5)

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
        return (1 - d_real).relu().mean() + (1 + d_fake).relu().mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E D(G(z))."""
        return -d_fake.mean()
