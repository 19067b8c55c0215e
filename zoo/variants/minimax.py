"""Minimax GAN: Goodfellow et al. 2014, "Generative Adversarial Nets", equation 1.

    L_D = -E log D(x) - E log(1 - D(G(z)))
    L_G =  E log(1 - D(G(z)))

D(x) = σ(score). L_G saturates: where D is sure that a fake is fake, its gradient vanishes.
"""

import torch.nn.functional as F
from torch import Tensor

from zoo.gan import GAN


class MinimaxGAN(GAN):
    """The zero-sum game itself.

    Deviations: the paper trains by SGD with momentum; the default here is Adam as in DCGAN (Radford et al. 2016).
    """

    log_loss = True

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), from logits."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """E log(1 - D(G(z))), from logits."""
        return -F.softplus(d_fake).mean()
