"""WGAN: Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", algorithm 1.

    L_D = E D(G(z)) - E D(x),   all weights of D in [-c, c]
    L_G = -E D(G(z))

D is a critic: a real number, no sigmoid. -L_D estimates K·W(P_r, P_g), for an unknown Lipschitz constant K.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

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
        discriminator: the critic; batch norm allowed.
        clip: c, half the side of the box.
        stabilizers: applied after the clipping.
        kwargs: the rest of `GAN`.
    """

    default_optimizer = partial(RMSprop, lr=5e-5, foreach=True)

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, clip: float = 0.01,
        stabilizers: Sequence[Stabilizer] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(generator, discriminator, stabilizers=[WeightClip(clip), *(stabilizers or ())], **kwargs)

    def default_dynamics(self) -> Dynamics:
        """5 critic moves to each generator move."""
        return Alternating(d_steps=5)

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """E D(G(z)) - E D(x)."""
        return d_fake.mean() - d_real.mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E D(G(z))."""
        return -d_fake.mean()
