"""ALI: Dumoulin et al. 2017, "Adversarially Learned Inference", equation 1 and algorithm 1.

    L_D   = -E log D(x, E(x)) - E log(1 - D(G(z), z))
    L_G,E = -E log(1 - D(x, E(x))) - E log D(G(z), z)

D(x, z) = σ(score) tells pairs (x, z ~ q(z|x)) from pairs (G(z), z). The optimal D is q(x, z) / (q(x, z) + p(x, z)); at
the equilibrium q = p, and the encoder inverts the generator in distribution.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.optim import Adam
from zoo.types import Batch, Critic, Role, Terms
from zoo.variants._encoder import EncoderGAN


class ALI(EncoderGAN):
    """A generator and an encoder against one discriminator of pairs.

    G and E are one player with one optimiser, as in the authors' code. Their loss is the non-saturating one of that
    code, which swaps the two labels in L_D. Adam at 1e-4 with β₁ = 0.5, also from there.

    Deviations: the authors update both sides from one forward pass (`zoo.dynamics.Simultaneous`), here D moves first.
    Each scoring of the data draws its own sample of q(z|x). Instance noise falls on x, not on z.

    Args:
        discriminator: of pairs (x, z), such as `zoo.backbones.PairDiscriminator`.
        encoder: x (N, ...) to mean and log variance, each (N, latent_dim); moves with the generator.
        kwargs: the rest of `GAN`. A gradient penalty is refused: points between the pairs have no z of their own.

    Logs:
        loss/g/adversarial: -E log D(G(z), z), G's term.
        loss/g/encoder: -E log(1 - D(x, E(x))), E's term.

    Raises:
        ValueError: for a discriminator of images alone, an encoder that is not stochastic, a gradient penalty, or a
            latent_dim that differs from the generator's.
    """

    default_optimizer = partial(Adam, lr=1e-4)
    paired = True
    stochastic_encoder = True
    log_loss = True

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x, E(x)) - E log(1 - D(G(z), z)), from logits."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E log D(G(z), z), from logits: the generator's part."""
        return F.softplus(-d_fake).mean()

    @staticmethod
    def e_loss(d_real: Tensor) -> Tensor:
        """-E log(1 - D(x, E(x))), from logits: the encoder's part."""
        return F.softplus(d_real).mean()

    def encode(self, batch: Batch) -> Tensor:
        """A sample of q(z|x), (N, latent_dim), reparametrised."""
        mean, log_variance = self.encoder(batch.real)
        return mean + (log_variance / 2).exp() * batch.noise.normal(*mean.shape, dtype=mean.dtype)

    def given(self, batch: Batch, role: Role) -> tuple[Tensor, ...]:
        """The z that goes with an image."""
        return (self.encode(batch) if role == "real" else batch.z,)

    def players(self) -> dict[str, nn.Module]:
        """D, and G with E."""
        return {"d": self.discriminator, "g": nn.ModuleList([self.generator, self.encoder])}

    def g_turn(self, critic: Critic, batch: Batch, name: str = "g") -> Terms:
        """G's terms, and the encoder's."""
        terms = super().g_turn(critic, batch, name)
        return terms | {"encoder": self.e_loss(critic(batch.real, "real").score)}
