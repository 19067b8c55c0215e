"""Residual networks without norms: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern Baseline GAN".

Per resolution two blocks, x + conv1x1(act(conv3x3(act(conv1x1(x))))): to twice the channels, in groups of 16, and back;
act is LeakyReLU(0.2) after a bias. The last convolution of a block starts at 0 and the others as N(0, g²/fan_in),
g = √(2/1.04) L^(-1/4), L the number of blocks, so that a new block is the identity and no norm is needed (fix-up). All
other layers have no bias and start as N(0, 1/fan_in). Between resolutions maps are filtered by [1, 3, 3, 1], outside of
the map 0, and their channels changed by a 1x1 convolution where they differ. From github.com/brownvc/R3GAN.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.backbones.activations import LeakyReLU
from zoo.backbones.base import Discriminator, Generator, check_at_least, check_shape, doublings

BLOCKS, EXPANSION, GROUP, SLOPE = 2, 2, 16, 0.2


class R3GANGenerator(Generator):
    """A learnt 4x4 map times a linear function of z, then blocks and doublings, a 1x1 convolution, tanh.

    Width 768 and latent_dim 64 are the authors' for 32 and 64 pixels: 20.7 and 22.4 million parameters.

    Deviations: tanh at the end, as the zoo's images lie in [-1, 1]; the authors have none. Labels enter as one-hot
    codes beside z. Raises ValueError for an image_shape that no 2^k-fold of a small map is
    (`zoo.backbones.base.check_shape`), and for sizes below 1.

    Args:
        image_shape: (C, H, W), sides from 8 to 128; taken from the data.
        latent_dim: numbers of z.
        width: channels up to 32 pixels; half as many at each doubling above.
        num_classes: of labels that G is given; None for none.
    """

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int = 64, width: int = 768, num_classes: int | None = None
    ) -> None:
        channels, base, widths = _pyramid(self, image_shape, width)
        super().__init__(image_shape, latent_dim, num_classes)
        blocks = BLOCKS * len(widths)
        layers: list[nn.Module] = [_Basis(self.input_dim, widths[0], base), *_blocks(widths[0], blocks)]
        for before, after in pairwise(widths):
            layers += [*_change(before, after), _Enlarge(after), *_blocks(after, blocks)]
        self.net = nn.Sequential(*layers, _scaled(nn.Conv2d(widths[-1], channels, 1, bias=False)), nn.Tanh())


class R3GANDiscriminator(Discriminator):
    """A 1x1 convolution, blocks and halvings to 4x4, a depthwise 4x4 convolution, and a linear layer without bias.

    Deviations: of labels as in `Discriminator`, with a score of x alone beside their product. Raises ValueError as the
    generator.

    Args:
        image_shape: (C, H, W), sides from 8 to 128; taken from the data.
        width: channels up to 32 pixels; half as many at each doubling above.
        num_classes: of labels that D is given; None for none.
    """

    def __init__(self, image_shape: Sequence[int], width: int = 768, num_classes: int | None = None) -> None:
        channels, base, widths = _pyramid(self, image_shape, width)
        last = widths[0]
        super().__init__(image_shape, last, num_classes)
        blocks = BLOCKS * len(widths)
        layers: list[nn.Module] = [_scaled(nn.Conv2d(channels, widths[-1], 1, bias=False))]
        for before, after in pairwise(widths[::-1]):
            layers += [*_blocks(before, blocks), _Shrink(before), *_change(before, after)]
        ending = _scaled(nn.Conv2d(last, last, base, groups=last, bias=False))
        self.trunk = nn.Sequential(*layers, *_blocks(last, blocks), ending, nn.Flatten())
        self.head = nn.Linear(last, 1, bias=False)
        _scaled(self.head)


class _Basis(nn.Module):
    def __init__(self, inputs: int, width: int, base: tuple[int, int]) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(width, *base))
        self.project = nn.Linear(inputs, width, bias=False)
        _scaled(self.project)

    def forward(self, z: Tensor) -> Tensor:
        return self.basis * self.project(z)[:, :, None, None]


class _Block(nn.Module):
    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        wide = EXPANSION * width
        groups = 1 if wide % GROUP else wide // GROUP
        gain = math.sqrt(2 / (1 + SLOPE**2)) * blocks**-0.25
        self.branch = nn.Sequential(
            _scaled(nn.Conv2d(width, wide, 1), gain),
            LeakyReLU(SLOPE),
            _scaled(nn.Conv2d(wide, wide, 3, padding=1, groups=groups), gain),
            LeakyReLU(SLOPE),
            _scaled(nn.Conv2d(wide, width, 1, bias=False), 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class _Resample(nn.Module):
    filter: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("filter", (line[:, None] * line).repeat(channels, 1, 1, 1), persistent=False)


class _Enlarge(_Resample):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, 4 * self.filter, stride=2, padding=1, groups=x.shape[1])


class _Shrink(_Resample):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.filter, stride=2, padding=1, groups=x.shape[1])


def _blocks(width: int, blocks: int) -> list[nn.Module]:
    return [_Block(width, blocks) for _ in range(BLOCKS)]


def _change(before: int, after: int) -> list[nn.Module]:
    return [] if before == after else [_scaled(nn.Conv2d(before, after, 1, bias=False))]


def _scaled(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Module:
    """Weights N(0, gain²/fan_in), biases 0."""
    nn.init.normal_(layer.weight, 0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _pyramid(net: nn.Module, image_shape: Sequence[int], width: int) -> tuple[int, tuple[int, int], list[int]]:
    """The image's channels, the smallest map's size, and the maps' channels from it up."""
    channels, size, base = check_shape(net, image_shape)
    check_at_least(net, max(1, size // 32), width=width)
    return channels, base, [width // max(1, r // 32) for r in doublings(4, size)]
