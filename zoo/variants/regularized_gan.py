"""Regularized GAN: Che et al. 2017, "Mode Regularized Generative Adversarial Networks", section 3.

    L_D = -E log D(x) - E log(1 - D(G(z)))
    L_E = λ₁ E d(x, x̃) - λ₂ E log D(x̃),   x̃ = G(E(x))
    L_G = -E log D(G(z)) + L_E

D(x) = σ(score), d the squared error. An encoder E finds a z for every x, so every mode of the data pulls on G. The
lectures print + λ₂ log D(x̃) in what is minimised, as the paper is remembered to: with that sign G and E would make x̃
less convincing.
"""

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.optim import Adam
from zoo.types import Batch, Critic, Terms, Turn
from zoo.variants._encoder import EncoderGAN


class RegularizedGAN(EncoderGAN):
    """G must also rebuild the data, and its reconstructions must convince D.

    G and E move together on L_G: what does not depend on E gives it no gradient, so E descends on L_E.

    Deviations: the paper was not re-read. λ₁ = 0.2 and λ₂ = 0.4 are the constants of a reimplementation, and the
    paper's as remembered; Adam at 1e-4 with β₁ = 0.5 is the reimplementation's.

    d is a sum over pixels. With a mean, what D says of x̃ outweighs it under G's one Adam: E sends every x to one z, and
    on digits the samples go dark within 1,200 batches.

    Args:
        encoder: x (N, ...) to z (N, latent_dim), not stochastic; its optimiser takes the generator's settings.
        lambda1: λ₁, at least 0.
        lambda2: λ₂, at least 0. With both at 0 it is the non-saturating GAN.
        kwargs: the rest of `GAN`.

    Logs:
        loss/g/reconstruction: λ₁ E d(x, x̃), a sum over pixels and a mean over images.
        loss/g/mode: -λ₂ E log D(x̃).

    Raises:
        ValueError: for a negative λ, a stochastic encoder, or one of another latent_dim than the generator's.
    """

    default_optimizer = partial(Adam, lr=1e-4)
    log_loss = True

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, encoder: nn.Module, *, lambda1: float = 0.2,
        lambda2: float = 0.4, **kwargs: Any,
    ) -> None:  # fmt: skip
        if lambda1 < 0 or lambda2 < 0:
            raise ValueError(f"RegularizedGAN: lambda1 and lambda2 must be at least 0, got {lambda1} and {lambda2}")
        super().__init__(generator, discriminator, encoder, **kwargs)
        self.lambda1, self.lambda2 = lambda1, lambda2

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), from logits."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E log D(G(z)), from logits."""
        return F.softplus(-d_fake).mean()

    def turns(self) -> tuple[Turn, ...]:
        """D; then G and E."""
        return Turn("d", ("d",), self.d_turn, side="d"), Turn("g", ("g", "e"), self.g_turn, side="g")

    def players(self) -> dict[str, nn.Module]:
        """D, G and E."""
        return {"d": self.discriminator, "g": self.generator, "e": self.encoder}

    def g_turn(self, critic: Critic, batch: Batch, name: str = "g") -> Terms:
        """G's terms, and what the encoder adds: `reconstruction` and `mode`."""
        rebuilt = self.generate(self.encoder(batch.real), batch.labels)
        return super().g_turn(critic, batch, name) | {
            "reconstruction": self.lambda1 * (rebuilt - batch.real).square().flatten(1).sum(1).mean(),
            "mode": self.lambda2 * self.g_loss(critic(rebuilt, "fake").score),
        }
