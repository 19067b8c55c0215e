"""Non-saturating GAN: Goodfellow et al. 2014, "Generative Adversarial Nets", section 3.

    L_D = -E log D(x) - E log(1 - D(G(z)))
    L_G = -E log D(G(z))

D(x) = σ(score). The same fixed point as the minimax game, with a gradient for G where D is sure.
"""

import torch.nn.functional as F
from torch import Tensor

from zoo.gan import GAN


class NSGAN(GAN):
    """What most papers mean by "GAN".

    Deviations: the paper trains by SGD with momentum; the default here is Adam as in DCGAN (Radford et al. 2016).
    """

    log_loss = True

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), from logits."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """-E log D(G(z)), from logits."""
        return F.softplus(-d_fake).mean()
