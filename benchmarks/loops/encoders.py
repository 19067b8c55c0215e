"""The papers with an encoder."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.loops.adversarial import TwoPlayers
from benchmarks.loops.base import Make, Player


class RegularizedGAN(TwoPlayers):
    """G and E also rebuild the data; they move on one loss, with one optimiser."""

    def __init__(self, *args: Any, lambda1: float = 0.2, lambda2: float = 0.4, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lambda1, self.lambda2 = lambda1, lambda2

    def enlist(self, d_optimizer: Make, g_optimizer: Make) -> None:
        """E moves with G."""
        self.E = self.networks["encoder"]
        self.d, self.g = Player(d_optimizer, self.D), Player(g_optimizer, self.G, self.E)

    def g_move(self, real: Tensor) -> None:
        """G and E."""
        self.g.wake()
        fake, rebuilt = self.G(self.latent(len(real))), self.G(self.E(real))
        d_fake, d_rebuilt = self.apply(self.D, fake, rebuilt)
        regularizer = self.lambda1 * F.mse_loss(rebuilt, real) + self.lambda2 * self.g_loss(d_rebuilt)
        self.losses["g"] = self.g.move(self.g_loss(d_fake) + regularizer)
        self.average()


class MDGAN(TwoPlayers):
    """Manifold and diffusion: D1; G and E; D2; G. Samples are made only where they are judged."""

    def __init__(self, *args: Any, weight: float = 1e-2, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weight = weight

    def enlist(self, d_optimizer: Make, g_optimizer: Make) -> None:
        """Two discriminators; G moves twice, E once, so they step apart."""
        self.E, self.D2 = self.networks["encoder"], self.networks["diffusion_discriminator"]
        self.d, self.d2 = Player(d_optimizer, self.D), Player(d_optimizer, self.D2)
        self.g, self.e = Player(g_optimizer, self.G), Player(g_optimizer, self.E)

    def d_move(self, real: Tensor) -> None:
        """D1 on data and reconstructions."""
        self.d.wake()
        self.losses["d1"] = self.d.move(self.d_loss(*self.apply(self.D, real, self.G(self.E(real)))))

    def g_move(self, real: Tensor) -> None:
        """G and E; D2; G."""
        self.g.wake()
        self.e.wake()
        rebuilt = self.G(self.E(real))
        loss = F.mse_loss(rebuilt, real) + self.weight * self.g_loss(self.score(rebuilt))
        self.losses["g1"] = self.g.move(loss, self.e)
        self.average()

        self.d2.wake()
        fake, rebuilt = self.apply(self.G, self.latent(len(real)), self.E(real))
        self.losses["d2"] = self.d2.move(self.d_loss(*self.apply(self.D2, rebuilt, fake)))

        self.g.wake()
        self.losses["g2"] = self.g.move(self.g_loss(self.D2(self.G(self.latent(len(real))))[0]))
        self.average()


class ALI(TwoPlayers):
    """G and E against a D of pairs."""

    def enlist(self, d_optimizer: Make, g_optimizer: Make) -> None:
        """E moves with G."""
        self.E = self.networks["encoder"]
        self.d, self.g = Player(d_optimizer, self.D), Player(g_optimizer, self.G, self.E)

    def d_move(self, real: Tensor) -> None:
        """D on both kinds of pairs."""
        self.d.wake()
        fake, z, code = self.pairs(real)
        if self.separate[self.D]:
            d_real, d_fake = self.D(real, code)[0], self.D(fake, z)[0]
        else:
            d_real, d_fake = self.D(torch.cat([real, fake]), torch.cat([code, z]))[0].chunk(2)
        self.losses["d"] = self.d.move(self.d_loss(d_real, d_fake))

    def g_move(self, real: Tensor) -> None:
        """G and E, with the labels swapped."""
        self.g.wake()
        fake, z, code = self.pairs(real)
        self.losses["g"] = self.g.move(self.d_loss(self.D(fake, z)[0], self.D(real, code)[0]))
        self.average()

    def pairs(self, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """G(z), z, and a sample of q(z|x)."""
        z = self.latent(len(real))
        return self.G(z), z, reparametrized(self, *self.E(real))


class VAEGAN(TwoPlayers):
    """D, G and E, each with its own loss; who is too far ahead waits.

    Neither D nor E moves between G's turn and E's, so q(z|x) and D's features of the data are computed once for both.
    """

    def __init__(
        self, *args: Any, gamma: float = 1e-6, margin: float = 0.35, equilibrium: float = 0.68, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.gamma, self.margin, self.equilibrium = gamma, margin, equilibrium
        self.costs = torch.full((2,), equilibrium, device=next(self.G.parameters()).device)

    def enlist(self, d_optimizer: Make, g_optimizer: Make) -> None:
        """Three players."""
        self.E = self.networks["encoder"]
        self.d, self.g, self.e = Player(d_optimizer, self.D), Player(g_optimizer, self.G), Player(g_optimizer, self.E)

    def step(self, real: Tensor) -> None:
        """The gate reads the last batch's costs, which waits for the device."""
        costs = self.costs.tolist()
        d_waits = min(costs) < self.equilibrium - self.margin
        g_waits = max(costs) > self.equilibrium + self.margin
        self.d_waits, self.g_waits = d_waits and not g_waits, g_waits and not d_waits
        super().step(real)

    def d_move(self, real: Tensor) -> None:
        """D, unless it waits."""
        if self.d_waits:
            return
        self.d.wake()
        d_real, d_fake = self.apply(self.D, real, self.G(self.latent(len(real))))
        real_cost, fake_cost = F.softplus(-d_real).mean(), F.softplus(d_fake).mean()
        self.costs = torch.stack([real_cost.detach(), fake_cost.detach()])
        self.losses["d"] = self.d.move(real_cost + fake_cost)

    def g_move(self, real: Tensor) -> None:
        """G, unless it waits; E."""
        self.e.wake()
        posterior = self.E(real)
        d_real, features = self.D(real)
        hidden = features["hidden"]
        if not self.g_waits:
            self.decoder_move(posterior, d_real, hidden)
        mean, log_variance = posterior
        _, rebuilt = self.D(self.G(reparametrized(self, mean, log_variance)))
        prior = (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean() / 2
        self.losses["e"] = self.e.move(prior + distance(hidden, rebuilt["hidden"]))

    def decoder_move(self, posterior: tuple[Tensor, Tensor], d_real: Tensor, hidden: Tensor) -> None:
        """G, on latents and on codes of the data."""
        self.g.wake()
        z = self.latent(len(hidden))
        mean, log_variance = (t.detach() for t in posterior)
        fake, rebuilt = self.apply(self.G, z, reparametrized(self, mean, log_variance))
        d_fake = self.score(fake)
        fake_cost = F.softplus(d_fake).mean()
        if self.d_waits:
            self.costs = torch.stack([F.softplus(-d_real).mean(), fake_cost.detach()])
        likelihood = distance(hidden, self.D(rebuilt)[1]["hidden"])
        self.losses["g"] = self.g.move(self.gamma * likelihood - (1 - self.gamma) * fake_cost)
        self.average()


def reparametrized(loop: TwoPlayers, mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of q(z|x)."""
    return mean + (log_variance / 2).exp() * loop.draws.normal(*mean.shape, dtype=mean.dtype)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """½‖a - b‖², averaged over the batch."""
    return (a - b).flatten(1).square().sum(1).mean() / 2
