"""The insides of the backbones, by arithmetic and by hand: channels, layers, initial weights."""

import copy
import math
from itertools import pairwise
from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.games import fit
from zoo.backbones import (
    Autoencoder,
    DCGANDiscriminator,
    DCGANGenerator,
    DecoderGenerator,
    MLPDiscriminator,
    MLPGenerator,
    R3GANDiscriminator,
    R3GANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
    SNDCGANDiscriminator,
    SNDCGANGenerator,
)
from zoo.backbones.base import NORMS, norm2d
from zoo.backbones.growing import EqualConv2d, GrowingDiscriminator, GrowingGenerator, PixelNorm
from zoo.dynamics import Alternating
from zoo.stabilizers import ProgressiveGrowing, ScoreDrift
from zoo.types import Output
from zoo.variants.wgan_gp import WGANGP


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def images(n, channels, size):
    return torch.rand(n, channels, size, size) * 2 - 1


def count(net):
    return sum(p.numel() for p in net.parameters())


def map_channels(layers, x):
    """Side -> channels of every map that passes between the layers."""
    channels = {}
    for layer in layers:
        x = layer(x)
        if x.dim() == 4 and x.shape[2] > 1:
            channels[x.shape[2]] = x.shape[1]
    return channels


# ---- architecture


@pytest.mark.parametrize(
    ("size", "generator", "discriminator"),
    [
        (8, {4: 1}, {4: 1}),
        (16, {4: 2, 8: 1}, {8: 1, 4: 2}),
        (32, {4: 4, 8: 2, 16: 1}, {16: 1, 8: 2, 4: 4}),
        (64, {4: 8, 8: 4, 16: 2, 32: 1}, {32: 1, 16: 2, 8: 4, 4: 8}),
        (128, {4: 8, 8: 8, 16: 4, 32: 2, 64: 1}, {64: 1, 32: 2, 16: 4, 8: 8, 4: 8}),
    ],
)
def test_dcgan_channels_double_as_the_map_halves_up_to_eight(size, generator, discriminator):
    g = DCGANGenerator((3, size, size), latent_dim=5, width=2)
    d = DCGANDiscriminator((3, size, size), width=2)
    doubled = {r: 2 * c for r, c in generator.items()}
    assert map_channels(g.net, torch.randn(2, 5)) == {**doubled, size: 3}
    assert map_channels(d.trunk, images(2, 3, size)) == {r: 2 * c for r, c in discriminator.items()}


@pytest.mark.parametrize(
    ("size", "generator", "discriminator"),
    [
        (8, {4: 1}, {4: 1}),
        (16, {4: 1, 8: 1}, {8: 1}),
        (32, {4: 1, 8: 1, 16: 1}, {16: 1, 8: 1}),
        (64, {4: 8, 8: 8, 16: 4, 32: 2}, {32: 1, 16: 2, 8: 4}),
        (128, {4: 8, 8: 8, 16: 8, 32: 4, 64: 2}, {64: 1, 32: 2, 16: 4, 8: 8}),
    ],
)
def test_resnet_channels_are_constant_up_to_32_pixels(size, generator, discriminator):
    g = ResNetGenerator((3, size, size), latent_dim=5, width=2)
    d = ResNetDiscriminator((3, size, size), width=2)
    doubled = {r: 2 * c for r, c in generator.items()}
    assert map_channels(g.net[:-3], torch.randn(2, 5)) == {**doubled, size: 2}
    assert map_channels(d.trunk, images(2, 3, size)) == {r: 2 * c for r, c in discriminator.items()}


def test_parameters_of_dcgan_at_32_pixels():
    generator = (
        128 * 256 * 16 + 2 * 256  # z to 4x4, batch norm's gain and bias
        + 256 * 128 * 16 + 2 * 128  # 8x8
        + 128 * 64 * 16 + 2 * 64  # 16x16
        + 64 * 3 * 16 + 3  # 32x32, a bias and no norm
    )  # fmt: skip
    discriminator = (
        3 * 64 * 16 + 64  # 16x16, a bias and no norm
        + 64 * 128 * 16 + 2 * 128  # 8x8
        + 128 * 256 * 16 + 2 * 256  # 4x4
        + 256 * 16 + 1  # score
    )  # fmt: skip
    assert (generator, discriminator) == (1_183_619, 663_361)
    assert count(DCGANGenerator((3, 32, 32))) == generator
    assert count(DCGANDiscriminator((3, 32, 32))) == discriminator


def test_parameters_of_sngan_resnet_at_32_pixels():
    conv, shortcut = 256 * 256 * 9, 256 * 256 + 256
    up = 2 * 256 + conv + 2 * 256 + (conv + 256) + shortcut
    generator = 128 * 16 * 256 + 16 * 256 + 3 * up + 2 * 256 + 256 * 3 * 9 + 3
    conv, shortcut = 128 * 128 * 9 + 128, 128 * 128 + 128
    first = (3 * 128 * 9 + 128) + conv + (3 * 128 + 128)
    discriminator = first + (2 * conv + shortcut) + 2 * (2 * conv) + 128 + 1
    assert (generator, discriminator) == (4_275_971, 1_053_825)
    assert count(ResNetGenerator((3, 32, 32), width=256)) == generator
    assert count(ResNetDiscriminator((3, 32, 32))) == discriminator


def test_parameters_of_began_at_32_pixels():
    def conv(c_in, c_out):
        return c_in * c_out * 9 + c_out

    encoder = (
        conv(3, 64) + 2 * conv(64, 64)  # 32x32
        + conv(64, 128) + 2 * conv(128, 128)  # 16x16
        + conv(128, 192) + 2 * conv(192, 192)  # 8x8
        + 8 * 8 * 192 * 64 + 64
    )  # fmt: skip
    decoder = 64 * 8 * 8 * 64 + 8 * 8 * 64 + 3 * 2 * conv(64, 64) + conv(64, 3)
    d = Autoencoder((3, 32, 32))
    assert count(d.encoder) == encoder
    assert count(d.decoder) == decoder
    assert not [m for m in d.modules() if "Norm" in type(m).__name__]


@pytest.mark.parametrize("net", [DCGANGenerator, DCGANDiscriminator, ResNetGenerator, ResNetDiscriminator])
def test_every_norm_has_the_same_parameters_and_replaces_the_bias_before_it(net):
    sizes = {norm: count(net((3, 32, 32), width=4, norm=norm)) for norm in NORMS}
    assert sizes["batch"] == sizes["layer"] == sizes["instance"] != sizes["none"]
    for layers in net((3, 32, 32), width=4, norm="batch").modules():
        for before, after in pairwise(layers if isinstance(layers, nn.Sequential) else ()):
            if isinstance(before, nn.Conv2d | nn.ConvTranspose2d):
                assert (before.bias is None) == isinstance(after, nn.BatchNorm2d)


def test_the_generator_of_began_is_its_decoder_under_a_tanh():
    d = Autoencoder((3, 16, 16), width=4, code_dim=6)
    g = DecoderGenerator((3, 16, 16), latent_dim=6, width=4)
    g.net[0].load_state_dict(d.decoder.state_dict())
    z = 3 * torch.randn(4, 6)
    assert d.decoder(z).abs().max() > 1
    torch.testing.assert_close(g(z), d.decoder(z).tanh())


def test_dcgan_discriminator_by_hand():
    d = DCGANDiscriminator((3, 16, 16), width=2, norm="none")
    x = images(2, 3, 16)
    first, second = (m for m in d.trunk if isinstance(m, nn.Conv2d))
    hidden = F.leaky_relu(F.conv2d(x, first.weight, first.bias, 2, 1), 0.2)
    hidden = F.leaky_relu(F.conv2d(hidden, second.weight, second.bias, 2, 1), 0.2).flatten(1)
    torch.testing.assert_close(d(x)[1]["hidden"], hidden)


def silence_branches(net):
    """Leave a residual net its shortcuts only; return their 1x1 convolutions."""
    for module in net.modules():
        if hasattr(module, "branch"):
            nn.init.zeros_([m for m in module.branch if isinstance(m, nn.Conv2d)][-1].weight)
    return [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]


def test_resnet_discriminator_shortcuts_by_hand():
    d = ResNetDiscriminator((3, 32, 32), width=4)
    first, second = silence_branches(d)
    x = images(2, 3, 32)
    quarter = x.unflatten(2, (8, 4)).unflatten(4, (8, 4)).mean((3, 5))
    torch.testing.assert_close(d(x)[1]["hidden"], second(first(quarter)).relu().sum((2, 3)), rtol=1e-4, atol=1e-4)


def test_resnet_generator_shortcuts_by_hand():
    g = ResNetGenerator((3, 16, 16), latent_dim=5, width=4, norm="none")
    first, second = silence_branches(g)
    z = torch.randn(2, 5)
    small = second(first(g.net[0](z).view(2, 4, 4, 4))).relu()
    expected = F.conv2d(small.repeat_interleave(4, 2).repeat_interleave(4, 3), g.net[-2].weight, None, 1, 1).tanh()
    torch.testing.assert_close(g(z), expected)


def test_began_by_hand():
    d = Autoencoder((3, 16, 16), width=2, code_dim=5)
    x = images(2, 3, 16)
    *convs, code_layer = (m for m in d.encoder if isinstance(m, nn.Linear | nn.Conv2d))
    hidden = x
    for conv in convs:
        hidden = F.elu(conv(hidden))
    code = code_layer(hidden.flatten(1))
    code_layer, *convs, last = (m for m in d.decoder if isinstance(m, nn.Linear | nn.Conv2d))
    hidden = code_layer(code).view(2, 2, 8, 8)
    for i, conv in enumerate(convs):
        if i == 2:
            hidden = hidden.repeat_interleave(2, 2).repeat_interleave(2, 3)
        hidden = F.elu(conv(hidden))
    _, features = d(x)
    assert len(convs) == 4
    torch.testing.assert_close(features["code"], code)
    torch.testing.assert_close(features["reconstruction"], last(hidden))


@pytest.mark.parametrize(("norm", "dims"), [("batch", (0, 2, 3)), ("layer", (1, 2, 3)), ("instance", (2, 3))])
def test_norms_by_their_formula(norm, dims):
    layer = norm2d(norm, 4)
    nn.init.uniform_(layer.weight)
    nn.init.uniform_(layer.bias)
    x = 3 * torch.randn(5, 4, 6, 6) + 1
    var, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
    gain, bias = layer.weight.view(1, 4, 1, 1), layer.bias.view(1, 4, 1, 1)
    torch.testing.assert_close(layer(x), (x - mean) / (var + 1e-5).sqrt() * gain + bias)


# ---- initialisation


@pytest.mark.parametrize("net", [DCGANGenerator, DCGANDiscriminator])
@pytest.mark.parametrize("norm", NORMS)
def test_dcgan_starts_from_normals(net, norm):
    parameters = {n: p.detach() for n, p in net((3, 32, 32), norm=norm).named_parameters()}
    weights = torch.cat([p.flatten() for p in parameters.values() if p.dim() > 1])
    gains = [p for n, p in parameters.items() if p.dim() == 1 and n.endswith("weight")]
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert weights.mean().abs() < 1e-4
    assert bool(gains) == (norm != "none")
    if gains:
        assert torch.cat(gains).mean().item() == pytest.approx(1, abs=0.005)
        assert torch.cat(gains).std().item() == pytest.approx(0.02, rel=0.2)
    assert all((p == 0).all() for n, p in parameters.items() if n.endswith("bias"))


@pytest.mark.parametrize("net", [ResNetGenerator, ResNetDiscriminator])
def test_resnet_starts_xavier_uniform_with_a_larger_gain_in_the_branches(net):
    for name, p in net((3, 32, 32), width=64, norm="none").named_parameters():
        if p.dim() > 1:
            area = p[0, 0].numel()
            bound = sqrt(6 / (area * (p.shape[0] + p.shape[1]))) * (sqrt(2) if "branch" in name else 1)
            assert 0.95 * bound < p.abs().max() <= bound
        else:
            assert (p == 0).all()


@pytest.mark.parametrize("net", [MLPGenerator, MLPDiscriminator])
def test_mlp_starts_orthogonal_with_its_gain(net):
    mlp = net((2,), width=16, depth=2, init_gain=0.8)
    layers = [m for m in mlp.modules() if isinstance(m, nn.Linear)]
    assert len(layers) == 3
    for layer in layers:
        singular = torch.linalg.svdvals(layer.weight)
        torch.testing.assert_close(singular, torch.full_like(singular, 0.8))
        assert (layer.bias == 0).all()


def test_input_scale_scales_the_input():
    quarter = MLPDiscriminator((2,), width=8, input_scale=0.25)
    whole = MLPDiscriminator((2,), width=8)
    whole.load_state_dict(quarter.state_dict())
    x = torch.randn(6, 2)
    torch.testing.assert_close(quarter(x)[0], whole(x / 4)[0])
    assert not torch.allclose(quarter(x)[0], whole(x)[0])


def test_an_mlp_without_hidden_layers_is_a_linear_critic():
    d = MLPDiscriminator((2,), depth=0)
    d.head.weight.data = torch.tensor([[3.0, 4.0]])
    d.head.bias.data = torch.tensor([0.5])
    assert d(torch.tensor([[1.0, 2.0], [-1.0, 0.0]]))[0].tolist() == [11.5, -2.5]


@pytest.mark.parametrize("size", [8, 32, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_plain_networks_of_sngan_end_at_an_eighth_of_the_image(size: int, channels: int) -> None:
    g = SNDCGANGenerator((channels, size, size), 5, width=2, num_classes=3)
    d = SNDCGANDiscriminator((channels, size, size), width=2, num_classes=3)
    e, labels = size // 8, torch.arange(3)
    maps = map_channels(g.net, torch.randn(3, 8))
    assert {side: maps[side] for side in (2 * e, 4 * e, 8 * e)} == {2 * e: 8, 4 * e: 4, 8 * e: channels}
    score, features = d(g(torch.randn(3, 5), labels), labels)
    assert (score.shape, features["hidden"].shape) == ((3,), (3, 16 * e * e))


def test_the_plain_networks_of_sngan_take_sides_that_8_divides() -> None:
    assert SNDCGANGenerator((1, 16, 24), 5, width=2)(torch.randn(2, 5)).shape == (2, 1, 16, 24)
    with pytest.raises(ValueError, match=r"SNDCGANDiscriminator: image_shape is \(1, 28, 28\).*8 must divide both"):
        SNDCGANDiscriminator((1, 28, 28))


def test_the_plain_networks_of_sngan_start_as_published() -> None:
    nets = SNDCGANGenerator((3, 32, 32), width=16).net, SNDCGANDiscriminator((3, 32, 32), width=16).trunk
    layers = [m for net in nets for m in net if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 5 + 7
    for layer in layers:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert not layer.bias.any()


# R3GAN's networks: the published sizes, the start, the filters.


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
    with pytest.raises(ValueError, match=r"R3GANDiscriminator: image_shape is \(1, 30, 30\)"):
        R3GANDiscriminator((1, 30, 30))


# Progressive growing: what a level shows, what a fade mixes, and that it is saved.


SIXTEEN = (3, 16, 16)  # levels 0, 1, 2


def growers() -> tuple[GrowingGenerator, GrowingDiscriminator]:
    torch.manual_seed(0)
    return GrowingGenerator(SIXTEEN, latent_dim=5, width=4), GrowingDiscriminator(SIXTEEN, width=4)


def test_a_level_is_a_resolution() -> None:
    g, _ = growers()
    for level, size in ((0, 4), (1, 8), (2, 16)):
        g.level.set(level)
        image = g(torch.randn(2, 5))
        assert image.shape == (2, *SIXTEEN)
        blocks = image.unfold(2, 16 // size, 16 // size).unfold(3, 16 // size, 16 // size).flatten(4)
        assert (blocks == blocks[..., :1]).all()  # enlarged pixels are constant
        assert size == 4 or len(image[0, 0].unique()) > (size // 2) ** 2


def test_a_fade_starts_at_the_old_image_and_ends_at_the_new() -> None:
    g, _ = growers()
    z = torch.randn(2, 5)
    images = {}
    for level in (1.0, 1.0 + 1e-7, 1.5, 2.0 - 1e-7, 2.0):
        g.level.set(level)
        images[level] = g(z)
    torch.testing.assert_close(images[1.0 + 1e-7], images[1.0])
    torch.testing.assert_close(images[2.0 - 1e-7], images[2.0])
    half = (images[1.0].atanh() + images[2.0].atanh()) / 2  # the mix is before tanh
    torch.testing.assert_close(images[1.5].atanh(), half, rtol=1e-4, atol=1e-4)


def test_the_discriminator_fades_too() -> None:
    _, d = growers()
    x = torch.rand(4, *SIXTEEN) * 2 - 1
    scores = {}
    for level in (1.0, 1.0 + 1e-7, 2.0 - 1e-7, 2.0):
        d.level.set(level)
        scores[level] = d(x)[0]
    torch.testing.assert_close(scores[1.0 + 1e-7], scores[1.0])
    torch.testing.assert_close(scores[2.0 - 1e-7], scores[2.0])
    d.level.set(0)
    coarse = F.interpolate(F.avg_pool2d(x, 4), scale_factor=4)
    torch.testing.assert_close(d(x)[0], d(coarse)[0])  # at 4x4 it sees no more


def test_blocks_above_the_level_are_idle() -> None:
    g, _ = growers()
    g.level.set(0.5)
    g(torch.randn(2, 5)).sum().backward()
    idle = [n for n, p in g.named_parameters() if p.grad is None]
    assert {n.split(".")[2] for n in idle if "blocks" in n} == {"1"}
    assert {n.split(".")[2] for n in idle if "to_image" in n} == {"2"}


def test_the_level_is_saved_and_copied() -> None:
    g, _ = growers()
    g.level.set(0.25)
    twin, _ = growers()
    assert twin.level.now == 2.0
    twin.load_state_dict(g.state_dict())
    assert twin.level.now == 0.25
    z = torch.randn(2, 5)
    assert torch.equal(twin(z), g(z))
    assert torch.equal(copy.deepcopy(g)(z), g(z))


def test_equalised_weights_and_pixel_norm() -> None:
    conv = EqualConv2d(8, 6, 3)
    with torch.no_grad():
        conv.weight.fill_(1.0)
    # 8·9 inputs of 1, each weight √(2/72): 72·√(2/72) = 12
    assert conv(torch.ones(1, 8, 3, 3)).flatten().tolist() == pytest.approx([12.0] * 6)
    x = PixelNorm()(torch.randn(2, 7, 3, 3))
    torch.testing.assert_close(x.square().mean(1), torch.ones(2, 3, 3))


def test_a_level_outside_is_refused() -> None:
    g, _ = growers()
    with pytest.raises(ValueError, match="from 0 to 2, got 3"):
        g.level.set(3)


def test_the_schedule_takes_both_networks_and_the_average_through_the_levels() -> None:
    g, d = growers()
    growing = ProgressiveGrowing(stable_kimg=0.008, fade_kimg=0.016)
    gan = WGANGP(g, d, dynamics=Alternating(), stabilizers=[growing], ema_decay=0.5)
    assert [growing.level_at(k) for k in (0, 0.008, 0.016, 0.024, 0.032, 0.04, 9)] == pytest.approx(
        [0, 0, 0.5, 1, 1, 1.5, 2]
    )
    seen = []
    gan.after_turn = lambda turn: seen.append((gan.generator.level.now, gan.generator_ema.level.now, d.level.now))
    fit(gan, [(torch.rand(8, *SIXTEEN) * 2 - 1,) for _ in range(7)])
    levels = [growing.level_at(0.008 * step) for step in range(7) for _ in "dg"]
    assert [s[0] for s in seen] == pytest.approx(levels)
    assert all(s[0] == s[1] == s[2] for s in seen)
    assert gan.generator_ema.level.value.item() == pytest.approx(levels[-1])


def test_real_images_fade_with_the_layers() -> None:
    growing = ProgressiveGrowing(stable_kimg=1, fade_kimg=1)
    gan = WGANGP(*growers(), stabilizers=[growing])
    x = torch.rand(2, *SIXTEEN)
    for kimg, level in ((0.5, 0), (1.5, 0.5), (3.25, 1.25), (7, 2)):
        gan.images = int(kimg * 1000)
        growing.begin(gan)
        faded = growing.perturb(x, role="real", kimg=kimg, noise=None)
        assert gan.discriminator.level.now == level
        if level % 1 == 0:
            assert faded is x
        else:
            share, fine = level % 1, {0.5: 2, 1.25: 1}[level]
            means = {f: F.interpolate(F.avg_pool2d(x, f), scale_factor=f) for f in (fine, 2 * fine)}
            torch.testing.assert_close(faded, (1 - share) * means[2 * fine] + share * means[fine])
        assert growing.perturb(x, role="fake", kimg=kimg, noise=None) is x


def test_other_networks_cannot_grow() -> None:
    with pytest.raises(ValueError, match=r"DCGANGenerator cannot grow; use zoo\.backbones\.GrowingGenerator"):
        WGANGP(DCGANGenerator(SIXTEEN, width=4), growers()[1], stabilizers=[ProgressiveGrowing()])


def test_score_drift() -> None:
    real = Output(torch.tensor([3.0, -1.0]), {})
    # 0.1·(9 + 1)/2
    assert ScoreDrift(0.1).d_terms(None, None, real, None)["score_drift"].item() == pytest.approx(0.5)
