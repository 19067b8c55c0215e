"""DCGAN (Radford, Metz & Chintala, 2016): strided convolutions between an image and a 4x4 map.

And the plain convolutional networks of SNGAN (Miyato et al., 2018), which end at an eighth of the image's side.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from zoo.backbones.activations import LeakyReLU, ReLU
from zoo.backbones.base import (
    NORMS,
    Discriminator,
    DiscriminatorLabel,
    Generator,
    Norm,
    check_at_least,
    check_choice,
    check_shape,
    doublings,
    norm2d,
)


class DCGANGenerator(Generator):
    """z is projected linearly to a 4x4 map; transposed convolutions double it up to the image; tanh.

    The map of r pixels a side has width * S / (2r) channels in an S-pixel net, at most 8 width:
    512, 256, 128, 64 for 64 pixels and width 64; the paper's figure 1 is width 128. ReLU and `norm` follow every layer
    but the last. Weights start as N(0, 0.02), gains as N(1, 0.02), biases at 0.

    Deviations: 4x4 kernels, which the stride divides, instead of 5x5; other sizes than 64, and other shapes: the image
    is the 4x4 map's 2^k-fold, or that of another map for another shape (`zoo.backbones.base.check_shape`). The zoo's z
    is N(0, I), the authors' uniform on [-1, 1]; their code has weight decay of 1e-5 too.

    Args:
        image_shape: (C, H, W), sides from 8 to 128; taken from the data.
        latent_dim: numbers of z.
        width: channels before the last layer; each smaller map has twice as many, at most 8 width.
        norm: batch, layer, instance or none (see `norm2d`).
        num_classes: of labels that G is given; None for none.
    """

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int = 128, width: int = 64, norm: Norm = "batch",
        num_classes: int | None = None,
    ) -> None:  # fmt: skip
        channels, size, (h, w) = check_shape(self, image_shape)
        check_at_least(self, 1, width=width)
        check_choice(self, NORMS, norm=norm)
        super().__init__(image_shape, latent_dim, num_classes)
        widths = _widths(size, width)
        bias = norm == "none"
        layers: list[nn.Module] = [
            nn.Linear(self.input_dim, h * w * widths[0], bias=bias),
            nn.Unflatten(1, (widths[0], h, w)),
            norm2d(norm, widths[0]),
            ReLU(),
        ]
        for c_in, c_out in pairwise(widths):
            layers += [_doubling(c_in, c_out, bias), norm2d(norm, c_out), ReLU()]
        layers += [_doubling(widths[-1], channels), nn.Tanh()]
        self.net = nn.Sequential(*layers)
        self.net.apply(_init)
        self.to(memory_format=torch.channels_last)


class DCGANDiscriminator(Discriminator):
    """The generator's mirror: convolutions halve the image down to a 4x4 map, scored linearly.

    Channels as in `DCGANGenerator`. LeakyReLU(0.2) follows every convolution, `norm` every one but
    the first (an 8-pixel net has no other). features["hidden"] is the flattened 4x4 map. Weights
    start as N(0, 0.02), gains as N(1, 0.02), biases at 0.

    Deviations: 4x4 kernels instead of 5x5, other sizes than 64.

    Args:
        image_shape: (C, H, W), sides from 8 to 128; taken from the data.
        width: channels after the first layer; each smaller map has twice as many, at most 8 width.
        norm: batch, layer, instance or none; a gradient penalty is not for batch.
        num_classes: of labels that D is given; None for none.
        label: projection, or classifier for `zoo.stabilizers.AuxiliaryClassifier`.
    """

    def __init__(
        self, image_shape: Sequence[int], width: int = 64, norm: Norm = "batch", num_classes: int | None = None,
        label: DiscriminatorLabel = "projection",
    ) -> None:  # fmt: skip
        channels, size, (h, w) = check_shape(self, image_shape)
        check_at_least(self, 1, width=width)
        check_choice(self, NORMS, norm=norm)
        widths = _widths(size, width)[::-1]
        super().__init__(image_shape, hidden_dim=h * w * widths[-1], num_classes=num_classes, label=label)
        layers: list[nn.Module] = [_halving(channels, widths[0]), LeakyReLU(0.2)]
        for c_in, c_out in pairwise(widths):
            layers += [_halving(c_in, c_out, bias=norm == "none"), norm2d(norm, c_out), LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.trunk.apply(_init)
        self.head.apply(_init)
        self.to(memory_format=torch.channels_last)


class SNDCGANGenerator(Generator):
    """z is projected linearly to a map of an eighth of the image's sides; three doublings; a 3x3 convolution, tanh.

    The generator of SNGAN's plain networks (Miyato et al., 2018, table 3): maps of 8, 4, 2 and 1 times `width`
    channels, 4x4 kernels, batch norm and ReLU after every layer but the last. Weights start as N(0, 0.02²), biases at
    0. With latent_dim 100 and 32 pixels in colour it has 3,584,003 parameters.

    Args:
        image_shape: (C, H, W), sides from 8 to 128 that 8 divides; taken from the data.
        latent_dim: numbers of z.
        width: channels of the full-size map.
        num_classes: of labels that G is given; None for none.
    """

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int = 128, width: int = 64, num_classes: int | None = None
    ) -> None:
        channels, h, w = _eighth(self, image_shape)
        check_at_least(self, 1, width=width)
        super().__init__(image_shape, latent_dim, num_classes)
        widths = [8 * width, 4 * width, 2 * width, width]
        layers: list[nn.Module] = [
            nn.Linear(self.input_dim, h * w * widths[0]),
            nn.Unflatten(1, (widths[0], h, w)),
            nn.BatchNorm2d(widths[0]),
            ReLU(),
        ]
        for c_in, c_out in pairwise(widths):
            layers += [_doubling(c_in, c_out), nn.BatchNorm2d(c_out), ReLU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())
        self.net.apply(_init_weights)
        self.to(memory_format=torch.channels_last)


class SNDCGANDiscriminator(Discriminator):
    """Seven convolutions, 3x3 ones that keep the map and 4x4 ones that halve it in turn, then a linear layer.

    The discriminator of SNGAN's plain networks (Miyato et al., 2018, table 3): 1, 2, 2, 4, 4, 8, 8 times `width`
    channels, LeakyReLU(0.1) after each, no norm; `zoo.stabilizers.SpectralNorm` makes it SNGAN's. features["hidden"] is
    the flattened map of an eighth of the sides. Weights start as N(0, 0.02²), biases at 0. On 32 pixels in colour it
    has 5,860,865 parameters.

    Args:
        image_shape: (C, H, W), sides from 8 to 128 that 8 divides; taken from the data.
        width: channels of the full-size map.
        num_classes: of labels that D is given; None for none.
        label: projection, or classifier for `zoo.stabilizers.AuxiliaryClassifier`.
    """

    def __init__(
        self, image_shape: Sequence[int], width: int = 64, num_classes: int | None = None,
        label: DiscriminatorLabel = "projection",
    ) -> None:  # fmt: skip
        channels, h, w = _eighth(self, image_shape)
        check_at_least(self, 1, width=width)
        widths = [width, 2 * width, 4 * width, 8 * width]
        super().__init__(image_shape, hidden_dim=h * w * widths[-1], num_classes=num_classes, label=label)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), LeakyReLU(0.1)]
        for c_in, c_out in pairwise(widths):
            layers += [_halving(c_in, c_out), LeakyReLU(0.1), nn.Conv2d(c_out, c_out, 3, padding=1), LeakyReLU(0.1)]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.trunk.apply(_init_weights)
        self.head.apply(_init_weights)
        self.to(memory_format=torch.channels_last)


def _eighth(net: nn.Module, image_shape: Sequence[int]) -> tuple[int, int, int]:
    channels, _, _ = check_shape(net, image_shape)
    height, width = image_shape[1:]
    if height % 8 or width % 8:
        raise ValueError(
            f"{type(net).__name__}: image_shape is {tuple(image_shape)}; it halves an image three times, so 8 must "
            "divide both sides; choose other sides, or a DCGAN or ResNet backbone"
        )
    return channels, height // 8, width // 8


def _widths(size: int, width: int) -> list[int]:
    """Return the channels of the maps of 4, 8, ..., size / 2 pixels."""
    return [width * min(8, size // (2 * r)) for r in doublings(4, size // 2)]


def _halving(c_in: int, c_out: int, bias: bool = True) -> nn.Module:
    return nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=bias)


def _doubling(c_in: int, c_out: int, bias: bool = True) -> nn.Module:
    return nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1, bias=bias)


def _init(layer: nn.Module) -> None:
    _init_weights(layer)
    if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


def _init_weights(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
