"""Unrolled GAN: Metz et al. 2017, "Unrolled Generative Adversarial Networks", equations 6 to 11.

    L_D = -E log D(x) - E log(1 - D(G(z)))
    L_G = -L_D at θ_D^K,   θ_D^{k+1} = θ_D^k - η ∇L_D(θ_D^k),   θ_D^0 = θ_D

D(x) = σ(score). G's gradient goes through the K steps; D's own move is one ordinary step from θ_D. For K = 0 this is
the minimax game.
"""

from functools import partial
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.dynamics import Dynamics, Unrolled
from zoo.gan import GAN
from zoo.optim import Adam
from zoo.types import Batch, Critic, Output, Terms


class UnrolledGAN(GAN):
    """G minimises its loss against D after K unrolled steps.

    Deviations: none known. The inner steps are those of D's Adam, as in the paper's experiments, from its present
    moments; `Unrolled(lr=...)` takes the plain gradient steps of the paper's equations. Adam at 1e-4 with β₁ = 0.5 is a
    replication's reading of the paper's appendix, which was not read again here.

    Args:
        discriminator: as in `GAN`; smooth or ReLU, without gradient penalties for the paper's game.
        objective: `minimax`, the paper's; or `non_saturating`, -E log D(G(z)) at θ_D^K.
        kwargs: the rest of `GAN`.

    Raises:
        ValueError: for an unknown objective.
    """

    default_optimizer = partial(Adam, lr=1e-4)
    log_loss = True

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *,
        objective: Literal["minimax", "non_saturating"] = "minimax", **kwargs: Any,
    ) -> None:  # fmt: skip
        if objective not in ("minimax", "non_saturating"):
            raise ValueError(f"UnrolledGAN: unknown objective {objective!r}; choose from minimax, non_saturating")
        super().__init__(generator, discriminator, **kwargs)
        self.objective = objective

    def default_dynamics(self) -> Dynamics:
        """5 steps of foresight."""
        return Unrolled(k=5)

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), from logits."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """E log(1 - D(G(z))), or -E log D(G(z)), from logits."""
        return -F.softplus(d_fake).mean() if self.objective == "minimax" else F.softplus(-d_fake).mean()

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """All of -L_D for `minimax`: the real images' part depends on G too, through D's steps."""
        if self.objective == "non_saturating":
            return super().g_terms(critic, batch, fake)
        return {"adversarial": -self.d_loss(critic(batch.real, "real").score, fake.score)}
