"""DRAGAN: Kodali et al. 2017, "On Convergence and Stability of GANs".

    L_D = -E log D(x) - E log(1 - D(G(z))) + λ E (‖∇D(x + δ)‖₂ - k)²
    L_G = -E log D(G(z))

D(x) = σ(score); the gradient is the score's. The points x + δ lie near real data only.
"""

from functools import partial
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.gan import GAN
from zoo.optim import Adam
from zoo.penalties import gradient_norm, penalty_points
from zoo.stabilizers.penalty import check_penalty
from zoo.types import Batch, Critic, Output, Terms


class DRAGAN(GAN):
    """A gradient penalty keeps ‖∇D‖ near k at points close to the data.

    Deviations: the lectures' table prints the minimax loss for G; the authors' code minimises -log D(G(z)), and so
    does this. δ is as in that code, α·½·std(batch)·U[0, 1) with one α ~ U[0, 1) a sample; the paper's text says
    N(0, cI), which is `neighbourhood: near_real_gaussian`. That text was not re-read here; the constants are the
    code's. std(batch) is over the images of all ranks.

    Args:
        discriminator: layer norm or none.
        gp_weight: λ.
        k: the norm wanted.
        one_sided: the lectures' form, max(0, ‖∇D‖² - k): a hinge on the squared norm.
        neighbourhood: `near_real` or `near_real_gaussian`, see `zoo.penalties.penalty_points`.
        scale: ½ in the formula for δ; √c for the Gaussian.
        kwargs: the rest of `GAN`.
    """

    default_optimizer = partial(Adam, lr=1e-4, beta1=0.5, beta2=0.9)
    log_loss = True
    double_backward = True

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, gp_weight: float = 10.0, k: float = 1.0,
        one_sided: bool = False, neighbourhood: Literal["near_real", "near_real_gaussian"] = "near_real",
        scale: float = 0.5, **kwargs: Any,
    ) -> None:  # fmt: skip
        if neighbourhood not in ("near_real", "near_real_gaussian"):
            raise ValueError(
                f"DRAGAN: unknown neighbourhood {neighbourhood!r}; choose from near_real, near_real_gaussian"
            )
        super().__init__(generator, discriminator, **kwargs)
        check_penalty(self, gp_weight)
        self.gp_weight, self.k, self.one_sided = gp_weight, k, one_sided
        self.neighbourhood, self.scale = neighbourhood, scale

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), from logits."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E log D(G(z)), from logits."""
        return F.softplus(-d_fake).mean()

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """The loss, and λ E (‖∇D(x + δ)‖₂ - k)² as `gradient_penalty`."""
        x = penalty_points(self.neighbourhood, batch.real, batch.fake, batch.noise, scale=self.scale)  # x + δ
        norm = gradient_norm(lambda points: critic(points, "penalty").score, x)
        penalty = (norm.square() - self.k).relu() if self.one_sided else (norm - self.k).square()
        return super().d_terms(critic, batch, real, fake) | {"gradient_penalty": self.gp_weight * penalty.mean()}
