"""R3GAN's networks: the published sizes, the start, the filters."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo.backbones import R3GANDiscriminator, R3GANGenerator


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def block(width: int) -> int:
    """1x1 to 2w and back, 3x3 in groups of 16, two biases of 2w."""
    return 4 * width**2 + 2 * width * 16 * 9 + 4 * width


# The paper's table 9, unconditional: 20.7 million each at 32 pixels; 22.4 at 64, where the last maps have 384 channels.
@pytest.mark.parametrize(
    ("size", "body", "last", "millions"),
    [(32, 8 * block(768), 768, 20.7), (64, 8 * block(768) + 768 * 384 + 2 * block(384), 384, 22.4)],
)
def test_the_published_sizes(size: int, body: int, last: int, millions: float) -> None:
    with torch.device("meta"):
        g, d = R3GANGenerator((3, size, size)), R3GANDiscriminator((3, size, size))
    assert count(g) == 768 * 16 + 64 * 768 + body + 3 * last
    assert count(d) == 768 * 16 + 768 + body + 3 * last
    assert round(count(g) / 1e6, 1) == round(count(d) / 1e6, 1) == millions


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(size: int, channels: int) -> None:
    g, d = R3GANGenerator((channels, size, size), 5, width=8), R3GANDiscriminator((channels, size, size), width=8)
    x = g(100 * torch.randn(3, 5))
    assert x.shape == (3, channels, size, size)
    assert 0.9 < x.abs().max() <= 1
    score, features = d(x)
    assert (score.shape, features["hidden"].shape) == ((3,), (3, 8))
    score.sum().backward()
    for net in (g, d):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_labels() -> None:
    g = R3GANGenerator((1, 8, 8), 5, width=8, num_classes=3)
    d = R3GANDiscriminator((1, 8, 8), width=8, num_classes=3)
    z, labels = torch.randn(1, 5).expand(3, 5), torch.arange(3)
    x = g(z, labels)
    assert not torch.equal(x[0], x[1])
    assert len({round(v, 6) for v in d(x[:1].expand(3, 1, 8, 8), labels)[0].tolist()}) == 3


def test_a_new_block_is_the_identity_and_its_layers_start_as_published() -> None:
    """N(0, g²/fan_in), g = √(2/1.04) L^(-1/4): with 8 blocks the weights of 768 inputs deviate by 0.02975."""
    g = R3GANGenerator((3, 32, 32))
    blocks = [m for m in g.modules() if hasattr(m, "branch")]
    assert len(blocks) == 8
    x = torch.randn(2, 768, 4, 4)
    assert torch.equal(blocks[0](x), x)
    first, _, grouped, _, last = blocks[3].branch
    assert first.weight.std().item() == pytest.approx(math.sqrt(2 / 1.04) / math.sqrt(768) / 8**0.25, rel=0.01)
    assert grouped.weight.shape == (1536, 16, 3, 3)
    assert grouped.weight.std().item() == pytest.approx(math.sqrt(2 / 1.04) / 12 / 8**0.25, rel=0.01)
    assert not last.weight.any()
    assert not first.bias.any()
    basis = g.net[0]
    assert (basis.basis.std().item(), basis.project.weight.std().item()) == pytest.approx((1, 1 / 8), rel=0.02)


def test_maps_are_resampled_bilinearly_with_zeros_outside() -> None:
    """Inside as torch's interpolation; at the border the outermost weight, 1/4 or 1/8 a side, meets zeros."""
    enlarge = next(m for m in R3GANGenerator((1, 8, 8), width=8).net if type(m).__name__ == "_Enlarge")
    shrink = next(m for m in R3GANDiscriminator((1, 8, 8), width=8).trunk if type(m).__name__ == "_Shrink")
    x = torch.randn(2, 8, 6, 6)
    large, small = (
        F.interpolate(x, scale_factor=2, mode="bilinear"),
        F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True),
    )
    torch.testing.assert_close(enlarge(x)[..., 1:-1, 1:-1], large[..., 1:-1, 1:-1])
    torch.testing.assert_close(shrink(x)[..., 1:-1, 1:-1], small[..., 1:-1, 1:-1])
    ones = torch.ones(1, 8, 4, 4)
    assert enlarge(ones)[0, 0, 0, :2].tolist() == pytest.approx([9 / 16, 3 / 4])
    assert shrink(ones)[0, 0].tolist()[0] == pytest.approx([49 / 64, 49 / 64])


def test_refusals() -> None:
    with pytest.raises(ValueError, match="width is 3; it must be at least 4"):
        R3GANGenerator((1, 128, 128), width=3)
    with pytest.raises(ValueError, match="S one of"):
        R3GANDiscriminator((1, 20, 20))
