"""Fully connected networks, for points and for small images."""

from collections.abc import Sequence
from math import prod
from typing import Literal, assert_never, get_args

from torch import Tensor, nn

from zoo.backbones.activations import ReLU
from zoo.backbones.base import (
    Discriminator,
    DiscriminatorLabel,
    Generator,
    check_at_least,
    check_choice,
    init_normal,
    init_orthogonal,
)

VectorNorm = Literal["batch", "layer", "none"]


class MLPGenerator(Generator):
    """`depth` hidden ReLU layers of `width` units, then a linear layer.

    The toy nets of Metz et al. (Unrolled GAN, 2017) have depth 2, width 128, latent_dim 256 and
    init_gain 0.8. Points, image_shape (D,), leave the linear layer unbounded; images, (C, H, W)
    of any size, pass a tanh.

    Args:
        image_shape: (D,) of points, or (C, H, W); taken from the data.
        latent_dim: numbers of z.
        width: units of a hidden layer.
        depth: hidden layers.
        norm: batch, layer or none, before each ReLU.
        num_classes: of labels that G is given; None for none.
        init_gain: of orthogonal initial weights, with biases at 0; None for torch's own.
        init_std: of normal initial weights, with biases at 0, instead.

    Raises:
        ValueError: another image_shape or norm, both kinds of initial weights, and sizes below 1 (depth: below 0).
    """

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int = 128, width: int = 256, depth: int = 3,
        norm: VectorNorm = "none", num_classes: int | None = None, init_gain: float | None = None,
        init_std: float | None = None,
    ) -> None:  # fmt: skip
        size = _flat_size(self, image_shape)
        super().__init__(image_shape, latent_dim, num_classes)
        self.net = nn.Sequential(
            *_hidden_layers(self, self.input_dim, width, depth, norm),
            nn.Linear(width if depth else self.input_dim, size),
            nn.Unflatten(1, self.image_shape),
            nn.Tanh() if len(self.image_shape) == 3 else nn.Identity(),
        )
        _initialise(self, init_gain, init_std)


class MLPDiscriminator(Discriminator):
    """`depth` hidden layers of `width` units, ReLU or maxout, on the flattened x times `input_scale`.

    A maxout unit is the largest of `pieces` linear functions (Goodfellow et al., 2013).

    The toy net of Metz et al. (Unrolled GAN, 2017) has depth 1, width 128, input_scale 0.25 and
    init_gain 0.8. The last hidden layer is features["hidden"]; with depth 0 that is the scaled
    input itself, and the score a linear critic. Takes points (D,) and images (C, H, W).

    Args:
        image_shape: (D,) of points, or (C, H, W); taken from the data.
        width: units of a hidden layer.
        depth: hidden layers.
        norm: batch, layer or none, before each ReLU.
        num_classes: of labels that D is given; None for none.
        input_scale: factor on x.
        init_gain: of orthogonal initial weights, with biases at 0; None for torch's own.
        label: projection, or classifier for `zoo.stabilizers.AuxiliaryClassifier`.
        pieces: of a maxout unit; 1 for ReLU.
        init_std: of normal initial weights, with biases at 0, instead of `init_gain`.

    Raises:
        ValueError: another image_shape or norm, a norm with maxout, both kinds of initial weights, and sizes below 1
            (depth: below 0).
    """

    def __init__(
        self, image_shape: Sequence[int], width: int = 256, depth: int = 3, norm: VectorNorm = "none",
        num_classes: int | None = None, input_scale: float = 1.0, init_gain: float | None = None,
        label: DiscriminatorLabel = "projection", pieces: int = 1, init_std: float | None = None,
    ) -> None:  # fmt: skip
        size = _flat_size(self, image_shape)
        layers = _hidden_layers(self, size, width, depth, norm, pieces)
        super().__init__(image_shape, width if depth else size, num_classes, label=label)
        self.input_scale = input_scale
        self.trunk = nn.Sequential(nn.Flatten(), *layers)
        _initialise(self, init_gain, init_std)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Score x (N, *image_shape), given labels (N,), int64, when conditional."""
        return super().forward(self.input_scale * x, labels)


class Maxout(nn.Module):
    """(N, pieces · width) -> (N, width): the largest of `pieces` numbers of each unit."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """Take the maxima of x."""
        return x.reshape(-1, self.pieces, x.shape[1] // self.pieces).amax(1)


def _flat_size(net: nn.Module, image_shape: Sequence[int]) -> int:
    shape = tuple(image_shape)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ValueError(
            f"{type(net).__name__}: image_shape is {shape}; "
            "an MLP takes points (D,) or images (C, H, W), all at least 1"
        )
    return prod(shape)


def _hidden_layers(
    net: nn.Module, in_dim: int, width: int, depth: int, norm: VectorNorm, pieces: int = 1
) -> list[nn.Module]:
    check_at_least(net, 1, width=width, pieces=pieces)
    check_at_least(net, 0, depth=depth)
    check_choice(net, get_args(VectorNorm), norm=norm)
    if pieces > 1 and norm != "none":
        raise ValueError(f"{type(net).__name__}: norm is {norm!r} and pieces {pieces}; maxout units have no norm")
    layers: list[nn.Module] = []
    for k in range(depth):
        if pieces > 1:
            layers += [nn.Linear(width if k else in_dim, pieces * width), Maxout(pieces)]
            continue
        layers += [nn.Linear(width if k else in_dim, width, bias=norm == "none"), _norm1d(norm, width), ReLU()]
    return layers


def _initialise(net: nn.Module, gain: float | None, std: float | None) -> None:
    if gain is not None and std is not None:
        raise ValueError(f"{type(net).__name__}: init_gain is {gain} and init_std {std}; choose one")
    init_orthogonal(net, gain)
    init_normal(net, std)


def _norm1d(norm: VectorNorm, width: int) -> nn.Module:
    match norm:
        case "batch":
            return nn.BatchNorm1d(width)
        case "layer":
            return nn.LayerNorm(width)
        case "none":
            return nn.Identity()
        case _:
            assert_never(norm)
