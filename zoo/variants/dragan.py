"""DRAGAN: Kodali et al. 2017, "On Convergence and Stability of GANs".

    L_D = -E log D(x) - E log(1 - D(G(z))) + λ E (‖∇D(x + δ)‖₂ - k)²
    L_G = -E log D(G(z))

D(x) = σ(score); the gradient is the score's. The points x + δ lie near real data only.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from zoo.gan import GAN
from zoo.optim import Adam
from zoo.stabilizers import GradientPenalty, Stabilizer


class DRAGAN(GAN):
    """The discriminator is kept gentle around the data.

    Deviations: the lectures' table prints the minimax loss for G; the authors' code minimises -log D(G(z)), and so
    does this. δ is as in that code, α·½·std(batch)·U[0, 1) with one α ~ U[0, 1) a sample; the paper's text says
    N(0, cI), which is `neighbourhood: near_real_gaussian`. That text was not re-read here; the constants are the
    code's. std(batch) is over the images of all ranks.

    Args:
        generator: as in `GAN`.
        discriminator: layer norm or none.
        gp_weight: λ.
        k: the norm wanted.
        one_sided: the lectures' form, max(0, ‖∇D‖² - k): a hinge on the squared norm.
        neighbourhood: `near_real` or `near_real_gaussian`, see `zoo.penalties.penalty_point`.
        scale: ½ in the formula for δ; √c for the Gaussian.
        stabilizers: applied after the penalty.
        g_optimizer: as in `GAN`.
        d_optimizer: as in `GAN`.
        kwargs: the rest of `GAN`.
    """

    log_loss = True

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        gp_weight: float = 10.0,
        k: float = 1.0,
        one_sided: bool = False,
        neighbourhood: Literal["near_real", "near_real_gaussian"] = "near_real",
        scale: float = 0.5,
        stabilizers: Sequence[Stabilizer] | None = None,
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-4, beta1=0.5, beta2=0.9),
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-4, beta1=0.5, beta2=0.9),
        **kwargs: Any,
    ) -> None:
        if neighbourhood not in ("near_real", "near_real_gaussian"):
            raise ValueError(
                f"DRAGAN: unknown neighbourhood {neighbourhood!r}; choose from near_real, near_real_gaussian"
            )
        penalty = GradientPenalty(
            gp_weight,
            where=neighbourhood,
            target="squared_hinge" if one_sided else "two_sided",
            k=k,
            scale=scale,
        )
        super().__init__(
            generator,
            discriminator,
            stabilizers=[penalty, *(stabilizers or ())],
            g_optimizer=g_optimizer,
            d_optimizer=d_optimizer,
            **kwargs,
        )

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), from logits."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E log D(G(z)), from logits."""
        return F.softplus(-d_fake).mean()
