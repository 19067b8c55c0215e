"""The insides of the backbones, by arithmetic and by hand: channels, layers, initial weights."""

from itertools import pairwise
from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo.backbones import (
    Autoencoder,
    DCGANDiscriminator,
    DCGANGenerator,
    DecoderGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from zoo.backbones.base import NORMS, norm2d


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
