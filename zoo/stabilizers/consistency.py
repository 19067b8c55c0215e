"""D's score of an image stays under small changes of it."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.noise import Noise
from zoo.stabilizers.adaptive import warped
from zoo.stabilizers.base import Stabilizer, refuse_points
from zoo.types import Batch, Critic, Game, Output, Role, Terms


class ConsistencyRegularization(Stabilizer):
    """real · E (D(x) - D(Tx))² + fake · E (D(G(z)) - D(TG(z)))², added to D's loss.

    T mirrors an image with probability ½ and shifts it by whole pixels, up to an eighth of each side; it is mirrored
    beyond its edge. With `fake: 0` this is CR (Zhang et al. 2020, equation 3), else bCR (Zhao et al. 2021, "Improved
    Consistency Regularization for GANs", algorithm 1). Unlike augmentation, it does not change what D tells apart: G
    may not learn to make changed images. D scores each kind of images once more, except where its weight is 0.

    Deviations: the score is compared, as in the authors' experiments, and no other layer; the shift is that of
    PyTorch-StudioGAN (Kang et al. 2023), from which the default weights are, too.

    Args:
        real: λ of real images, at least 0.
        fake: λ of fakes, at least 0. Both 0 are the plain run, bit for bit.

    Raises:
        ValueError: for a negative weight, data that are points, and a D of pairs.
    """

    def __init__(self, real: float = 10.0, fake: float = 10.0) -> None:
        super().__init__()
        if real < 0 or fake < 0:
            raise ValueError(
                f"ConsistencyRegularization: real and fake must be at least 0, got real={real}, fake={fake}"
            )
        self.real, self.fake = real, fake

    def prepare(self, gan: Game) -> None:
        """Refuse a D of points, and one of pairs."""
        refuse_points(self, getattr(gan.discriminator, "image_shape", None))
        if gan.paired:
            raise ValueError(f"{type(gan).__name__}: ConsistencyRegularization changes x, whose z would not fit then")

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """Both terms, as `consistency_real` and `consistency_fake`."""
        refuse_points(self, batch.real.shape[1:])
        sides: tuple[tuple[Role, float, Tensor, Output], ...] = (
            ("real", self.real, batch.real, real),
            ("fake", self.fake, batch.fake, fake),
        )
        return {
            f"consistency_{role}": weight * (out.score - critic(changed(x, batch.noise), role).score).square().mean()
            for role, weight, x, out in sides
            if weight
        }

    def extra_repr(self) -> str:
        """The weights, for printing."""
        return f"real={self.real}, fake={self.fake}"


def changed(x: Tensor, noise: Noise) -> Tensor:
    """x (N, C, H, W), mirrored and shifted at random."""
    mirror, *shifts = noise.uniform(len(x), 3).T
    ones = torch.ones_like(mirror)
    flips = torch.diag_embed(torch.stack([ones, ones - 2 * (mirror < 0.5)], 1))
    most = [side // 8 for side in x.shape[2:]]
    t = torch.stack([(u * (2 * m + 1)).floor() - m for u, m in zip(shifts, most, strict=True)], 1)
    return warped(x, flips, t)
