"""Networks that grow from 4x4: Karras et al. 2018, "Progressive Growing of GANs", sections 2 and 4.

A network's level is 0 at 4x4 and one more at each doubling; a fraction is how far the next resolution has faded in.
Images keep their full size: G's are enlarged, D's are averaged down, so that data and losses never change shape. A
network starts full-grown, and is then an ordinary one; `zoo.stabilizers.ProgressiveGrowing` takes it through levels.

Deviations: G ends in tanh, as the zoo's images lie in [-1, 1], where the paper's is linear. No minibatch standard
deviation in D: it would make a score depend on the batch, against the per-sample gradient penalty. D's last
layer is an ordinary one, without equalised learning rate, and the optimisers keep their moments when a level is added,
where the authors reset them.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.backbones.activations import LeakyReLU
from zoo.backbones.base import Discriminator, Generator, check_at_least, check_shape

_SLOPE = 0.2


class Level(nn.Module):
    """A number from 0 to `top`, saved with the network."""

    value: Tensor

    def __init__(self, top: int) -> None:
        super().__init__()
        self.top, self.now = top, float(top)
        self.register_buffer("value", torch.tensor(self.now))
        self.register_load_state_dict_post_hook(_read_level)  # type: ignore[no-untyped-call]

    def set(self, level: float) -> None:
        """Grow, or shrink, to `level`."""
        if not 0 <= level <= self.top:
            raise ValueError(f"level must be from 0 to {self.top}, got {level}")
        self.now = float(level)
        self.value.fill_(level)

    def parts(self) -> tuple[int, float]:
        """The whole level below, and the weight of the next."""
        whole = math.floor(self.now)
        return whole, self.now - whole


def _read_level(level: nn.Module, _: object) -> None:
    level.now = float(level.value)  # type: ignore[assignment, arg-type]


class EqualConv2d(nn.Conv2d):
    """A convolution with weights of N(0, 1), scaled to He's deviation in use, so that all learn at one speed."""

    def __init__(
        self, inputs: int, outputs: int, size: int | tuple[int, int], padding: int | tuple[int, int] = 0,
        gain: float = math.sqrt(2),
    ) -> None:  # fmt: skip
        super().__init__(inputs, outputs, size, padding=padding)
        self.scale = gain / math.sqrt(self.weight[0].numel())

    def reset_parameters(self) -> None:
        """N(0, 1), and biases of 0."""
        super().reset_parameters()
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x (N, C, H, W)."""
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class PixelNorm(nn.Module):
    """Divide by the root mean square over channels: (N, C, ...) with mean square 1 at every position."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x."""
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class GrowingGenerator(Generator):
    """z (N, latent_dim) to images (N, C, H, W), through as many blocks as its level has reached.

    Args:
        image_shape: (C, H, W), sides from 8 to 128; taken from the data.
        latent_dim: of z, which is normalised to mean square 1.
        width: channels at full size; twice as many at each halving, up to 8 times.
        num_classes: of labels; None for none.
    """

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int = 128, width: int = 32, num_classes: int | None = None
    ) -> None:
        super().__init__(image_shape, latent_dim, num_classes)
        self.net = _Synthesis(self.input_dim, *_pyramid(self, image_shape, width))
        self.to(memory_format=torch.channels_last)

    @property
    def level(self) -> Level:
        """How far it has grown."""
        return self.net.level  # type: ignore[return-value]


class GrowingDiscriminator(Discriminator):
    """Images (N, C, H, W) to a score, from as many blocks as its level has reached.

    Args:
        image_shape: (C, H, W), sides from 8 to 128; taken from the data.
        width: channels at full size; twice as many at each halving, up to 8 times.
        num_classes: of labels; None for none.
    """

    def __init__(self, image_shape: Sequence[int], width: int = 32, num_classes: int | None = None) -> None:
        channels, base, widths = _pyramid(self, image_shape, width)
        super().__init__(image_shape, widths[0], num_classes)
        self.trunk = _Analysis(channels, base, widths)
        self.to(memory_format=torch.channels_last)

    @property
    def level(self) -> Level:
        """How far it has grown."""
        return self.trunk.level  # type: ignore[return-value]


class _Synthesis(nn.Module):
    def __init__(self, input_dim: int, channels: int, base: tuple[int, int], widths: list[int]) -> None:
        super().__init__()
        self.level = Level(len(widths) - 1)
        full = base[0] - 1, base[1] - 1
        self.first = nn.Sequential(
            PixelNorm(), nn.Unflatten(1, (input_dim, 1, 1)), EqualConv2d(input_dim, widths[0], base, full), *_act(),
            EqualConv2d(widths[0], widths[0], 3, padding=1), *_act(),
        )  # fmt: skip
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2), EqualConv2d(a, b, 3, padding=1), *_act(),
                EqualConv2d(b, b, 3, padding=1), *_act(),
            )
            for a, b in pairwise(widths)
        )  # fmt: skip
        self.to_image = nn.ModuleList(EqualConv2d(w, channels, 1, gain=1.0) for w in widths)

    def forward(self, z: Tensor) -> Tensor:
        whole, share = self.level.parts()
        x = self.first(z)
        for block in self.blocks[:whole]:
            x = block(x)
        image = self.to_image[whole](x)
        reached = whole
        if share:
            reached += 1
            image = torch.lerp(enlarge(image, 2), self.to_image[reached](self.blocks[whole](x)), share)
        return enlarge(image, 2 ** (self.level.top - reached)).tanh()


class _Analysis(nn.Module):
    def __init__(self, channels: int, base: tuple[int, int], widths: list[int]) -> None:
        super().__init__()
        self.level = Level(len(widths) - 1)
        self.from_image = nn.ModuleList(nn.Sequential(EqualConv2d(channels, w, 1), _rectifier()) for w in widths)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                EqualConv2d(b, b, 3, padding=1), _rectifier(),
                EqualConv2d(b, a, 3, padding=1), _rectifier(), nn.AvgPool2d(2),
            )
            for a, b in pairwise(widths)
        )  # fmt: skip
        self.last = nn.Sequential(
            EqualConv2d(widths[0], widths[0], 3, padding=1), _rectifier(),
            EqualConv2d(widths[0], widths[0], base), _rectifier(), nn.Flatten(),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        whole, share = self.level.parts()
        top = self.level.top
        x = self.from_image[whole](shrink(image, 2 ** (top - whole)))
        if share:
            new = self.from_image[whole + 1](shrink(image, 2 ** (top - whole - 1)))
            x = torch.lerp(x, self.blocks[whole](new), share)
        for block in reversed(self.blocks[:whole]):
            x = block(x)
        return self.last(x)


def enlarge(images: Tensor, factor: int) -> Tensor:
    """Repeat every pixel `factor` times each way."""
    return images if factor == 1 else F.interpolate(images, scale_factor=factor)


def shrink(images: Tensor, factor: int) -> Tensor:
    """Average squares of `factor` by `factor` pixels."""
    return images if factor == 1 else F.avg_pool2d(images, factor)


def _act() -> tuple[nn.Module, ...]:
    return _rectifier(), PixelNorm()


def _rectifier() -> nn.Module:
    return LeakyReLU(_SLOPE)


def _pyramid(net: nn.Module, image_shape: Sequence[int], width: int) -> tuple[int, tuple[int, int], list[int]]:
    """The image's channels, the smallest map's size, and the features' channels from it up."""
    check_at_least(net, 1, width=width)
    channels, size, base = check_shape(net, image_shape)
    top = int(math.log2(size // 4))
    return channels, base, [width * min(2 ** (top - level), 8) for level in range(top + 1)]
