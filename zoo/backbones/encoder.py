"""Networks for models with an encoder: samples to latents, and a discriminator of pairs (x, z)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.backbones.activations import LeakyReLU
from zoo.backbones.base import NORMS, Norm, check_at_least, check_choice, check_input, check_shape, init_orthogonal
from zoo.backbones.dcgan import DCGANDiscriminator
from zoo.backbones.mlp import MLPDiscriminator
from zoo.support.described import Described


class Encoder(Described, nn.Module):
    """x (N, *image_shape) -> z (N, latent_dim), or its mean and log variance when `stochastic`.

    Images pass the convolutions of `DCGANDiscriminator`, points (D,) three hidden ReLU layers of
    `width` units; a linear layer follows. With `stochastic`, forward returns two tensors, each
    (N, latent_dim): a diagonal Gaussian q(z|x).

    MDGAN covers the ring of 8 Gaussians only with an `init_gain`.

    Args:
        image_shape: (C, H, W), sides from 8 to 128, or (D,); taken from the data.
        latent_dim: numbers of z; taken from the generator.
        width: as of DCGANDiscriminator for images; units of a hidden layer for points.
        norm: batch, layer, instance (images only) or none.
        stochastic: whether q(z|x) is a Gaussian, not a point.
        init_gain: of orthogonal initial weights, with biases at 0; None for the trunk's own.
    """

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int = 128, width: int = 64, norm: Norm = "batch",
        stochastic: bool = False, init_gain: float | None = None,
    ) -> None:  # fmt: skip
        check_at_least(self, 1, latent_dim=latent_dim)
        trunk, hidden_dim = _trunk(self, image_shape, width, norm)
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        self.stochastic = stochastic
        self.trunk = trunk
        self.head = nn.Linear(hidden_dim, 2 * latent_dim if stochastic else latent_dim)
        init_orthogonal(self, init_gain)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return z (N, latent_dim), or (mean, log_variance), of x (N, *image_shape)."""
        check_input(self, x)
        code = self.head(self.trunk(x))
        if not self.stochastic:
            return code
        mean, log_variance = code.chunk(2, dim=1)
        return mean, log_variance


class PairDiscriminator(Described, nn.Module):
    """x (N, *image_shape) and z (N, latent_dim) -> score (N,) and {"hidden": (N, hidden_dim)}: ALI.

    x passes a trunk as in `Encoder`, z two hidden layers; both, side by side, two more, and a linear
    score. These four are LeakyReLU(0.2) layers of hidden_dim units: `width` for points, 8 width for
    images, which is the 512 of ALI's (Dumoulin et al., 2017) 32-pixel z path at width 64.

    Deviations: ALI's maxout, dropout and 1024-unit joint layers are left out.

    Args:
        image_shape: (C, H, W) or (D,); taken from the data.
        latent_dim: numbers of z; taken from the generator.
        width: as of DCGANDiscriminator for images; units of a hidden layer for points.
        norm: of the path of x: batch, layer, instance or none.
    """

    energy = False
    paired = True

    def __init__(self, image_shape: Sequence[int], latent_dim: int = 128, width: int = 64, norm: Norm = "none") -> None:
        check_at_least(self, 1, latent_dim=latent_dim)
        x_trunk, x_dim = _trunk(self, image_shape, width, norm)
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        hidden_dim = 8 * width if len(self.image_shape) == 3 else width
        self.x_trunk = x_trunk
        self.z_trunk = _layers(latent_dim, hidden_dim)
        self.joint = _layers(x_dim + hidden_dim, hidden_dim)
        self.head = nn.Linear(hidden_dim, 1)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Score x (N, *image_shape) together with z (N, latent_dim)."""
        check_input(self, x)
        if z.shape != (len(x), self.latent_dim):
            raise ValueError(
                f"PairDiscriminator: got z of shape {tuple(z.shape)}; expected ({len(x)}, {self.latent_dim})"
            )
        hidden = self.joint(torch.cat([self.x_trunk(x), self.z_trunk(z)], dim=1))
        return self.head(hidden).squeeze(1), {"hidden": hidden}


def _trunk(net: nn.Module, image_shape: Sequence[int], width: int, norm: Norm) -> tuple[nn.Module, int]:
    """Return what maps (N, *image_shape) to (N, hidden_dim), and hidden_dim."""
    check_at_least(net, 1, width=width)
    discriminator: DCGANDiscriminator | MLPDiscriminator
    if len(image_shape) == 1:
        check_choice(net, ("batch", "layer", "none"), norm=norm)
        discriminator = MLPDiscriminator(image_shape, width, norm=norm)  # type: ignore[arg-type]
    else:
        check_choice(net, NORMS, norm=norm)
        check_shape(net, image_shape)
        discriminator = DCGANDiscriminator(image_shape, width, norm)
    return discriminator.trunk, discriminator.head.in_features


def _layers(fan_in: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(fan_in, width), LeakyReLU(0.2), nn.Linear(width, width), LeakyReLU(0.2))
