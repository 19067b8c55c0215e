"""InfoGAN: Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing GANs", eq. 6.

    L_D = -E log D(x) - E log(1 - D(G(z, c))) - λ L_I
    L_G = -E log D(G(z, c)) - λ L_I,   L_I = E log Q(c|G(z, c)) + H(c)

D(x) = σ(score). L_I is a lower bound of the information that G(z, c) has of its code c. Q, which guesses the code,
shares D's layers but the last and moves with D.
"""

import math
from copy import deepcopy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.gan import GAN
from zoo.noise import Noise
from zoo.optim import Adam
from zoo.types import Batch, Critic, Output, Terms


class InfoGAN(GAN):
    """A generator whose codes mean something: one class in `categorical`, and `continuous` numbers in [-1, 1).

    z = (noise, one-hot class, continuous codes), all uniform; noise is what is left of latent_dim, 62 of 74 in the
    authors' MNIST script. Q outputs class logits, and the means of Gaussians with σ = 1, as there. H(c)
    is a constant: ln `categorical` and ln 2 for each continuous code. What can be learned of the latter is bounded,
    since σ is fixed.

    Deviations: no batch norm in Q. G's loss is the non-saturating one, as in the authors' code; the paper writes the
    minimax game. Adam's β₂ = 0.999 is TensorFlow's default, which that code leaves as it is.

    Args:
        generator: as in `GAN`, unconditional, with latent_dim above categorical + continuous.
        discriminator: unconditional, with "hidden" (N, width) among the features.
        categorical: number of classes, at least 2.
        continuous: number of continuous codes, at least 0.
        info_weight: λ, at least 0.
        kwargs: the rest of `GAN`.

    Raises:
        ValueError: for sizes out of range, a latent_dim too small, labels, or a D without such a feature.

    Logs:
        loss/d/information: -λ L_I, L_I in nats; for the class alone it falls from 0 to -λ ln `categorical`.
        loss/g/information: the same, on G's turn.
    """

    default_optimizer = partial(Adam, lr=2e-4)
    default_g_optimizer = partial(Adam, lr=1e-3)
    log_loss = True
    q: nn.Module

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, categorical: int = 10, continuous: int = 2,
        info_weight: float = 1.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        name, latent_dim = type(self).__name__, getattr(generator, "latent_dim", 0)
        if categorical < 2 or continuous < 0 or info_weight < 0:
            raise ValueError(
                f"{name}: categorical must be at least 2, continuous and info_weight at least 0, "
                f"got {categorical}, {continuous} and {info_weight}"
            )
        if any(getattr(net, "num_classes", None) is not None for net in (generator, discriminator)):
            raise ValueError(f"{name}: it finds classes without labels; leave num_classes of both networks out")
        if latent_dim <= categorical + continuous:
            raise ValueError(
                f"{name}: {type(generator).__name__} has latent_dim {latent_dim}, but {categorical} classes and "
                f"{continuous} continuous codes must leave at least 1 for noise; "
                f"give it {categorical + continuous + 1} or more"
            )
        hidden = _hidden_dim(generator, discriminator)
        q = nn.Sequential(nn.Linear(hidden, 128), nn.LeakyReLU(0.1), nn.Linear(128, categorical + continuous))
        super().__init__(generator, discriminator, networks={"q": q}, **kwargs)
        self.categorical, self.continuous, self.info_weight = categorical, continuous, info_weight
        self.noise_dim = latent_dim - categorical - continuous

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z, c))), from logits."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E log D(G(z, c)), from logits."""
        return F.softplus(-d_fake).mean()

    def players(self) -> dict[str, nn.Module]:
        """Q moves with D."""
        return {"d": nn.ModuleList([self.discriminator, self.q]), "g": self.generator}

    def sample_latent(self, n: int, noise: Noise) -> Tensor:
        """Latents z = (noise, one-hot class, continuous codes), (n, latent_dim)."""
        return self.latent(n, noise)

    def latent(
        self, n: int, noise: Noise, *, category: int | Tensor | None = None, codes: Tensor | None = None
    ) -> Tensor:
        """Latents with a code of your choice, (n, latent_dim): for `sample(n, z=gan.latent(n, Noise(0), category=3))`.

        Args:
            n: how many.
            noise: where the rest comes from, the same whatever is chosen.
            category: one class for all, or (n,), int64; drawn if None.
            codes: (n, continuous), or (continuous,) for all, in [-1, 1]; drawn if None.
        """
        u = noise.uniform(n, self.noise_dim + 1 + self.continuous, dtype=self.latent_dtype)
        drawn = (u[:, self.noise_dim] * self.categorical).long()
        chosen = drawn if category is None else torch.as_tensor(category, device=u.device).expand(n)
        one_hot = chosen[:, None] == torch.arange(self.categorical, device=u.device)  # F.one_hot reads the device
        other = 2 * u - 1
        values = other[:, self.noise_dim + 1 :] if codes is None else codes.to(other).expand(n, self.continuous)
        return torch.cat([other[:, : self.noise_dim], one_hot.to(other), values], 1)

    def information(self, z: Tensor, fake: Output) -> Tensor:
        """L_I in nats, from what Q says of fakes made from z (n, latent_dim); a scalar."""
        codes = z[:, self.noise_dim :]
        said = self.q(fake.features["hidden"])
        log_class = (said[:, : self.categorical].log_softmax(1) * codes[:, : self.categorical]).sum(1)
        squares = (said[:, self.categorical :] - codes[:, self.categorical :]).square().sum(1)
        log_values = -squares / 2 - self.continuous * math.log(2 * math.pi) / 2
        return (log_class + log_values).mean() + math.log(self.categorical) + self.continuous * math.log(2)

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """The log loss, and -λ L_I as `information`."""
        information = -self.info_weight * self.information(batch.z, fake)
        return super().d_terms(critic, batch, real, fake) | {"information": information}

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """The log loss, and -λ L_I as `information`."""
        information = -self.info_weight * self.information(batch.z, fake)
        return super().g_terms(critic, batch, fake) | {"information": information}


@torch.no_grad()
def _hidden_dim(generator: nn.Module, discriminator: nn.Module) -> int:
    """The width of the layer that Q shares, from one image."""
    g, d = deepcopy(generator).eval(), deepcopy(discriminator).eval()
    z = torch.zeros(1, g.latent_dim, dtype=next(g.parameters()).dtype)  # type: ignore[call-overload]
    out = d(g(z))
    hidden = out[1].get("hidden") if isinstance(out, tuple) else None
    if hidden is None or hidden.ndim != 2:
        raise ValueError(
            f"InfoGAN: {type(discriminator).__name__} must show a feature 'hidden' of shape (N, width), which Q "
            "shares; use a discriminator of zoo.backbones"
        )
    return int(hidden.shape[1])
