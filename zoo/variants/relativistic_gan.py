"""RelativisticGAN: Jolicoeur-Martineau 2019, "The relativistic discriminator: a key element missing from standard GAN".

    L_D = E log(1 + exp(D(G(z)) - D(x)))
    L_G = E log(1 + exp(D(x) - D(G(z))))
    in general, pairing: L_D = E f(D(x) - D(G(z))), f(m) = log(1 + exp(-m)), (m - 1)² or max(0, 1 - m)
    average: L_D = E f(D(x) - E D(G(z))) + E f(E D(x) - D(G(z)))

In each, L_G is L_D with D(x) and D(G(z)) exchanged. D ranks: its score of a real image is to lie above that of a fake.
The pairs are xᵢ and G(zᵢ). With f = log(1 + exp(-m)) pairing is the paper's RSGAN and the RpGAN of Huang et al. 2024
(R3GAN); averaging gives RaSGAN, RaLSGAN and RaHingeGAN.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from zoo import distributed
from zoo.gan import GAN
from zoo.types import Batch, Critic, Output, Terms

Mode = Literal["pairing", "average"]
Margin = Literal["logistic", "least_squares", "hinge"]
COSTS: dict[str, Callable[[Tensor], Tensor]] = {
    "logistic": lambda m: F.softplus(-m),
    "least_squares": lambda m: (m - 1).square(),
    "hinge": lambda m: (1 - m).relu(),
}


class RelativisticGAN(GAN):
    """Each side wants its scores above the other's; a constant added to all scores changes nothing.

    G's turn scores real images, too, without gradients of D's weights. On several ranks the averages are of all ranks.

    Deviations: G's turn sees the real images of D's last turn; the authors draw others. Averaged losses are the paper's
    sums of two means; the authors' code halves them. Adam at 2e-4 with β = (0.5, 0.999) as in the authors' CIFAR-10
    scripts, where D has spectral norm.

    Args:
        discriminator: any real number. With batch norm it normalises real images and fakes apart.
        mode: `pairing` compares xᵢ with G(zᵢ); `average` compares each image with the mean score of the other kind.
        f: `logistic` log(1 + exp(-m)), `least_squares` (m - 1)², `hinge` max(0, 1 - m).
        kwargs: the rest of `GAN`.

    Raises:
        ValueError: for an unknown mode or f.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, mode: Mode = "pairing", f: Margin = "logistic",
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(generator, discriminator, **kwargs)
        for name, value, choices in (("mode", mode, get_args(Mode)), ("f", f, get_args(Margin))):
            if value not in choices:
                raise ValueError(f"{type(self).__name__}: unknown {name} {value!r}; choose from {', '.join(choices)}")
        self.mode, self.f = mode, f

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """E f(D(x) - D(G(z))), or E f(D(x) - E D(G(z))) + E f(E D(x) - D(G(z)))."""
        cost = COSTS[self.f]
        if self.mode == "pairing":
            return cost(d_real - d_fake).mean()
        real, fake = distributed.mean_with_graph([d_real.mean(), d_fake.mean()])
        return cost(d_real - fake).mean() + cost(real - d_fake).mean()

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """L_D with D(x) and D(G(z)) exchanged."""
        return {"adversarial": self.d_loss(fake.score, critic(batch.real, "real").score)}
