"""Two players: the loss tables, with penalty, clipping, equilibrium, codes and foresight where a paper has them."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.loops.base import Loop, Make, Player


class TwoPlayers(Loop):
    """D, then G, each on latents of its own."""

    def d_move(self, real: Tensor) -> None:
        """D on real images and fakes."""
        self.d.wake()
        self.losses["d"] = self.d.move(self.d_total(real, self.G(self.latent(len(real)))))

    def g_move(self, real: Tensor) -> None:
        """G on fakes."""
        self.g.wake()
        self.losses["g"] = self.g.move(self.g_loss(self.score(self.G(self.latent(len(real))))))
        self.average()

    def d_total(self, real: Tensor, fake: Tensor) -> Tensor:
        """All that D pays."""
        return self.d_loss(*self.apply(self.D, real, fake))

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z)))."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """-E log D(G(z))."""
        return F.softplus(-d_fake).mean()


class NSGAN(TwoPlayers):
    """The non-saturating GAN; SNGAN is the same on a D with spectral norms."""


class Minimax(TwoPlayers):
    """The game as it was first written."""

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """E log(1 - D(G(z)))."""
        return -F.softplus(d_fake).mean()


class LSGAN(TwoPlayers):
    """Least squares."""

    def __init__(self, *args: Any, a: float = 0.0, b: float = 1.0, c: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.a, self.b, self.c = a, b, c

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """½ E (D(x) - b)² + ½ E (D(G(z)) - a)²."""
        return (d_real - self.b).square().mean() / 2 + (d_fake - self.a).square().mean() / 2

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """½ E (D(G(z)) - c)²."""
        return (d_fake - self.c).square().mean() / 2


class Hinge(TwoPlayers):
    """The hinge loss."""

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
        return (1 - d_real).relu().mean() + (1 + d_fake).relu().mean()

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """-E D(G(z))."""
        return -d_fake.mean()


class Wasserstein(TwoPlayers):
    """A critic."""

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """E D(G(z)) - E D(x)."""
        return d_fake.mean() - d_real.mean()

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """-E D(G(z))."""
        return -d_fake.mean()


class WGAN(Wasserstein):
    """A critic whose weights are clipped."""

    def __init__(self, *args: Any, clip: float = 0.01, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clip, self.weights = clip, list[Tensor](self.d.parameters)

    def d_move(self, real: Tensor) -> None:
        """D, then the box."""
        super().d_move(real)
        torch._foreach_clamp_min_(self.weights, -self.clip)
        torch._foreach_clamp_max_(self.weights, self.clip)


class WGANGP(Wasserstein):
    """A critic whose slope is held near 1 between data and fakes."""

    twice = frozenset({"discriminator"})

    def __init__(self, *args: Any, gp_weight: float = 10.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gp_weight = gp_weight

    def d_total(self, real: Tensor, fake: Tensor) -> Tensor:
        """The loss, and λ E (‖∇D(x̂)‖₂ - 1)²."""
        alpha = self.draws.uniform(len(real), *[1] * (real.ndim - 1), dtype=real.dtype)
        penalty = slope_penalty(self.score, torch.lerp(fake.to(real.dtype), real, alpha))
        return super().d_total(real, fake) + self.gp_weight * penalty


class DRAGAN(TwoPlayers):
    """Log losses, and a slope held near 1 around the data."""

    twice = frozenset({"discriminator"})

    def __init__(self, *args: Any, gp_weight: float = 10.0, scale: float = 0.5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gp_weight, self.scale = gp_weight, scale

    def d_total(self, real: Tensor, fake: Tensor) -> Tensor:
        """The loss, and λ E (‖∇D(x + δ)‖₂ - 1)²."""
        alpha = self.draws.uniform(len(real), *[1] * (real.ndim - 1), dtype=real.dtype)
        u = self.draws.uniform(*real.shape, dtype=real.dtype)
        size = alpha * (self.scale * real.std(correction=0))
        penalty = slope_penalty(self.score, torch.addcmul(real, size, u))
        return super().d_total(real, fake) + self.gp_weight * penalty


def slope_penalty(score: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """E (‖∇D(x)‖₂ - 1)², differentiable."""
    x.requires_grad_()
    (slope,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


class EBGAN(TwoPlayers):
    """Energies up to a margin, without the pulling-away term, as the configuration has it."""

    def __init__(self, *args: Any, margin: float = 0.5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.margin = margin

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """E D(x) + E max(0, m - D(G(z)))."""
        return d_real.mean() + (self.margin - d_fake).relu().mean()

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """E D(G(z))."""
        return d_fake.mean()


class BEGAN(TwoPlayers):
    """Energies in equilibrium; k stays on the device."""

    def __init__(self, *args: Any, gamma: float = 0.5, lambda_k: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gamma, self.lambda_k = gamma, lambda_k
        self.k = next(self.G.parameters()).new_zeros(())

    def latent(self, n: int) -> Tensor:
        """z, uniform on [-1, 1)."""
        return 2 * self.draws.uniform(n, self.latent_dim, dtype=self.dtype) - 1

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """ℓ(x) - k ℓ(G(z))."""
        real = d_real.mean()
        self.real = real.detach()
        return real - self.k * d_fake.mean()

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """ℓ(G(z))."""
        return d_fake.mean()

    def g_move(self, real: Tensor) -> None:
        """G, then k and the measure of convergence."""
        super().g_move(real)
        balance = self.gamma * self.real - self.losses["g"]
        self.k.add_(balance, alpha=self.lambda_k).clamp_(0, 1)
        self.losses["convergence"] = self.real + balance.abs()


class InfoGAN(TwoPlayers):
    """Log losses, and codes that Q reads off the fakes; networks have a `q`."""

    def __init__(
        self, *args: Any, categorical: int = 10, continuous: int = 2, info_weight: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.categorical, self.continuous, self.info_weight = categorical, continuous, info_weight
        self.noise_dim = self.latent_dim - categorical - continuous
        self.constant = math.log(categorical) + continuous * (math.log(2) - math.log(2 * math.pi) / 2)

    def enlist(self, d_optimizer: Make, g_optimizer: Make) -> None:
        """Q moves with D."""
        self.Q = self.networks["q"]
        self.d, self.g = Player(d_optimizer, self.D, self.Q), Player(g_optimizer, self.G)

    def latent(self, n: int) -> Tensor:
        """z = (noise, one-hot class, continuous codes)."""
        u = self.draws.uniform(n, self.noise_dim + 1 + self.continuous, dtype=self.dtype)
        self.classes = (u[:, self.noise_dim] * self.categorical).long()
        other = 2 * u - 1
        self.codes = other[:, self.noise_dim + 1 :]
        one_hot = u.new_zeros(n, self.categorical).scatter_(1, self.classes.unsqueeze(1), 1)
        return torch.cat([other[:, : self.noise_dim], one_hot, self.codes], 1)

    def d_move(self, real: Tensor) -> None:
        """D and Q."""
        self.d.wake()
        fake = self.G(self.latent(len(real)))
        if self.separate[self.D]:
            d_real = self.score(real)
            d_fake, features = self.D(fake)
            hidden = features["hidden"]
        else:
            scores, features = self.D(torch.cat([real, fake]))
            d_real, d_fake = scores.chunk(2)
            hidden = features["hidden"][len(real) :]
        self.losses["d"] = self.d.move(self.d_loss(d_real, d_fake) - self.info_weight * self.information(hidden))

    def g_move(self, real: Tensor) -> None:
        """G."""
        self.g.wake()
        d_fake, features = self.D(self.G(self.latent(len(real))))
        self.losses["g"] = self.g.move(self.g_loss(d_fake) - self.info_weight * self.information(features["hidden"]))
        self.average()

    def information(self, hidden: Tensor) -> Tensor:
        """L_I of the last latents."""
        said = self.Q(hidden)
        log_class = -F.cross_entropy(said[:, : self.categorical], self.classes)
        squares = (said[:, self.categorical :] - self.codes).square().sum(1).mean()
        return log_class - squares / 2 + self.constant


class Unrolled(TwoPlayers):
    """G answers the D of `k` of its own Adam steps ahead, and differentiates through them."""

    twice = frozenset({"discriminator"})
    tiny = 1e-36  # under the root, whose slope is infinite at 0

    def __init__(self, *args: Any, k: int = 5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.k = k
        self.names = [name for name, _ in self.D.named_parameters()]

    def g_move(self, real: Tensor) -> None:
        """-L_D at the unrolled D."""
        self.g.wake()
        fake = self.G(self.latent(len(real)))
        theta: tuple[Tensor, ...] = tuple(p.detach().requires_grad_() for p in self.d.parameters)
        states = [self.d.optimizer.state[p] for p in self.d.parameters]
        first: tuple[Tensor, ...] = tuple(s["exp_avg"] for s in states)
        second: tuple[Tensor, ...] = tuple(s["exp_avg_sq"] for s in states)
        group, taken = self.d.optimizer.param_groups[0], int(states[0]["step"])
        (beta1, beta2), eps = group["betas"], group["eps"]
        for t in range(taken + 1, taken + 1 + self.k):
            slope = torch.autograd.grad(self.loss_at(theta, real, fake), theta, create_graph=True)
            first = torch._foreach_add(torch._foreach_mul(first, beta1), torch._foreach_mul(slope, 1 - beta1))
            squares = torch._foreach_mul(torch._foreach_mul(slope, slope), 1 - beta2)
            second = torch._foreach_add(torch._foreach_mul(second, beta2), squares)
            root = torch._foreach_sqrt(torch._foreach_clamp_min(second, self.tiny))
            root = torch._foreach_add(torch._foreach_mul(root, 1 / math.sqrt(1 - beta2**t)), eps)
            change = torch._foreach_mul(torch._foreach_div(first, root), group["lr"] / (1 - beta1**t))
            theta = torch._foreach_sub(theta, change)
        self.losses["g"] = self.g.move(-self.loss_at(theta, real, fake))
        self.average()

    def loss_at(self, theta: tuple[Tensor, ...], real: Tensor, fake: Tensor) -> Tensor:
        """L_D with other parameters."""
        state = dict(zip(self.names, theta, strict=True))
        d_real, d_fake = (functional_call(self.D, state, (x,), tie_weights=False)[0] for x in (real, fake))
        return self.d_loss(d_real, d_fake)


def information_head(hidden_dim: int, codes: int) -> nn.Module:
    """Q: what InfoGAN puts on D's hidden layer."""
    return nn.Sequential(nn.Linear(hidden_dim, 128), nn.LeakyReLU(0.1), nn.Linear(128, codes))
