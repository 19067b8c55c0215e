"""LSGAN: Mao et al. 2017, "Least Squares Generative Adversarial Networks", equation 2.

    L_D = ½ E (D(x) - b)² + ½ E (D(G(z)) - a)²
    L_G = ½ E (D(G(z)) - c)²

a is the target of fakes, b that of real images, c what G wants D to say. D is linear at its end.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from zoo.gan import GAN
from zoo.optim import Adam


class LSGAN(GAN):
    """Regression to targets in place of classification.

    Deviations: z is N(0, I), the authors' is uniform on [-1, 1]. The default is the paper's 0-1 coding (equation 9);
    (-1, 1, 0) is its equation 8, for which the game minimises a Pearson χ² divergence. Adam at 1e-3 with β₁ = 0.5 as in
    the authors' code.

    Args:
        a: target of fakes.
        b: target of real images.
        c: what the generator aims for.
        kwargs: the rest of `GAN`.
    """

    default_optimizer = partial(Adam, lr=1e-3)

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, a: float = 0.0, b: float = 1.0, c: float = 1.0,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(generator, discriminator, **kwargs)
        self.a, self.b, self.c = a, b, c

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """½ E (D(x) - b)² + ½ E (D(G(z)) - a)²."""
        return (d_real - self.b).square().mean() / 2 + (d_fake - self.a).square().mean() / 2

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """½ E (D(G(z)) - c)²."""
        return (d_fake - self.c).square().mean() / 2
