"""WGAN-GP: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", equation 3 and algorithm 1.

    L_D = E D(G(z)) - E D(x) + λ E (‖∇D(x̂)‖₂ - 1)²,   x̂ = αx + (1-α)G(z),  α ~ U[0, 1] for each sample
    L_G = -E D(G(z))

D is a critic: a real number, no sigmoid, no batch norm. The penalty's optimum has a slope above 1, so -L_D without the
penalty overestimates W(P_r, P_g); for a linear critic by a factor of 1 + ‖Δμ‖/(2λ).
"""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from zoo.dynamics import Alternating, Dynamics
from zoo.gan import GAN
from zoo.optim import Adam
from zoo.stabilizers import GradientPenalty, Stabilizer


class WGANGP(GAN):
    """The critic's slope is held near 1 between the data and the fakes.

    Deviations: none known. Adam at 1e-4 with β = (0, 0.9) as in algorithm 1; the authors' MNIST and toy scripts use
    (0.5, 0.9).

    Args:
        generator: as in `GAN`.
        discriminator: the critic; layer norm or none.
        gp_weight: λ. The authors' toy experiments use 0.1.
        one_sided: penalise slopes above 1 only (ibid., section 4).
        dynamics: None is 5 critic moves to each generator move.
        stabilizers: applied after the penalty.
        g_optimizer: as in `GAN`.
        d_optimizer: as in `GAN`.
        kwargs: the rest of `GAN`.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        gp_weight: float = 10.0,
        one_sided: bool = False,
        dynamics: Dynamics | None = None,
        stabilizers: Sequence[Stabilizer] | None = None,
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-4, beta1=0.0, beta2=0.9),
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-4, beta1=0.0, beta2=0.9),
        **kwargs: Any,
    ) -> None:
        penalty = GradientPenalty(gp_weight, where="interpolates", target="one_sided" if one_sided else "two_sided")
        super().__init__(
            generator,
            discriminator,
            dynamics=dynamics or Alternating(d_steps=5),
            stabilizers=[penalty, *(stabilizers or ())],
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
