"""Things that steady any objective. A GAN holds an ordered list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import spectral_norm

from zoo.noise import Noise
from zoo.penalties import TARGETS, WHERE, Target, Where, gradient_norm, norm_penalty, penalty_point
from zoo.types import Batch, Critic, Role, Terms, Turn, Verdict

if TYPE_CHECKING:
    from zoo.gan import GAN


class Stabilizer(nn.Module):
    """Override what you need; the rest does nothing."""

    replaces_g_loss: bool = False  # whether its terms stand instead of the objective's, not beside them

    def prepare(self, gan: GAN) -> None:
        """Rewrite or check the networks, once, at the end of `GAN.__init__`."""

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """What D is allowed to see of x (N, ...)."""
        return x

    def d_terms(self, critic: Critic, batch: Batch, real: Verdict, fake: Verdict) -> Terms:
        """Named scalars to add to the discriminator's loss."""
        return {}

    def g_terms(self, critic: Critic, batch: Batch, fake: Verdict) -> Terms:
        """Named scalars to add to the generator's loss."""
        return {}

    def after_turn(self, turn: Turn, gan: GAN) -> None:
        """Project the weights after a turn."""


class GradientPenalty(Stabilizer):
    """weight · mean of a penalty on the critic's input gradient; `zoo.penalties` has the table of papers.

    The gradient is that of the raw score with respect to the image before any perturbation.

    Args:
        weight: λ. R1's and R2's γ is twice the weight.
        where: the points it looks at.
        target: what the norm should be there.
        k: the norm wanted.
        scale: size of the neighbourhood of `near_real` and `near_real_gaussian`.

    Raises:
        ValueError: for an unknown `where` or `target`, a negative weight, or a batch norm in the discriminator.
    """

    def __init__(
        self,
        weight: float = 10.0,
        where: Where = "interpolates",
        target: Target = "two_sided",
        k: float = 1.0,
        scale: float = 0.5,
    ) -> None:
        super().__init__()
        if where not in WHERE:
            raise ValueError(f"GradientPenalty: unknown where {where!r}; choose from {', '.join(WHERE)}")
        if target not in TARGETS:
            raise ValueError(f"GradientPenalty: unknown target {target!r}; choose from {', '.join(TARGETS)}")
        if weight < 0:
            raise ValueError(f"GradientPenalty: weight must be at least 0, got {weight}")
        self.weight, self.where, self.target, self.k, self.scale = weight, where, target, k, scale

    def prepare(self, gan: GAN) -> None:
        """Refuse a batch norm in D: it makes the per-sample gradient meaningless."""
        for name, module in gan.discriminator.named_modules():
            if isinstance(module, _BatchNorm):
                raise ValueError(
                    f"{type(gan).__name__}: a gradient penalty is per sample, but the "
                    f"{type(gan.discriminator).__name__} has a batch norm ({name}), which makes "
                    "each score depend on the whole batch; use norm: layer, instance or none"
                )

    def d_terms(self, critic: Critic, batch: Batch, real: Verdict, fake: Verdict) -> Terms:
        """The penalty, as `gradient_penalty`."""
        x = penalty_point(self.where, batch.real, batch.fake, batch.noise, scale=self.scale)
        norm = gradient_norm(lambda point: critic(point, "penalty").score, x)
        penalty = norm_penalty(self.target, norm, k=self.k).mean()
        return {"gradient_penalty": self.weight * penalty}

    def extra_repr(self) -> str:
        """The point of the table, for printing."""
        return f"weight={self.weight}, where={self.where}, target={self.target}, k={self.k}"


class InstanceNoise(Stabilizer):
    """Gaussian noise on all that D sees, real and generated, in every turn (Sønderby et al. 2017).

    The standard deviation falls on a straight line from `sigma` at 0 kimg to 0 at `until_kimg`; from then on the run is
    the plain one, bit for bit. Each image gets noise of its own in each turn.

    Args:
        sigma: standard deviation at the start, in units of the data (images span [-1, 1]).
        until_kimg: where it reaches 0.
    """

    def __init__(self, until_kimg: float, sigma: float = 0.1) -> None:
        super().__init__()
        if until_kimg <= 0 or sigma < 0:
            raise ValueError(
                "InstanceNoise: until_kimg must be above 0 and sigma at least 0, "
                f"got until_kimg={until_kimg}, sigma={sigma}"
            )
        self.until_kimg, self.sigma = until_kimg, sigma

    def sigma_at(self, kimg: float) -> float:
        """The standard deviation at `kimg`."""
        return self.sigma * max(0.0, 1 - kimg / self.until_kimg)

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """X plus noise, shaped like x."""
        sigma = self.sigma_at(kimg)
        return x + sigma * noise.normal(*x.shape, dtype=x.dtype) if sigma else x

    def extra_repr(self) -> str:
        """The schedule, for printing."""
        return f"sigma={self.sigma}, until_kimg={self.until_kimg}"


class SpectralNorm(Stabilizer):
    """Divides every weight of D by its largest singular value (Miyato et al. 2018), the last layer's too.

    One power iteration per forward pass of D's own turn, started from 15 at construction (torch's choice; the paper
    starts from a random vector). The vectors are buffers: saved, and still while others move. As in the paper's code a
    convolution is measured as the matrix (C_out, C_in·k·k), which bounds its true norm only up to a factor of k.

    Args:
        n_power_iterations: per forward pass.
    """

    def __init__(self, n_power_iterations: int = 1) -> None:
        super().__init__()
        if n_power_iterations < 1:
            raise ValueError(f"SpectralNorm: n_power_iterations must be at least 1, got {n_power_iterations}")
        self.n_power_iterations = n_power_iterations

    def prepare(self, gan: GAN) -> None:
        """Parametrise the weights of every linear, convolutional and embedding layer of D."""
        layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Embedding)
        for module in list(gan.discriminator.modules()):
            if isinstance(module, layers):
                spectral_norm(module, n_power_iterations=self.n_power_iterations)


class WeightClip(Stabilizer):
    """Clamps every parameter of D, norms' gains and biases included, to [-c, c] after each of its moves.

    Arjovsky et al. 2017, algorithm 1. The authors' code clamps before each move instead, which leaves the critic that
    the generator meets outside the box.

    Args:
        c: half the side of the box, above 0.
    """

    def __init__(self, c: float = 0.01) -> None:
        super().__init__()
        if c <= 0:
            raise ValueError(f"WeightClip: c must be above 0, got {c}")
        self.c = c

    @torch.no_grad()
    def after_turn(self, turn: Turn, gan: GAN) -> None:
        """Clamp, if it was D's turn."""
        if turn.side == "d":
            for parameter in gan.discriminator.parameters():
                parameter.clamp_(-self.c, self.c)

    def extra_repr(self) -> str:
        """The box, for printing."""
        return f"c={self.c}"
