"""Small convolutional networks of two published comparisons: unrolled GANs on stacked digits, and Lucic et al.'s."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import nn

from zoo.backbones.activations import LeakyReLU, ReLU
from zoo.backbones.base import Discriminator, Generator, check_at_least, check_choice, init_normal

SmallNorm = Literal["batch", "layer", "none"]


class UnrolledGenerator(Generator):
    """The generator of unrolled GANs on stacked digits (Metz et al., 2017): 4, 7, 14 and 28 pixels a side.

    z is projected to 4x4 maps; three transposed 3x3 convolutions of stride 2, each layer with batch norm and ReLU; a
    3x3 convolution and tanh. Channels are 8, 4, 2 and 1 times `width`. Weights start as N(0, 0.02²), biases at 0. With
    three channels and latent_dim 256 it has 287,875 parameters.

    Deviations: where an odd number of pixels is cut, it is taken from the other side than in TensorFlow.

    Args:
        image_shape: (C, 28, 28); taken from the data.
        latent_dim: numbers of z.
        width: channels of the 28-pixel map.

    Raises:
        ValueError: another image_shape, and sizes below 1.
    """

    def __init__(self, image_shape: Sequence[int], latent_dim: int = 256, width: int = 8) -> None:
        check_at_least(self, 1, width=width)
        channels = _of_28_pixels(self, image_shape)
        super().__init__(image_shape, latent_dim, num_classes=None)
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, 16 * 8 * width), nn.Unflatten(1, (8 * width, 4, 4)),
            nn.BatchNorm2d(8 * width), ReLU(),
        ]  # fmt: skip
        for c_out, cut in ((4 * width, 0), (2 * width, 1), (width, 1)):
            up = nn.ConvTranspose2d(2 * c_out, c_out, 3, stride=2, padding=1, output_padding=cut)
            layers += [up, nn.BatchNorm2d(c_out), ReLU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())
        init_normal(self, 0.02)


class UnrolledDiscriminator(Discriminator):
    """The discriminator of unrolled GANs on stacked digits (Metz et al., 2017): 28, 14, 7 and 4 pixels a side.

    Three 3x3 convolutions of stride 2 to 1, 2 and 4 times `width` channels, each with batch norm and LeakyReLU(0.3),
    then a linear layer: a quarter of G's channels at width 2, half of them at 4. Weights start as N(0, 0.02²), biases
    at 0.

    Deviations: weights beyond two standard deviations are drawn again in the authors' convolutions; padding is on both
    sides of a map, TensorFlow's of even ones on one.

    Args:
        image_shape: (C, 28, 28); taken from the data.
        width: channels of the 14-pixel map.

    Raises:
        ValueError: another image_shape, and sizes below 1.
    """

    def __init__(self, image_shape: Sequence[int], width: int = 2) -> None:
        check_at_least(self, 1, width=width)
        channels = _of_28_pixels(self, image_shape)
        super().__init__(image_shape, hidden_dim=16 * 4 * width, num_classes=None)
        layers: list[nn.Module] = []
        for c_in, c_out in ((channels, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(c_in, c_out, 3, stride=2, padding=1), nn.BatchNorm2d(c_out), LeakyReLU(0.3)]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        init_normal(self, 0.02)


class InfoGANGenerator(Generator):
    """The generator of Lucic et al. 2018, "Are GANs Created Equal?", after InfoGAN's.

    Two linear layers, of 1,024 units and of 128 maps of a quarter of the image's sides; two transposed 4x4 convolutions
    of stride 2, to 64 channels and the image; batch norm and LeakyReLU(0.2) after every layer but the last. Weights
    start as N(0, 0.02²), biases at 0.

    Deviations: images are in [-1, 1] and leave a tanh, those of the authors in [0, 1] and leave a sigmoid.

    Args:
        image_shape: (C, H, W), sides that 4 divides; taken from the data.
        latent_dim: numbers of z.

    Raises:
        ValueError: another image_shape, and sizes below 1.
    """

    def __init__(self, image_shape: Sequence[int], latent_dim: int = 64) -> None:
        channels, h, w = _quarter(self, image_shape)
        super().__init__(image_shape, latent_dim, num_classes=None)
        self.net = nn.Sequential(
            nn.Linear(latent_dim, 1024), nn.BatchNorm1d(1024), LeakyReLU(0.2),
            nn.Linear(1024, 128 * h * w), nn.BatchNorm1d(128 * h * w), LeakyReLU(0.2), nn.Unflatten(1, (128, h, w)),
            nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1), nn.BatchNorm2d(64), LeakyReLU(0.2),
            nn.ConvTranspose2d(64, channels, 4, stride=2, padding=1), nn.Tanh(),
        )  # fmt: skip
        init_normal(self, 0.02)


class InfoGANDiscriminator(Discriminator):
    """The discriminator of Lucic et al. 2018, "Are GANs Created Equal?", after InfoGAN's.

    4x4 convolutions of stride 2 to 64 and 128 channels, a linear layer of 1,024 units, `norm` before the last two
    activations, LeakyReLU(0.2), a linear score. Weights start as N(0, 0.02²), biases at 0. The linear layer is
    features["hidden"].

    Args:
        image_shape: (C, H, W), sides that 4 divides; taken from the data.
        norm: batch, layer or none.

    Raises:
        ValueError: another image_shape or norm.
    """

    def __init__(self, image_shape: Sequence[int], norm: SmallNorm = "batch") -> None:
        check_choice(self, get_args(SmallNorm), norm=norm)
        channels, h, w = _quarter(self, image_shape)
        super().__init__(image_shape, hidden_dim=1024, num_classes=None)
        after = {
            "batch": (nn.BatchNorm2d(128), nn.BatchNorm1d(1024)),
            "layer": (nn.GroupNorm(1, 128), nn.LayerNorm(1024)),
            "none": (nn.Identity(), nn.Identity()),
        }[norm]
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, 64, 4, stride=2, padding=1), LeakyReLU(0.2),
            nn.Conv2d(64, 128, 4, stride=2, padding=1), after[0], LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(128 * h * w, 1024), after[1], LeakyReLU(0.2),
        )  # fmt: skip
        init_normal(self, 0.02)


def _of_28_pixels(net: nn.Module, image_shape: Sequence[int]) -> int:
    """The channels of an image of 28 x 28 pixels."""
    if len(image_shape) != 3 or tuple(image_shape[1:]) != (28, 28):
        raise ValueError(
            f"{type(net).__name__}: image_shape is {tuple(image_shape)}; it takes (C, 28, 28); set data.image_size: 28"
        )
    return image_shape[0]


def _quarter(net: nn.Module, image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels, and a quarter of height and width."""
    if len(image_shape) != 3 or any(side % 4 or side < 4 for side in image_shape[1:]):
        raise ValueError(
            f"{type(net).__name__}: image_shape is {tuple(image_shape)}; it takes (C, H, W) with sides that 4 divides"
        )
    channels, height, width = image_shape
    return channels, height // 4, width // 4
