"""What every backbone keeps to: shapes, ranges, gradients, labels and refusals."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm

from zoo.backbones import (
    Autoencoder,
    DCGANDiscriminator,
    DCGANGenerator,
    DecoderGenerator,
    Encoder,
    InfoGANDiscriminator,
    InfoGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
    UnrolledDiscriminator,
    UnrolledGenerator,
)
from zoo.backbones.activations import LeakyReLU, ReLU
from zoo.backbones.base import Generator

SIZES = (8, 16, 32, 64, 128)
NORMS = dict.fromkeys((MLPGenerator, MLPDiscriminator), ("batch", "layer", "none")) | dict.fromkeys(
    (DCGANGenerator, DCGANDiscriminator, ResNetGenerator, ResNetDiscriminator), ("batch", "layer", "instance", "none")
)
GENERATORS = (MLPGenerator, DCGANGenerator, ResNetGenerator, DecoderGenerator)
DISCRIMINATORS = (MLPDiscriminator, DCGANDiscriminator, ResNetDiscriminator)
CONVOLUTIONAL = (*GENERATORS[1:], *DISCRIMINATORS[1:], Autoencoder)


def with_norms(nets):
    return [(net, norm) for net in nets for norm in NORMS[net]]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def images(n, channels, size, dtype=torch.float32):
    return torch.rand(n, channels, size, size, dtype=dtype) * 2 - 1


def slope(f, x, direction, h=1e-6):
    return (f(x + h * direction) - f(x - h * direction)) / (2 * h)


# ---- shapes and ranges


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("net", "kwargs"),
    [(net, {"norm": norm}) for net, norm in with_norms(GENERATORS[:3])] + [(DecoderGenerator, {})],
)
def test_images_fill_the_range_and_never_leave_it(net, kwargs, size, channels):
    g = net((channels, size, size), latent_dim=5, width=2, **kwargs)
    last = [m for m in g.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)][-1]
    with torch.no_grad():
        last.weight *= 1e12
        x = g(torch.randn(3, 5))
    assert x.shape == (3, channels, size, size)
    assert (g.image_shape, g.latent_dim, g.num_classes) == ((channels, size, size), 5, None)
    assert -1 <= x.min() < -0.9
    assert 0.9 < x.max() <= 1


@pytest.mark.parametrize("norm", NORMS[MLPGenerator])
def test_points_come_from_a_linear_layer(norm):
    g = MLPGenerator((2,), latent_dim=5, width=8, norm=norm)
    z = torch.randn(64, 5)
    points = g(z)
    last = [m for m in g.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        last.weight *= 100
        last.bias *= 100
    assert points.shape == (64, 2)
    torch.testing.assert_close(g(z), 100 * points)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("net", "norm"), with_norms(DISCRIMINATORS))
def test_a_score_is_linear_in_the_hidden_representation(net, norm, size, channels):
    d = net((channels, size, size), width=2, norm=norm)
    with torch.no_grad():
        score, features = d(images(3, channels, size))
    hidden = features["hidden"]
    assert score.shape == (3,)
    assert hidden.shape == (3, d.head.in_features)
    torch.testing.assert_close(score, hidden @ d.head.weight[0] + d.head.bias)
    assert not d.energy


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_an_autoencoder_scores_codes_and_reconstructs(size, channels):
    d = Autoencoder((channels, size, size), width=2, code_dim=5)
    x = images(3, channels, size)
    with torch.no_grad():
        energy, features = d(x)
    assert energy.shape == (3,)
    assert features["code"].shape == (3, 5)
    assert features["reconstruction"].shape == x.shape
    torch.testing.assert_close(features["reconstruction"], d.decoder(features["code"]))
    assert d.energy


# ---- dependence on the batch, gradients


@pytest.mark.parametrize(("net", "norm"), with_norms(DISCRIMINATORS))
def test_only_batch_norm_makes_a_score_depend_on_the_other_samples(net, norm):
    d = net((3, 16, 16), width=8, norm=norm).double()
    x = images(4, 3, 16, torch.float64)
    others = torch.cat([x[:1], images(3, 3, 16, torch.float64)])
    alike = torch.allclose(d(x)[0][0], d(others)[0][0], rtol=1e-9, atol=0)
    assert alike == (norm != "batch")


@pytest.mark.parametrize(("net", "norm"), with_norms(DISCRIMINATORS))
def test_the_gradient_of_a_score_is_its_slope(net, norm):
    d = net((1, 16, 16), width=4, norm=norm).double()
    x = images(3, 1, 16, torch.float64).requires_grad_()
    direction = torch.randn_like(x)
    score, _ = d(x)
    (gradient,) = torch.autograd.grad(score[1], x)
    with torch.no_grad():
        expected = slope(lambda x: d(x)[0][1], x, direction)
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-9)
    assert expected != 0


@pytest.mark.parametrize(("net", "norm"), [p for p in with_norms(DISCRIMINATORS) if p[1] != "batch"])
def test_a_gradient_penalty_can_be_differentiated(net, norm):
    d = net((1, 16, 16), width=4, norm=norm).double()
    x = images(3, 1, 16, torch.float64).requires_grad_()

    def penalty(parameters):
        score, _ = functional_call(d, parameters, (x,))
        (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()

    parameters = dict(d.named_parameters())
    direction = {name: torch.randn_like(p) for name, p in parameters.items()}
    gradients = torch.autograd.grad(penalty(parameters), list(parameters.values()), materialize_grads=True)
    h = 1e-8  # a longer step would cross the kink of some ReLU
    ahead, behind = (penalty({n: p + step * direction[n] for n, p in parameters.items()}) for step in (h, -h))
    got = sum((g * direction[n]).sum() for n, g in zip(parameters, gradients, strict=True))
    torch.testing.assert_close(got, (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-8)
    assert got != 0


@pytest.mark.parametrize("net", [*GENERATORS, *DISCRIMINATORS, Autoencoder])
def test_a_network_is_a_function_of_its_parameters(net):
    one, other = (net((1, 8, 8), width=4).double().eval() for _ in range(2))
    x = images(3, 1, 8) if net not in GENERATORS else torch.randn(3, one.latent_dim)
    x = x.double()
    state = {**dict(other.named_parameters()), **dict(other.named_buffers())}
    called, expected, unlike = functional_call(one, state, (x,)), other(x), one(x)
    if net not in GENERATORS:
        called, expected, unlike = called[0], expected[0], unlike[0]
    assert called.dtype == torch.float64
    assert torch.equal(called, expected)
    assert not torch.allclose(called, unlike)


@pytest.mark.parametrize("net", DISCRIMINATORS)
def test_spectral_norm_reaches_every_matrix(net):
    d = net((1, 8, 8), width=4, norm="layer", num_classes=3)
    for layer in list(d.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            spectral_norm(layer, n_power_iterations=30)
    matrices = [n for n, p in d.named_parameters() if p.dim() > 1]
    assert all(".parametrizations.weight.original" in name for name in matrices)
    score, _ = d(images(3, 1, 8), torch.tensor([0, 1, 2]))
    assert score.isfinite().all()
    assert torch.linalg.matrix_norm(d.embed.weight, 2).item() == pytest.approx(1, rel=0.01)


# ---- the autoencoder's energy


@pytest.mark.parametrize(("power", "expected"), [(1, [0.75, 0.25]), (2, [0.5625, 0.0625])])
def test_energy_is_the_mean_distance_from_the_reconstruction(power, expected):
    d = Autoencoder((1, 8, 8), width=2, code_dim=3, norm_power=power)
    for p in d.decoder.parameters():
        nn.init.zeros_(p)
    nn.init.constant_(d.decoder[-1].bias, 0.25)
    x = torch.stack([torch.full((1, 8, 8), 1.0), torch.full((1, 8, 8), 0.5)])
    x[0, 0, :4] = -0.5
    assert (x - 0.25).abs()[0].unique().tolist() == [0.75]
    energy, features = d(x)
    assert (features["reconstruction"] == 0.25).all()
    assert energy.tolist() == expected


@pytest.mark.parametrize("power", [1, 2])
def test_energy_averages_over_pixels_and_not_over_samples(power):
    d = Autoencoder((3, 16, 16), width=2, code_dim=3, norm_power=power)
    x = images(4, 3, 16)
    energy, features = d(x)
    distance = (x - features["reconstruction"]).abs()
    expected = [sum((distance[i].flatten() ** power).tolist()) / 768 for i in range(4)]
    torch.testing.assert_close(energy, torch.tensor(expected))


@pytest.mark.parametrize("power", [1, 2])
def test_energy_sends_gradient_through_both_of_its_x(power):
    d = Autoencoder((1, 8, 8), width=4, code_dim=6, norm_power=power).double()
    x = images(2, 1, 8, torch.float64).requires_grad_()
    energy, features = d(x)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    distance = (x - features["reconstruction"]).detach()
    outer_only = power * distance.abs() ** (power - 1) * distance.sign() / 64
    direction = torch.randn_like(x)
    with torch.no_grad():
        expected = slope(lambda x: d(x)[0].sum(), x, direction)
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-9)
    assert abs((outer_only * direction).sum() - expected) > 1e-3 * abs(expected)


# ---- labels


@pytest.mark.parametrize("net", GENERATORS)
def test_labels_change_what_is_generated(net):
    g = net((1, 8, 8), width=4, num_classes=3).eval()
    x = g(torch.randn(1, g.latent_dim).expand(3, -1), torch.tensor([0, 1, 1]))
    assert g.num_classes == 3
    assert not torch.allclose(x[0], x[1], atol=1e-6)
    torch.testing.assert_close(x[1], x[2])


@pytest.mark.parametrize("net", DISCRIMINATORS)
def test_labels_enter_the_score_by_projection(net):
    d = net((1, 8, 8), width=4, norm="none", num_classes=3)
    x = images(2, 1, 8)
    labels = torch.tensor([2, 0])
    score, features = d(x, labels)
    hidden = features["hidden"]
    for i, label in enumerate(labels):
        direction = d.head.weight[0] + d.embed.weight[label]
        torch.testing.assert_close(score[i], hidden[i] @ direction + d.head.bias[0])
    assert not torch.allclose(score, d(x, torch.tensor([1, 1]))[0], atol=1e-6)


@pytest.mark.parametrize("net", [*GENERATORS, *DISCRIMINATORS])
def test_labels_are_given_exactly_when_asked_for(net):
    plain, conditional = net((1, 8, 8), width=4), net((1, 8, 8), width=4, num_classes=3)
    x = images(2, 1, 8) if net in DISCRIMINATORS else torch.randn(2, plain.latent_dim)
    with pytest.raises(ValueError, match=f"{net.__name__}: got labels, but is unconditional"):
        plain(x, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=f"{net.__name__}: num_classes is 3, so labels"):
        conditional(x)
    with pytest.raises(ValueError, match=r"labels have shape \(2, 1\); expected \(2,\)"):
        conditional(x, torch.tensor([[0], [1]]))


# ---- refusals


@pytest.mark.parametrize("net", CONVOLUTIONAL)
def test_convolutional_nets_name_the_shapes_they_take(net):
    for shape in ((2,), (3, 30, 30), (3, 4, 8), (3, 256, 256), (3, 8, 36), (0, 32, 32), (32, 32)):
        with pytest.raises(ValueError, match="image_shape") as error:
            net(shape)
        for words in (net.__name__, str(shape), "(C, H, W)", "8 to 128"):
            assert words in str(error.value)


@pytest.mark.parametrize("net", [MLPGenerator, MLPDiscriminator])
def test_an_mlp_names_the_shapes_and_norms_it_takes(net):
    for shape in ((), (28, 28), (0,), (1, 0, 28)):
        with pytest.raises(ValueError, match=rf"{net.__name__}: image_shape is .*points \(D,\) or"):
            net(shape)
    with pytest.raises(ValueError, match="norm is 'instance'; choose from"):
        net((1, 8, 8), norm="instance")
    with pytest.raises(ValueError, match=f"{net.__name__}: depth is -1; it must be at least 0"):
        net((2,), depth=-1)


@pytest.mark.parametrize("net", [*CONVOLUTIONAL, MLPGenerator, MLPDiscriminator])
def test_sizes_below_one_are_refused_and_shapes_may_be_lists(net):
    sizes = {"width", *["latent_dim"] * (net in GENERATORS), *["num_classes"] * (net is not Autoencoder)}
    for size in sizes | ({"code_dim"} if net is Autoencoder else set()):
        with pytest.raises(ValueError, match=f"{net.__name__}: {size} is 0; it must be at least 1"):
            net((1, 8, 8), **{size: 0})
    assert net([3, 8, 8], width=2).image_shape == (3, 8, 8)


@pytest.mark.parametrize("net", NORMS)
def test_an_unknown_norm_is_refused_with_the_choices(net):
    with pytest.raises(ValueError, match=r"norm is 'spectral'.*'batch', 'layer',.* 'none'"):
        net((1, 8, 8), norm="spectral")


def test_other_refusals():
    with pytest.raises(ValueError, match="MLPDiscriminator: norm is 'spectral'"):
        MLPDiscriminator((2,), depth=0, norm="spectral")
    with pytest.raises(ValueError, match=r"Autoencoder: norm_power is 3; choose from \(1, 2\)"):
        Autoencoder((1, 8, 8), norm_power=3)
    with pytest.raises(ValueError, match=r"negative_slope is -0\.1"):
        LeakyReLU(-0.1)
    for net in (*DISCRIMINATORS, Autoencoder):
        with pytest.raises(ValueError, match=rf"{net.__name__}: got x of shape \(2, 1, 32, 32\)"):
            net((1, 16, 16), width=2)(images(2, 1, 32))


@pytest.mark.parametrize(("mine", "torchs"), [(ReLU(), nn.ReLU()), (LeakyReLU(0.2), nn.LeakyReLU(0.2))], ids=repr)
def test_a_rectifier_has_torchs_values_and_derivatives_to_the_second(mine, torchs) -> None:
    """Of f(x)³ by x, twice: only the cube has a second derivative."""
    x = torch.tensor([-2.0, -0.5, 0.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    for f in (mine, torchs):
        (first,) = torch.autograd.grad(f(x).pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x)
        slope = getattr(f, "negative_slope", 0.0)
        assert f(x).tolist() == [-2 * slope, -0.5 * slope, 0.0, 0.5, 3.0]
        assert torch.allclose(first, torch.tensor([12 * slope**3, 0.75 * slope**3, 0.0, 0.75, 27.0], dtype=x.dtype))
        assert torch.allclose(second, torch.tensor([-12 * slope**3, -3 * slope**3, 0.0, 3.0, 18.0], dtype=x.dtype))


def test_a_rectifier_sends_nothing_back_through_its_own_forward_pass() -> None:
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(LeakyReLU(0.2)(x).sum(), x, create_graph=True)
    assert not gradient.requires_grad


@pytest.mark.parametrize("net", [DCGANGenerator, DCGANDiscriminator])
def test_a_compiler_takes_a_network_in_one_piece(net) -> None:
    made = net((3, 8, 8), width=4)
    x = torch.randn(4, made.latent_dim) if isinstance(made, Generator) else images(4, 3, 8)
    seen = torch._dynamo.explain(made)(x)
    assert (seen.graph_count, seen.graph_break_count) == (1, 0)


@pytest.mark.parametrize(
    "net", [DCGANGenerator, DCGANDiscriminator, ResNetGenerator, ResNetDiscriminator, Autoencoder, Encoder]
)
def test_convolutions_are_laid_out_channels_last(net) -> None:
    weights = [p for p in net((3, 16, 16), width=4).parameters() if p.ndim == 4]
    assert weights
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_a_maxout_unit_is_the_largest_of_its_linear_pieces() -> None:
    """Two units of two pieces on (1, 2): max(1, -2) and max(3, 4), and the head sums them."""
    net = MLPDiscriminator((2,), width=2, depth=1, pieces=2)
    first = net.trunk[1]
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0], [1, 1], [0, -1], [0, 2]]))
        first.bias.zero_()
        net.head.weight.fill_(1)
        net.head.bias.zero_()
    score, features = net(torch.tensor([[1.0, 2.0]]))
    assert (score.tolist(), features["hidden"].tolist()) == ([5.0], [[1.0, 4.0]])
    with pytest.raises(ValueError, match="maxout units have no norm"):
        MLPDiscriminator((2,), pieces=2, norm="batch")
    with pytest.raises(ValueError, match="init_gain is 2 and init_std 1; choose one"):
        MLPGenerator((2,), init_gain=2, init_std=1)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: UnrolledGenerator((3, 32, 32)), r"UnrolledGenerator: image_shape is \(3, 32, 32\); .*image_size: 28"),
        (lambda: UnrolledDiscriminator((3, 28, 28), width=0), "UnrolledDiscriminator: width is 0"),
        (lambda: InfoGANGenerator((1, 30, 28)), "sides that 4 divides"),
        (lambda: InfoGANDiscriminator((1, 28, 28), norm="instance"), "norm is 'instance'; choose from"),
    ],
)
def test_small_networks_refuse_what_they_cannot_take(build, words) -> None:
    with pytest.raises(ValueError, match=words):
        build()
