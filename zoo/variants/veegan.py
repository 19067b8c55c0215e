"""VEEGAN: Srivastava et al. 2017, "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning".

    L_D   = -E log D(x, F(x)) - E log(1 - D(G(z), z))
    L_G,F = -E score(G(z), z) + E‖z - F(G(z))‖²

D(x, z) = σ(score). The reconstructor F leads from x back to z: where G drops a mode, D tells the F(x) of its data from
z ~ N(0, I). The reconstruction is one of z, so no distance of images is needed.
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.types import Batch, Critic, Output, Role, Terms
from zoo.variants._encoder import EncoderGAN


class VEEGAN(EncoderGAN):
    """Pairs as in ALI, but F learns from the reconstruction alone, and G's loss is linear in the score (algorithm 1).

    G and F are one player with one optimiser.

    Deviations: the sign of the score is that of the other variants, so that D(x, F(x)) is to be high. F is
    deterministic, as in the authors' notebook on MNIST; in the paper its output is the mean of a distribution that is
    sampled. D moves first, then G and F; in the paper all move at once. Adam at 2e-4 with β₁ = 0.5, which the
    notebook has at 1e-3 with β₁ = 0.7 for its perceptrons.

    Args:
        discriminator: of pairs (x, z), such as `zoo.backbones.PairDiscriminator`.
        encoder: F, x (N, ...) to z (N, latent_dim), not stochastic; moves with the generator.
        kwargs: the rest of `GAN`. A gradient penalty is refused: points between the pairs have no z of their own.

    Logs:
        loss/g/adversarial: -E score(G(z), z).
        loss/g/reconstruction: E‖z - F(G(z))‖², summed over z's numbers.

    Raises:
        ValueError: for a discriminator of images alone, a stochastic encoder, a gradient penalty, or a latent_dim that
            differs from the generator's.
    """

    paired: ClassVar[bool] = True
    log_loss: ClassVar[bool] = True

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x, F(x)) - E log(1 - D(G(z), z)), from logits."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E score(G(z), z)."""
        return -d_fake.mean()

    def given(self, batch: Batch, role: Role) -> tuple[Tensor, ...]:
        """The z that goes with an image."""
        return (self.encoder(batch.real) if role == "real" else batch.z,)

    def players(self) -> dict[str, nn.Module]:
        """D, and G with F."""
        return {"d": self.discriminator, "g": nn.ModuleList([self.generator, self.encoder])}

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """G's loss, and the `reconstruction` of z."""
        rebuilt = self.encoder(batch.fake)
        reconstruction = (batch.z - rebuilt).square().sum(1).mean()
        return super().g_terms(critic, batch, fake) | {"reconstruction": reconstruction}
