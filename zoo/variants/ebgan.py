"""EBGAN: Zhao, Mathieu & LeCun 2017, "Energy-based Generative Adversarial Networks", equations 1, 2 and 5.

    L_D = E D(x) + E max(0, m - D(G(z)))
    L_G = E D(G(z)) + λ f_PT(S)
    f_PT(S) = 1/(N(N-1)) Σᵢ Σ_{j≠i} (cos(Sᵢ, Sⱼ))²

D is an autoencoder, its score an energy: how badly it reconstructs. S are its codes of the fakes. At the equilibrium
L_D = m (ibid., theorems 1 and 2).
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo import distributed
from zoo.gan import GAN
from zoo.optim import Adam
from zoo.types import Batch, Critic, Output, Terms


class EBGAN(GAN):
    """D learns to give real images low energy, and fakes an energy of at least m. With a `pt_weight`, EBGAN-PT.

    The margin is each fake's own: max(0, ·) stands inside the mean.

    Deviations: the paper's energy is the norm of the whole error image, and its margins (10 on MNIST; 20 on CelebA and
    80 on LSUN, as reimplementations have them) are for that; here an energy is a mean over C·H·W numbers, for which
    such margins are too large: D(G(z)) would stay below m, the hinge always open. A margin M on the norm is M²/CHW for
    `norm_power` 2 and about M/√CHW for `norm_power` 1: 0.36 for 10 on 28×28, 0.18 for 20 and 0.72 for 80 on 64×64 in
    colour. The default, 0.5, lies among them. Adam at 1e-3 is the paper's on MNIST; β₁ = 0.5 is DCGAN's. Codes are
    compared over all ranks.

    Args:
        discriminator: an autoencoder that returns energies, and its "code" (N, code_dim) among the features.
        margin: m, above 0, in units of the energy.
        pt_weight: λ, at least 0. The paper's EBGAN-PT has 0.1.
        kwargs: the rest of `GAN`.

    Raises:
        ValueError: for a margin or a weight out of range; with a `pt_weight`, on G's first turn, for a D that shows no
            code, or a batch of one image.

    Logs:
        loss/g/pulling_away: λ f_PT, with a `pt_weight`; f_PT is 0 for orthogonal codes and 1 where G makes one image.
    """

    default_optimizer = partial(Adam, lr=1e-3)
    energy_based = True

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, margin: float = 0.5, pt_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        if margin <= 0 or pt_weight < 0:
            raise ValueError(
                f"EBGAN: margin must be above 0 and pt_weight at least 0, got margin={margin}, pt_weight={pt_weight}"
            )
        super().__init__(generator, discriminator, **kwargs)
        self.margin, self.pt_weight = margin, pt_weight

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """E D(x) + E max(0, m - D(G(z)))."""
        return d_real.mean() + (self.margin - d_fake).relu().mean()

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """E D(G(z))."""
        return d_fake.mean()

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """The loss, and with a `pt_weight` the `pulling_away` term."""
        terms = super().g_terms(critic, batch, fake)
        if self.pt_weight:
            if "code" not in fake.features:
                raise ValueError(
                    "EBGAN: pt_weight needs a discriminator that shows its code; use zoo.backbones.Autoencoder"
                )
            terms["pulling_away"] = self.pt_weight * pulling_away(distributed.gather(fake.features["code"]))
        return terms


def pulling_away(codes: Tensor) -> Tensor:
    """f_PT: the mean squared cosine between different rows of codes (N, d), N ≥ 2; a scalar in [0, 1].

    0 if all are orthogonal, 1 if all lie on one line, on either side of 0; 1/d on average for Gaussian rows.
    """
    n = len(codes)
    if n < 2:
        raise ValueError(f"EBGAN: the pulling-away term compares codes, but there is {n}; deal at least 2 images")
    unit = F.normalize(codes.flatten(1))
    cosines = unit @ unit.T
    others = ~torch.eye(n, dtype=torch.bool, device=codes.device)
    return cosines[others].square().mean()
