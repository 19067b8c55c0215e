"""WGAN-GP: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", equation 3 and algorithm 1.

    L_D = E D(G(z)) - E D(x) + λ E (‖∇D(x̂)‖₂ - 1)²,   x̂ = αx + (1-α)G(z),  α ~ U[0, 1) for each sample
    L_G = -E D(G(z))

D is a critic: a real number, no sigmoid, no batch norm. At the optimum ‖∇D‖ is above 1, so E D(x) - E D(G(z))
overestimates W(P_r, P_g): for a linear critic by the factor 1 + ‖Δμ‖/(2λ), Δμ the difference of the means.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from zoo.dynamics import Alternating, Dynamics
from zoo.gan import GAN
from zoo.optim import Adam
from zoo.penalties import gradient_norm, penalty_points
from zoo.stabilizers.penalty import check_penalty
from zoo.types import Batch, Critic, Output, Terms


class WGANGP(GAN):
    """A gradient penalty keeps ‖∇D‖ near 1 between the data and the fakes.

    Deviations: none known. Adam at 1e-4 with β = (0, 0.9) as in algorithm 1; the authors' MNIST and toy scripts use
    (0.5, 0.9).

    Args:
        discriminator: the critic; layer norm or none.
        gp_weight: λ. The authors' toy experiments use 0.1.
        one_sided: penalise slopes above 1 only (ibid., section 4).
        kwargs: the rest of `GAN`.
    """

    default_optimizer = partial(Adam, lr=1e-4, beta1=0.0, beta2=0.9)
    double_backward = True

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, gp_weight: float = 10.0, one_sided: bool = False,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(generator, discriminator, **kwargs)
        check_penalty(self, gp_weight)
        self.gp_weight, self.one_sided = gp_weight, one_sided

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

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """The loss, and λ E (‖∇D(x̂)‖₂ - 1)² as `gradient_penalty`."""
        x = penalty_points("interpolates", batch.real, batch.fake, batch.noise)  # x̂ = αx + (1-α)G(z)
        norm = gradient_norm(lambda points: critic(points, "penalty").score, x)
        excess = (norm - 1).relu() if self.one_sided else norm - 1
        penalty = self.gp_weight * excess.square().mean()
        return super().d_terms(critic, batch, real, fake) | {"gradient_penalty": penalty}
