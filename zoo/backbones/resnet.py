"""Residual networks of WGAN-GP (Gulrajani et al., 2017) and SNGAN (Miyato et al., 2018)."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn

from zoo.backbones.activations import ReLU
from zoo.backbones.base import (
    NORMS,
    Discriminator,
    DiscriminatorLabel,
    Generator,
    GeneratorLabel,
    Norm,
    check_at_least,
    check_choice,
    check_shape,
    doublings,
    norm2d,
    xavier,
)
from zoo.backbones.labelled import Labelled, SelfAttention, norm_of


class ResNetGenerator(Generator):
    """A linear layer to a 4x4 map, residual blocks that double it, norm-ReLU-conv-tanh.

    Up to 32 pixels every map has `width` channels: the papers' CIFAR-10 nets, with width 128 in
    WGAN-GP and 256 in SNGAN. Above, `width` is that of the S-pixel maps and the map of r pixels
    has S / r times as many, at most 8: with width 64, WGAN-GP's 64-pixel net.

    Upsampling is nearest neighbour. Weights start Xavier-uniform, with gain sqrt(2) in the
    residual branches and 1 elsewhere, biases at 0. Deviations: labels enter beside z, and only with
    `label` "batch_norm" as in Miyato & Koyama (2018); 128 pixels start from 8 width, not SNGAN's 16.
    Raises ValueError for an image_shape that no 2^k-fold of a small map is (`zoo.backbones.base.check_shape`), an
    unknown norm (see `norm2d`), conditional batch norm with another norm than batch, or sizes
    below 1.

    Args:
        image_shape: (C, H, W), sides from 8 to 128; taken from the data.
        latent_dim: numbers of z.
        width: channels of the full-size map.
        norm: batch, layer, instance or none.
        num_classes: of labels that G is given; None for none.
        label: concat, beside z, or batch_norm, a gain and a bias of each class in every norm.
        attention: a `SelfAttention` on the map of half the image's size.
    """

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int = 128, width: int = 128, norm: Norm = "batch",
        num_classes: int | None = None,
        label: GeneratorLabel = "concat", attention: bool = False,
    ) -> None:  # fmt: skip
        channels, size, (h, w) = check_shape(self, image_shape)
        check_at_least(self, 1, width=width)
        check_choice(self, NORMS, norm=norm)
        super().__init__(image_shape, latent_dim, num_classes, label)
        if label == "batch_norm" and norm != "batch":
            raise ValueError(f"ResNetGenerator: label batch_norm needs norm batch, got {norm!r}")
        classes = num_classes if label == "batch_norm" else None
        widths = [width * (min(8, size // r) if size > 32 else 1) for r in doublings(4, size)]
        project = nn.Linear(self.input_dim, h * w * widths[0])
        blocks = [_up_block(c_in, c_out, norm, classes) for c_in, c_out in pairwise(widths)]
        if attention:
            blocks.insert(-1, SelfAttention(widths[-2]))
        self.net = Labelled(
            xavier(project),
            nn.Unflatten(1, (widths[0], h, w)),
            *blocks,
            norm_of(norm, widths[-1], classes),
            ReLU(),
            _conv(widths[-1], channels, 3),
            nn.Tanh(),
        )
        self.to(memory_format=torch.channels_last)


class ResNetDiscriminator(Discriminator):
    """Residual blocks that halve the image to 8x8, two that keep the size, ReLU, sum pooling.

    Up to 32 pixels every map has `width` channels: the papers' CIFAR-10 nets, with width 128 in
    both. Above, `width` is that of the S/2-pixel maps, and doubles as the map halves. An 8-pixel
    image is halved once, to 4x4.

    The first block is SNGAN's, without an activation or norm at its input and without norm inside;
    the others are pre-activated with `norm`. Halving is average pooling. features["hidden"] is the
    ReLU of the last map *summed* over its pixels, as in SNGAN (WGAN-GP takes the mean). Weights
    start Xavier-uniform, with gain sqrt(2) in the residual branches and 1 elsewhere, biases at 0.

    Deviations: above 32 pixels the papers go on to 4x4 and end in one flat block or none, and a block widens in its
    second convolution, here in its first. SNGAN's 32-pixel net has no bias in its last layer.

    Args:
        image_shape: (C, H, W), sides from 8 to 128; taken from the data.
        width: channels of the first block's map.
        norm: batch, layer, instance or none.
        num_classes: of labels that D is given; None for none.
        label: projection, or classifier for `zoo.stabilizers.AuxiliaryClassifier`.
        attention: a `SelfAttention` on the map of half the image's size.
    """

    def __init__(
        self, image_shape: Sequence[int], width: int = 128, norm: Norm = "none", num_classes: int | None = None,
        label: DiscriminatorLabel = "projection", attention: bool = False,
    ) -> None:  # fmt: skip
        channels, size, _ = check_shape(self, image_shape)
        check_at_least(self, 1, width=width)
        check_choice(self, NORMS, norm=norm)
        halved = doublings(min(8, size // 2), size // 2)[::-1]
        widths = [width * (size // (2 * r) if size > 32 else 1) for r in halved]
        super().__init__(image_shape, hidden_dim=widths[-1], num_classes=num_classes, label=label)
        xavier(self.head)
        self.trunk = nn.Sequential(
            _first_block(channels, widths[0]),
            *([SelfAttention(widths[0])] if attention else []),
            *[_down_block(c_in, c_out, norm) for c_in, c_out in pairwise(widths)],
            _flat_block(widths[-1], norm),
            _flat_block(widths[-1], norm),
            ReLU(),
            _SumPool(),
        )
        self.to(memory_format=torch.channels_last)


class _Residual(nn.Module):
    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


class _LabelledResidual(_Residual):
    labelled = True

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.branch(x, labels) + self.shortcut(x)


class _SumPool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3))


def _up_block(c_in: int, c_out: int, norm: Norm, num_classes: int | None) -> nn.Module:
    return _LabelledResidual(
        Labelled(
            norm_of(norm, c_in, num_classes),
            ReLU(),
            nn.Upsample(scale_factor=2),
            _conv(c_in, c_out, 3, gain=sqrt(2), bias=norm == "none"),
            norm_of(norm, c_out, num_classes),
            ReLU(),
            _conv(c_out, c_out, 3, gain=sqrt(2)),
        ),
        nn.Sequential(nn.Upsample(scale_factor=2), _conv(c_in, c_out, 1)),
    )


def _first_block(c_in: int, c_out: int) -> nn.Module:
    return _Residual(
        nn.Sequential(
            _conv(c_in, c_out, 3, gain=sqrt(2)), ReLU(), _conv(c_out, c_out, 3, gain=sqrt(2)), nn.AvgPool2d(2)
        ),
        nn.Sequential(nn.AvgPool2d(2), _conv(c_in, c_out, 1)),
    )


def _down_block(c_in: int, c_out: int, norm: Norm) -> nn.Module:
    return _Residual(
        nn.Sequential(*_preactivated(c_in, c_out, norm), nn.AvgPool2d(2)),
        nn.Sequential(_conv(c_in, c_out, 1), nn.AvgPool2d(2)),
    )


def _flat_block(channels: int, norm: Norm) -> nn.Module:
    return _Residual(nn.Sequential(*_preactivated(channels, channels, norm)), nn.Identity())


def _preactivated(c_in: int, c_out: int, norm: Norm) -> list[nn.Module]:
    return [
        norm2d(norm, c_in),
        ReLU(),
        _conv(c_in, c_out, 3, gain=sqrt(2), bias=norm == "none"),
        norm2d(norm, c_out),
        ReLU(),
        _conv(c_out, c_out, 3, gain=sqrt(2)),
    ]


def _conv(c_in: int, c_out: int, kernel: int, *, gain: float = 1.0, bias: bool = True) -> nn.Module:
    return xavier(nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=bias), gain)
