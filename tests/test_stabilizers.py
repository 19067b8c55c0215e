"""Remedies on top of an objective: what each adds, worked out by hand, and that at nothing it adds nothing."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.games import fit, networks, points, same, score, snapshot
from zoo.backbones import (
    Autoencoder,
    DCGANDiscriminator,
    DCGANGenerator,
    GrowingDiscriminator,
    GrowingGenerator,
    MLPDiscriminator,
    MLPGenerator,
)
from zoo.dynamics import Unrolled
from zoo.gan import GAN
from zoo.noise import Noise
from zoo.stabilizers import (
    Dropout,
    FeatureMatching,
    GradientPenalty,
    HistoricalAveraging,
    InstanceNoise,
    LabelSmoothing,
    LayerNoise,
    MinibatchDiscrimination,
    SpectralNorm,
    VirtualBatchNorm,
    WeightClip,
    WeightPenalty,
)
from zoo.stabilizers.minibatch import Closeness
from zoo.stabilizers.virtual import VirtualNorm
from zoo.types import Batch, Output
from zoo.variants.ebgan import EBGAN
from zoo.variants.hinge_gan import HingeGAN
from zoo.variants.infogan import InfoGAN
from zoo.variants.lsgan import LSGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.wgan_gp import WGANGP


def game(*stabilizers: nn.Module, cls: type[GAN] = NSGAN, **kwargs) -> GAN:
    return cls(*networks(norm="batch", d_norm="batch"), stabilizers=stabilizers, **kwargs)


def batch_of(real: Tensor, fake: Tensor) -> Batch:
    return Batch(real, None, torch.zeros(len(real), 6), fake, Noise(0))


def verdict(hidden: Tensor) -> Output:
    return Output(hidden.sum(1), {"hidden": hidden})


def trained(*stabilizers: nn.Module) -> dict[str, Tensor]:
    torch.manual_seed(3)
    gan = game(*stabilizers)
    gan.noise = Noise(7)
    fit(gan, points(4))
    return {k: v for k, v in snapshot(gan).items() if not k.startswith("stabilizers")}


NOTHING = [
    FeatureMatching(weight=0.0, alone=False), LabelSmoothing(real=1.0), HistoricalAveraging(weight=0.0),
    WeightPenalty(weight=0.0), InstanceNoise(1.0, sigma=0.0), LayerNoise(0.0), Dropout(0.0, 0.0),
]  # fmt: skip
SOMETHING = [
    FeatureMatching(alone=False), LabelSmoothing(), HistoricalAveraging(0.1), WeightPenalty(0.1), LayerNoise(),
    Dropout(),
]  # fmt: skip


@pytest.mark.parametrize("remedy", [*NOTHING, *SOMETHING], ids=lambda r: type(r).__name__)
def test_a_remedy_of_weight_zero_is_the_plain_run_bit_for_bit_and_no_other(remedy: nn.Module) -> None:
    assert same(trained(remedy), trained()) == any(remedy is nothing for nothing in NOTHING)


# Feature matching


def matching(real: Tensor, fake: Tensor, **kwargs) -> float:
    term = FeatureMatching(**kwargs).g_terms(lambda x, role: verdict(real), batch_of(real, fake), verdict(fake))
    return term["feature_matching"].item()


def test_feature_matching_compares_means() -> None:
    real, fake = torch.tensor([[1.0, 0.0], [3.0, 2.0]]), torch.tensor([[0.0, 0.0], [1.0, -4.0]])
    # means (2, 1) and (0.5, -2): 1.5² + 3²
    assert matching(real, fake) == pytest.approx(11.25)
    assert matching(real, fake, weight=2.0) == pytest.approx(22.5)


def test_feature_matching_does_not_mind_the_order() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(16, 5, dtype=torch.float64), torch.randn(16, 5, dtype=torch.float64)
    shuffled = torch.randperm(16)
    assert matching(real, real[shuffled]) == pytest.approx(0, abs=1e-30)
    assert matching(real, fake[shuffled]) == pytest.approx(matching(real, fake), rel=1e-12)
    assert matching(real, fake) > 0.1


def test_feature_matching_stands_alone_unless_told() -> None:
    gan = game(FeatureMatching())
    fit(gan, points(1))
    assert "loss/g/adversarial" not in gan.latest
    gan = game(FeatureMatching(alone=False))
    fit(gan, points(1))
    assert {"loss/g/adversarial", "loss/g/feature_matching"} <= gan.latest.keys()
    parts = gan.latest["loss/g/adversarial"] + gan.latest["loss/g/feature_matching"]
    assert gan.latest["loss/g"].item() == pytest.approx(parts.item())


def test_feature_matching_refuses_what_it_cannot_match_or_would_drop() -> None:
    with pytest.raises(ValueError, match="no feature 'code'; choose from hidden"):
        fit(game(FeatureMatching(feature="code")), points(1))
    nets = MLPGenerator((2,), latent_dim=20, width=4), MLPDiscriminator((2,), width=4)
    with pytest.raises(ValueError, match=r"InfoGAN: .* alone: false"):
        InfoGAN(*nets, stabilizers=[FeatureMatching()])


# Label smoothing


def test_label_smoothing_is_the_log_loss_with_soft_targets() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(9, dtype=torch.float64), torch.randn(9, dtype=torch.float64)
    said = [Output(real, {}), Output(fake, {})]
    smoothed = NSGAN.d_loss(real, fake) + LabelSmoothing(0.9).d_terms(None, None, *said)["label_smoothing"]
    target = torch.full_like(real, 0.9)
    by_hand = F.binary_cross_entropy_with_logits(real, target) + F.binary_cross_entropy_with_logits(fake, 0 * target)
    assert smoothed.item() == pytest.approx(by_hand.item(), rel=1e-12)


@pytest.mark.parametrize(("data", "model", "optimum"), [(1.0, 1.0, 0.45), (3.0, 1.0, 0.675), (0.0, 1.0, 0.0)])
def test_the_smoothed_optimum_is_alpha_times_the_plain_one(data: float, model: float, optimum: float) -> None:
    """D* = 0.9 p_data / (p_data + p_g): the loss at one point has its least value there, on a fine grid."""
    d = torch.linspace(1e-3, 1 - 1e-3, 999, dtype=torch.float64)
    score = d.logit()
    added = [LabelSmoothing(0.9).d_terms(None, None, Output(s[None], {}), None)["label_smoothing"] for s in score]
    loss = data * (F.softplus(-score) + torch.stack(added)) + model * F.softplus(score)
    assert d[loss.argmin()].item() == pytest.approx(optimum, abs=1.001e-3)


def test_label_smoothing_refuses() -> None:
    with pytest.raises(ValueError, match=r"fake must be 0, got 0.1"):
        LabelSmoothing(fake=0.1)
    with pytest.raises(ValueError, match=r"real must be in \(0, 1\], got 1.2"):
        LabelSmoothing(1.2)
    for cls in (LSGAN, HingeGAN):
        with pytest.raises(ValueError, match=f"{cls.__name__}: LabelSmoothing is for .* NSGAN"):
            game(LabelSmoothing(), cls=cls)


# Historical averaging


def test_historical_averaging_starts_at_nothing_and_follows_the_mean() -> None:
    sgd = lambda p: torch.optim.SGD(p, lr=0.1)  # noqa: E731
    remedy = HistoricalAveraging(0.5)
    gan = game(remedy, d_optimizer=sgd, g_optimizer=sgd)
    assert remedy._term("d").item() == remedy._term("g").item() == 0
    places = [[p.detach().clone() for p in gan.discriminator.parameters()]]
    for _ in range(4):
        fit(gan, points(1))
        places.append([p.detach().clone() for p in gan.discriminator.parameters()])
    means = [torch.stack(history).mean(0) for history in zip(*places, strict=True)]
    distance = sum((now - mean).square().sum() for now, mean in zip(places[-1], means, strict=True))
    assert remedy._term("d").item() == pytest.approx(0.5 * distance.item(), rel=1e-3)
    assert remedy.d_points == remedy.g_points == 5


def test_historical_averaging_begins_where_loaded_weights_are() -> None:
    gan = game(HistoricalAveraging(1.0))
    with torch.no_grad():
        for parameter in gan.parameters():
            parameter.add_(1.0)
    fit(gan, points(1))
    assert gan.latest["loss/d/historical_averaging"] == 0


def test_historical_averaging_takes_weights_of_any_layout() -> None:
    """Kernels lie channels-last, and a wide one has no flat view."""
    kernel = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last).weight
    remedy = HistoricalAveraging(1.0)
    remedy._present["g"] = [kernel]
    assert torch.equal(remedy._vector("g"), kernel.detach().contiguous().flatten())


def test_historical_averaging_stops_the_spiral() -> None:
    """Simultaneous steps of 0.1 on f = xy: the plain radius grows by √1.01 a step, the averaged one falls."""
    remedy = HistoricalAveraging(0.5)
    gan = NSGAN(Point(), Point(), stabilizers=[remedy])
    x, y = gan.discriminator.at, gan.generator.at
    turns = {turn.name: turn for turn in gan.turns()}
    for _ in range(1500):
        f = x * y
        (dx,) = torch.autograd.grad(f + remedy.d_terms(None, None, None, None)["historical_averaging"], x)
        (dy,) = torch.autograd.grad(-x * y + remedy.g_terms(None, None, None)["historical_averaging"], y)
        with torch.no_grad():
            x -= 0.1 * dx
            y -= 0.1 * dy
        for turn in turns.values():
            remedy.after_turn(turn, gan)
    assert math.hypot(x.item(), y.item()) < 0.5 < math.sqrt(2) * 1.01 ** (1500 / 2)


class Point(nn.Module):
    latent_dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.ones(()))


def test_historical_averaging_must_know_the_parameters_and_the_steps_ahead() -> None:
    fit(game(MinibatchDiscrimination(3), SpectralNorm(), HistoricalAveraging()), points(1))
    fit(game(HistoricalAveraging(), SpectralNorm(), VirtualBatchNorm(size=4)), points(1))
    with pytest.raises(ValueError, match="put HistoricalAveraging last"):
        fit(game(HistoricalAveraging(), MinibatchDiscrimination(3)), points(1))
    for remedy in (HistoricalAveraging(), WeightPenalty()):
        with pytest.raises(ValueError, match=f"NSGAN: {type(remedy).__name__} .* Unrolled"):
            game(remedy, dynamics=Unrolled(2))


# Weight penalty


def test_weight_penalty_is_the_mean_over_kernels_of_half_the_square() -> None:
    remedy = WeightPenalty(0.1)
    gan = game(remedy)
    term = lambda: remedy.d_terms(None, None, None, None)["weight_penalty"].item()  # noqa: E731
    for parameter in gan.discriminator.parameters():
        nn.init.ones_(parameter)
    # three kernels of ones, 7×2, 7×7 and 1×7: 0.1 · (7 + 24.5 + 3.5) / 3
    assert term() == pytest.approx(0.1 * 35 / 3)
    for parameter in gan.discriminator.parameters():
        if parameter.ndim > 1:
            nn.init.zeros_(parameter)
    assert term() == 0  # biases and gains are still 1


# Minibatch discrimination


def test_closeness_counts_the_others_that_are_alike() -> None:
    torch.manual_seed(0)
    layer = Closeness(6, kernels=4, dims=3).double()
    one = torch.randn(1, 6, dtype=torch.float64)
    assert torch.equal(layer(one.expand(5, 6)), torch.full((5, 4), 4.0, dtype=torch.float64))
    assert layer(1e6 * torch.randn(5, 6, dtype=torch.float64)).abs().max() < 1e-12
    pairs = layer(torch.cat([one, one, one + 1e6 * torch.randn(1, 6, dtype=torch.float64)]))
    assert torch.allclose(pairs, torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)[:, None].expand(3, 4))


def test_closeness_by_hand() -> None:
    layer = Closeness(2, kernels=1, dims=2)
    layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.5]])
    # M = (0, 0), (1, 0), (1, 1): ‖·‖₁ is 1 from first to second, 2 to third, 1 from second to third
    expected = [math.exp(-1) + math.exp(-2), 2 * math.exp(-1), math.exp(-1) + math.exp(-2)]
    assert layer(x).flatten().tolist() == pytest.approx(expected)


def test_a_collapsed_batch_shows_in_the_score_through_the_new_weights_only() -> None:
    gan = NSGAN(*networks(), stabilizers=[MinibatchDiscrimination(kernels=3, dims=2)])
    plain = networks()[1]
    copies = torch.ones(8, 2)
    gain = score(gan, copies).score - plain(copies)[0]
    assert gain.tolist() == pytest.approx([7 * gan.discriminator.head.extra.weight.sum().item()] * 8, abs=1e-5)


def test_minibatch_discrimination_refuses() -> None:
    remedy = MinibatchDiscrimination
    for order in ([GradientPenalty(), remedy()], [remedy(), GradientPenalty()]):
        with pytest.raises(ValueError, match=r"NSGAN: a gradient penalty is per sample, but MinibatchDiscrimination"):
            NSGAN(*networks(), stabilizers=order)
    with pytest.raises(ValueError, match="WGANGP: a gradient penalty"):
        WGANGP(*networks(), stabilizers=[remedy()])
    with pytest.raises(ValueError, match="before SpectralNorm"):
        game(SpectralNorm(), remedy())
    shape = (1, 8, 8)
    with pytest.raises(ValueError, match=r"EBGAN: .* the Autoencoder has no linear `head`"):
        EBGAN(MLPGenerator(shape, width=4), Autoencoder(shape, width=4), stabilizers=[remedy()])


# Virtual batch norm


def test_virtual_norm_by_hand() -> None:
    """Reference 0 and 4 (mean 2, mean square 8), example 5: mean 3, mean square 41/3, variance 14/3."""
    norm = nn.BatchNorm1d(1, eps=0.0).double()
    norm.weight.data.fill_(2.0)
    norm.bias.data.fill_(1.0)
    out = VirtualNorm(norm, 2)(torch.tensor([[0.0], [4.0], [5.0]], dtype=torch.float64)).flatten()
    assert out.tolist() == pytest.approx([1 - 2, 1 + 2, 1 + 2 * 2 / math.sqrt(14 / 3)])


def test_virtual_norm_on_maps_is_over_pixels_too() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 3, 2, 4, dtype=torch.float64)
    out = VirtualNorm(nn.BatchNorm2d(3).double(), 4)(x)
    reference = F.batch_norm(x[:4], None, None, training=True, eps=1e-5)
    assert torch.allclose(out[:4], reference)
    mean = 0.8 * x[:4].mean((0, 2, 3)) + 0.2 * x[4].mean((1, 2))
    square = 0.8 * x[:4].square().mean((0, 2, 3)) + 0.2 * x[4].square().mean((1, 2))
    std = (square - mean**2 + 1e-5).sqrt()
    assert torch.allclose(out[4], (x[4] - mean[:, None, None]) / std[:, None, None])


@pytest.mark.parametrize("images", [False, True])
def test_an_example_does_not_feel_its_batch(images: bool) -> None:
    if images:
        shape = (1, 16, 16)
        nets = DCGANGenerator(shape, latent_dim=6, width=4), DCGANDiscriminator(shape, width=4)
        data = [(torch.randn(8, *shape),)]
    else:
        nets, data = networks(norm="batch", d_norm="batch"), points(1)
    gan = NSGAN(*nets, stabilizers=[VirtualBatchNorm("both", size=8)])
    fit(gan, data)
    z, x = torch.randn(5, 6), torch.randn(5, *data[0][0].shape[1:])
    for mode in (True, False):
        gan.train(mode)
        torch.testing.assert_close(gan.generator(z)[:2], gan.generator(z[:2]))
        torch.testing.assert_close(gan.discriminator(x)[0][:2], gan.discriminator(x[:2])[0])


def test_references_are_the_first_latents_and_real_images_and_stay() -> None:
    gan = game(VirtualBatchNorm("both", size=8), ema_decay=0.5)
    noise = Noise(gan.noise.seed)
    data = points(3)
    fit(gan, data)
    assert torch.equal(gan.generator.net.reference, noise.normal(8, 6))
    assert torch.equal(gan.generator_ema.net.reference, gan.generator.net.reference)
    assert torch.equal(gan.discriminator.trunk.reference, data[0][0])
    again = game(VirtualBatchNorm("both", size=8), ema_decay=0.5)
    again.load_state_dict(gan.state_dict())
    fit(again, points(2, seed=9))
    assert torch.equal(again.discriminator.trunk.reference, data[0][0])


def test_virtual_batch_norm_goes_with_a_gradient_penalty() -> None:
    gan = game(VirtualBatchNorm("discriminator", size=4), cls=WGANGP)
    fit(gan, points(1))
    assert gan.latest["loss/d/gradient_penalty"] > 0
    with pytest.raises(ValueError, match="has a batch norm"):
        game(VirtualBatchNorm("generator", size=4), cls=WGANGP)


def test_virtual_batch_norm_refuses() -> None:
    with pytest.raises(ValueError, match="MLPGenerator has no batch norm to replace"):
        NSGAN(*networks(), stabilizers=[VirtualBatchNorm()])
    with pytest.raises(ValueError, match="size is 9, but the first batch has 8 examples"):
        fit(game(VirtualBatchNorm("both", size=9)), points(1))


# Noise and dropout inside D


def pushed(remedy: nn.Module) -> tuple[GAN, Tensor]:
    """D's hidden layer, 4,000 units wide, on ones, after one activation with the remedy behind it."""
    torch.manual_seed(0)
    gan = NSGAN(MLPGenerator((2,), width=4), MLPDiscriminator((2,), width=4000, depth=1), stabilizers=[remedy])
    return gan, score(gan, torch.ones(2, 2)).features["hidden"]


def test_layer_noise_has_its_standard_deviation_and_stops_in_evaluation() -> None:
    gan, noisy = pushed(LayerNoise(0.5))
    gan.eval()
    clean = score(gan, torch.ones(2, 2)).features["hidden"]
    assert (noisy - clean).std().item() == pytest.approx(0.5, rel=0.05)
    assert not torch.equal(noisy[0] - clean[0], noisy[1] - clean[1])
    assert torch.equal(clean, MLPDiscriminator.forward(gan.discriminator, torch.ones(2, 2))[1]["hidden"])


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    gan, noisy = pushed(Dropout(p_input=0.0, p_hidden=0.25))
    gan.eval()
    clean = score(gan, torch.ones(2, 2)).features["hidden"]
    alive = clean > 0
    assert (noisy[alive] == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    kept = alive & (noisy > 0)
    torch.testing.assert_close(noisy[kept], clean[kept] / 0.75)
    x = Dropout(0.2, 0.0).perturb(torch.ones(1, 50_000), role="real", kimg=0.0, noise=Noise(0))
    assert x.unique().tolist() == pytest.approx([0, 1.25])
    assert x.mean().item() == pytest.approx(1, abs=0.01)


def test_layers_draw_from_the_run_and_not_from_torch() -> None:
    runs = []
    for seed in (0, 1):
        gan = game(LayerNoise(), Dropout())
        gan.noise = Noise(5)
        torch.manual_seed(seed)
        fit(gan, points(3))
        runs.append(snapshot(gan))
    assert same(*runs)


def test_layers_need_an_activation_to_stand_behind() -> None:
    for remedy in (LayerNoise(), Dropout()):
        with pytest.raises(ValueError, match=f"{type(remedy).__name__} goes behind the activations of D"):
            NSGAN(MLPGenerator((2,), width=4), MLPDiscriminator((2,), depth=0), stabilizers=[remedy])


@pytest.mark.parametrize("stabilizer", [SpectralNorm(), WeightClip()])
def test_weights_that_are_scaled_in_use_are_not_bounded(stabilizer) -> None:
    """Their norm in use was 0.02 where 1 was meant."""
    networks = GrowingGenerator((1, 16, 16), 4, width=4), GrowingDiscriminator((1, 16, 16), width=4)
    with pytest.raises(ValueError, match=r"NSGAN: .* bounds the weights, and GrowingDiscriminator multiplies them"):
        NSGAN(*networks, stabilizers=[stabilizer])
