"""BEGAN's autoencoder (Berthelot, Schumm & Metz, 2017) and the generator built like its decoder."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.backbones.base import Generator, check_at_least, check_choice, check_input, check_shape, doublings, xavier
from zoo.support.described import Described


class Autoencoder(Described, nn.Module):
    """An autoencoder as discriminator: the score of x is its reconstruction error (BEGAN, EBGAN).

    forward(x) -> energy (N,) = mean over C, H, W of |x - D(x)|^norm_power, never negative, and
    {"code": (N, code_dim), "reconstruction": (N, C, H, W)}. The gradient reaches x through both
    of its occurrences. The reconstruction is linear at its end, not bound to [-1, 1].

    Two 3x3 convolutions a resolution, ELU, no norm; on the way down to 8x8 a strided convolution
    halves the map and the k-th resolution has k * width channels; on the way back up, nearest
    neighbour and `width` channels throughout. The code stands between two linear layers without
    activation. Weights start Xavier-uniform, biases at 0. The energy is a mean, not EBGAN's
    (Zhao et al., 2017) norm: their margins are for a sum over pixels.

    Args:
        image_shape: (C, H, W), sides from 8 to 128; taken from the data.
        width: channels at full size; the k-th smaller map of the encoder has k + 1 times as many.
        code_dim: numbers of the code.
        norm_power: 1 for absolute, 2 for squared error.
    """

    energy = True
    num_classes: int | None = None

    def __init__(
        self, image_shape: Sequence[int], width: int = 64, code_dim: int = 64, norm_power: Literal[1, 2] = 1
    ) -> None:
        channels, size, base = check_shape(self, image_shape)
        check_at_least(self, 1, width=width, code_dim=code_dim)
        check_choice(self, (1, 2), norm_power=norm_power)
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.code_dim = code_dim
        self.norm_power = norm_power
        self.encoder = _encoder(channels, size, base, width, code_dim)
        self.decoder = _decoder(channels, size, base, width, code_dim)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the energy (N,) of x (N, C, H, W), with its code and reconstruction."""
        check_input(self, x)
        code = self.encoder(x)
        reconstruction = self.decoder(code)
        energy = (x - reconstruction).abs().pow(self.norm_power).flatten(1).mean(1)
        return energy, {"code": code, "reconstruction": reconstruction}


class DecoderGenerator(Generator):
    """BEGAN's generator: the architecture of `Autoencoder`'s decoder, with a tanh at its end.

    The tanh is a deviation: the paper's generator is linear there, and trusts training to keep it
    near the data's range; here every generator of images keeps to [-1, 1].

    Args:
        image_shape: (C, H, W), sides from 8 to 128; taken from the data.
        latent_dim: numbers of z.
        width: channels of every map.
        num_classes: of labels that G is given; None for none.
    """

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int = 64, width: int = 64, num_classes: int | None = None
    ) -> None:
        channels, size, base = check_shape(self, image_shape)
        check_at_least(self, 1, width=width)
        super().__init__(image_shape, latent_dim, num_classes)
        self.net = nn.Sequential(_decoder(channels, size, base, width, self.input_dim), nn.Tanh())
        self.to(memory_format=torch.channels_last)


def _encoder(channels: int, size: int, base: tuple[int, int], width: int, code_dim: int) -> nn.Module:
    widths = [k * width for k in range(1, len(doublings(8, size)) + 1)]
    layers = [_conv(channels, width), nn.ELU(inplace=True), *_convs(width)]
    for c_in, c_out in pairwise(widths):
        layers += [_conv(c_in, c_out, stride=2), nn.ELU(inplace=True), *_convs(c_out)]
    return nn.Sequential(*layers, nn.Flatten(), xavier(nn.Linear(4 * prod(base) * widths[-1], code_dim)))


def _decoder(channels: int, size: int, base: tuple[int, int], width: int, code_dim: int) -> nn.Module:
    h, w = base
    layers = [xavier(nn.Linear(code_dim, 4 * h * w * width)), nn.Unflatten(1, (width, 2 * h, 2 * w))]
    layers += _convs(width)
    for _ in doublings(16, size):
        layers += [nn.Upsample(scale_factor=2), *_convs(width)]
    return nn.Sequential(*layers, _conv(width, channels))


def _convs(channels: int) -> list[nn.Module]:
    return [_conv(channels, channels), nn.ELU(inplace=True), _conv(channels, channels), nn.ELU(inplace=True)]


def _conv(c_in: int, c_out: int, stride: int = 1) -> nn.Module:
    return xavier(nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1))
