"""MDGAN: Che et al. 2017, "Mode Regularized Generative Adversarial Networks", section 3.3 and algorithm 1.

    L_D1   = -E log D1(x) - E log(1 - D1(x̃)),   x̃ = G(E(x))
    L_G1,E = E‖x - x̃‖² - λ E log D1(x̃)
    L_D2   = -E log D2(x̃) - E log(1 - D2(G(z)))
    L_G2   = -E log D2(G(z))

D(x) = σ(score). The manifold step (D1; G and E) brings reconstructions to the data, the diffusion step (D2; G) spreads
the samples over the reconstructions. The lectures write G's losses as objectives to maximise, D2(z)
for D2(G(z)), and an encoder loss of another method; here E moves in the manifold step, on L_G1,E.
"""

from dataclasses import replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.types import Batch, Critic, Terms, Turn
from zoo.variants._encoder import EncoderGAN


class MDGAN(EncoderGAN):
    """Manifold and diffusion: an encoder and two discriminators, four moves a round.

    D1, G and E, and D2 make x̃ anew in their moves; D2 and the last move of G draw new latents. G is one player with
    one optimiser for both of its moves, and its EMA follows both. Stabilizers act in every turn and see x̃ as the fakes
    of the manifold step and as the data of the diffusion step; in G's manifold turn their terms are weighed by λ too.

    ‖x - x̃‖² is a sum over pixels. G's one Adam scales its step by the larger of its two gradients: with a mean, the
    reconstruction hardly moves G on images, and its samples stay noise.

    Deviations: λ = 0.01 and the four steps are as remembered, and whether the paper's G has one optimiser or two is not
    known. The default is Adam as in DCGAN (Radford et al. 2016).

    Args:
        discriminator: D1, tells data from reconstructions.
        diffusion_discriminator: D2, tells reconstructions from samples.
        encoder: x (N, ...) to z (N, latent_dim), not stochastic; its optimiser takes the generator's settings.
        weight: λ, at least 0.
        kwargs: the rest of `GAN`.

    Logs:
        loss/g1/reconstruction: E‖x - x̃‖², a sum over pixels and a mean over images.
        loss/g1/adversarial: -λ E log D1(x̃).

    Raises:
        ValueError: for a negative weight, a stochastic encoder or one of another latent_dim than the generator's, and a
            second discriminator that is the first or returns energies.
    """

    diffusion_discriminator: nn.Module
    log_loss = True

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, diffusion_discriminator: nn.Module, encoder: nn.Module, *,
        weight: float = 1e-2, **kwargs: Any,
    ) -> None:  # fmt: skip
        if weight < 0:
            raise ValueError(f"MDGAN: weight must be at least 0, got {weight}")
        if diffusion_discriminator is discriminator or getattr(diffusion_discriminator, "energy", False):
            raise ValueError(
                f"MDGAN cannot use this {type(diffusion_discriminator).__name__} as its diffusion_discriminator: "
                "it needs scores, not energies, from a network of its own"
            )
        networks = {"diffusion_discriminator": diffusion_discriminator}
        super().__init__(generator, discriminator, encoder, networks=networks, **kwargs)
        self.weight = weight

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(x̃)), from logits; for D2, of x̃ and G(z)."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E log D(G(z)), from logits; for D1, of x̃."""
        return F.softplus(-d_fake).mean()

    def turns(self) -> tuple[Turn, ...]:
        """D1; G and E; D2; G."""
        return (
            Turn("d1", ("d1",), self.manifold_d_turn, side="d", samples=False),
            Turn("g1", ("g", "e"), self.manifold_g_turn, side="g", samples=False),
            Turn("d2", ("d2",), self.diffusion_d_turn, side="d", samples=False),
            Turn("g2", ("g",), self.diffusion_g_turn, side="g"),
        )

    def players(self) -> dict[str, nn.Module]:
        """Two discriminators, G and E."""
        return {"d1": self.discriminator, "d2": self.diffusion_discriminator, "g": self.generator, "e": self.encoder}

    def discriminators(self) -> tuple[nn.Module, ...]:
        """Both discriminators."""
        return (self.discriminator, self.diffusion_discriminator)

    # Each turn makes a batch of its own, with x̃ for its fakes or its data, and binds its discriminator to that.

    def rebuild(self, batch: Batch) -> Tensor:
        """x̃ = G(E(x)), shaped like x; without a graph where G and E are frozen."""
        return self.generate(self.encoder(batch.real), batch.labels)

    def manifold_d_turn(self, critic: Critic, batch: Batch) -> Terms:
        """D1's terms: x against x̃."""
        batch = replace(batch, fake=self.rebuild(batch))
        return self.d_turn(self.bind(batch), batch, "d1")

    def manifold_g_turn(self, critic: Critic, batch: Batch) -> Terms:
        """The terms of G and E: ‖x - x̃‖² and -λ E log D1(x̃)."""
        batch = replace(batch, fake=self.rebuild(batch))
        terms = self.g_turn(self.bind(batch), batch, "g1")
        return {
            "reconstruction": (batch.real - batch.fake).square().flatten(1).sum(1).mean(),
            **{name: self.weight * term for name, term in terms.items()},
        }

    def diffusion_d_turn(self, critic: Critic, batch: Batch) -> Terms:
        """D2's terms: x̃ against G(z)."""
        z = self.sample_latent(len(batch.real), batch.noise)
        batch = replace(batch, real=self.rebuild(batch), z=z, fake=self.generate(z, batch.labels))
        return self.d_turn(self.bind(batch, self.diffusion_discriminator), batch, "d2")

    def diffusion_g_turn(self, critic: Critic, batch: Batch) -> Terms:
        """G's terms: -E log D2(G(z))."""
        return self.g_turn(self.bind(batch, self.diffusion_discriminator), batch, "g2")
