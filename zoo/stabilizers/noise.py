"""Noise on what D sees, and inside it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from zoo.noise import Noise
from zoo.stabilizers.base import Stabilizer
from zoo.types import Game, Role


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
        """Add the noise to x."""
        sigma = self.sigma_at(kimg)
        return x + sigma * noise.normal(*x.shape, dtype=x.dtype) if sigma else x

    def extra_repr(self) -> str:
        """The schedule, for printing."""
        return f"sigma={self.sigma}, until_kimg={self.until_kimg}"


class LayerNoise(Stabilizer):
    """Gaussian noise on the output of every activation of D (Salimans et al. 2016, the authors' MNIST discriminator).

    Their layers have it at 0.5, and at 0.3 on the input, which is `InstanceNoise` here (openai/improved-gan,
    mnist_svhn_cifar10/train_mnist_feature_matching.py). Off in evaluation mode. Each image gets noise of its own, the
    same on any number of ranks.

    Args:
        sigma: standard deviation, at least 0, in units of the activations; 0 is the plain run, bit for bit.
    """

    def __init__(self, sigma: float = 0.5) -> None:
        super().__init__()
        if sigma < 0:
            raise ValueError(f"LayerNoise: sigma must be at least 0, got {sigma}")
        self.sigma = sigma
        self._layers: tuple[_Random, ...] = ()

    def prepare(self, gan: Game) -> None:
        """Put noise behind every activation of D; ValueError if it has none."""
        self._layers = _behind_activations(self, gan, lambda: _Gaussian(self.sigma))

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """Return x unchanged; give the layers this source of noise."""
        for layer in self._layers:
            layer.noise = noise
        return x

    def extra_repr(self) -> str:
        """The amount, for printing."""
        return f"sigma={self.sigma}"


class Dropout(Stabilizer):
    """Dropout on D's input and on the output of each of its activations (Srivastava et al. 2014).

    0.2 and 0.5 are what Salimans et al. 2016 and ALI (Dumoulin et al. 2017) have in their code, there in some of the
    layers only. Elements are dropped one by one, the rest are scaled by 1 / (1 - p); off in evaluation mode. Each image
    gets a mask of its own, the same on any number of ranks.

    Args:
        p_input: the share of input elements dropped, in [0, 1).
        p_hidden: the share of activations dropped, in [0, 1). Both 0 are the plain run, bit for bit.
    """

    def __init__(self, p_input: float = 0.2, p_hidden: float = 0.5) -> None:
        super().__init__()
        for name, p in (("p_input", p_input), ("p_hidden", p_hidden)):
            if not 0 <= p < 1:
                raise ValueError(f"Dropout: {name} must be in [0, 1), got {p}")
        self.p_input, self.p_hidden = p_input, p_hidden
        self._layers: tuple[_Random, ...] = ()

    def prepare(self, gan: Game) -> None:
        """Put a dropout behind every activation of D; ValueError if it has none."""
        self._layers = _behind_activations(self, gan, lambda: _Dropout(self.p_hidden))

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """Drop elements of x; give the layers this source of masks."""
        for layer in self._layers:
            layer.noise = noise
        return _dropped(x, self.p_input, noise) if self.training else x

    def extra_repr(self) -> str:
        """The shares, for printing."""
        return f"p_input={self.p_input}, p_hidden={self.p_hidden}"


class _Random(nn.Module):
    """A layer that draws from the run's keyed noise."""

    noise: Noise


class _Gaussian(_Random):
    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.sigma):
            return x
        return x + self.sigma * self.noise.normal(*x.shape, dtype=x.dtype)


class _Dropout(_Random):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return _dropped(x, self.p, self.noise) if self.training else x


def _dropped(x: Tensor, p: float, noise: Noise) -> Tensor:
    return x * (noise.uniform(*x.shape, dtype=x.dtype) >= p) / (1 - p) if p else x


def _behind_activations(stabilizer: Stabilizer, gan: Game, make: Callable[[], _Random]) -> tuple[_Random, ...]:
    made = []
    for parent in [module for net in gan.discriminators() for module in net.modules()]:
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU | nn.LeakyReLU | nn.ELU):
                made.append(make())
                setattr(parent, name, nn.Sequential(child, made[-1]))
    if not made:
        raise ValueError(
            f"{type(gan).__name__}: {type(stabilizer).__name__} goes behind the activations of D, but the "
            f"{type(gan.discriminator).__name__} has no ReLU, LeakyReLU or ELU"
        )
    return tuple(made)
