"""BEGAN: Berthelot, Schumm & Metz 2017, "BEGAN: Boundary Equilibrium Generative Adversarial Networks", section 3.

    L_D = ℓ(x) - k ℓ(G(z_D)),   ℓ(v) = mean over pixels of |v - D(v)|^η
    L_G = ℓ(G(z_G))
    k   ← clip(k + λ_k (γ ℓ(x) - ℓ(G(z_G))), 0, 1)

D is an autoencoder and its score the energy ℓ. M = ℓ(x) + |γ ℓ(x) - ℓ(G(z_G))| measures convergence.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zoo import distributed
from zoo.gan import GAN
from zoo.noise import Noise
from zoo.optim import Adam
from zoo.types import Turn


class BEGAN(GAN):
    """D learns to reconstruct real images well and fakes badly; k weighs the two to keep ℓ(G(z)) / ℓ(x) at γ.

    Deviations: none known in the losses. z is uniform on [-1, 1). Adam at 8e-5 with β = (0.9, 0.999), the values that a
    widely used reimplementation really runs with; the paper's, as reimplementations quote it, is 1e-4, halved when M
    stalls. All means, k and M are over all ranks.

    Args:
        generator: as in `GAN`; in the paper the same network as the autoencoder's decoder.
        discriminator: an autoencoder that returns energies; its `norm_power` is η.
        gamma: the ratio ℓ(G(z)) / ℓ(x) aimed for; lower gives less diversity.
        lambda_k: learning rate of k.
        kwargs: the rest of `GAN`.

    Raises:
        ValueError: for a negative gamma or lambda_k, or a discriminator that returns no energies.

    Logs:
        began/k: k, in [0, 1]: the weight of the fakes in L_D.
        began/convergence: M; it falls as the run converges.
    """

    default_optimizer = partial(Adam, lr=8e-5, beta1=0.9)
    energy_based = True
    k: Tensor

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, gamma: float = 0.5, lambda_k: float = 1e-3,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        if gamma < 0 or lambda_k < 0:
            raise ValueError(f"BEGAN: gamma and lambda_k must be at least 0, got {gamma} and {lambda_k}")
        super().__init__(generator, discriminator, **kwargs)
        self.gamma, self.lambda_k = gamma, lambda_k
        self.register_buffer("k", torch.zeros(()))

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """ℓ(x) - k ℓ(G(z_D))."""
        return d_real.mean() - self.k * d_fake.mean()

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """ℓ(G(z_G))."""
        return d_fake.mean()

    def sample_latent(self, n: int, noise: Noise) -> Tensor:
        """Latents z, (n, latent_dim), uniform on [-1, 1)."""
        return 2 * noise.uniform(n, self.latent_dim, dtype=self.latent_dtype) - 1

    def update_k(self, loss_real: Tensor, loss_fake: Tensor) -> Tensor:
        """Move k by one step and clip it to [0, 1]; returns M.

        Both losses are scalars over all ranks; where one is not finite, k stays.
        """
        balance = self.gamma * loss_real - loss_fake
        self.k.add_(self.lambda_k * balance.nan_to_num(0, 0, 0)).clamp_(0, 1)
        return loss_real + balance.abs()

    def after_turn(self, turn: Turn) -> None:
        """After the generator's turn, k follows ℓ(x) of the last D turn and ℓ(G(z_G)) of this one."""
        if turn.name == "g":
            loss_real = distributed.mean(self.outputs["d"]["real"].score.mean())
            loss_fake = distributed.mean(self.outputs["g"]["fake"].score.mean())
            self.latest["began/convergence"] = self.update_k(loss_real, loss_fake)
            self.latest["began/k"] = self.k
