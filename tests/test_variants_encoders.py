"""Encoders, discriminators of pairs, and the two systems of Che et al. that use an encoder."""

from copy import deepcopy
from dataclasses import replace
from math import log

import pytest
import torch
from torch import Tensor, nn

from tests.encoders import Logit, Matrix, encoder, gradients, mdgan, terms_of, watched
from tests.games import fit, networks, points, refuses, same, snapshot
from zoo.backbones import Autoencoder, Encoder, MLPDiscriminator, MLPGenerator, PairDiscriminator
from zoo.dynamics import Unrolled
from zoo.optim import Adam
from zoo.stabilizers import GradientPenalty, HistoricalAveraging, SpectralNorm, VirtualBatchNorm, WeightClip
from zoo.support.freezing import frozen
from zoo.types import Output, total
from zoo.variants.mdgan import MDGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.regularized_gan import RegularizedGAN
from zoo.variants.veegan import VEEGAN


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def regularized(**kwargs) -> RegularizedGAN:
    return RegularizedGAN(*networks(), encoder(), **kwargs)


# The networks.


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (3, 32, 32)])
def test_an_encoder_returns_a_latent_or_a_distribution(shape: tuple[int, ...]) -> None:
    x = torch.randn(3, *shape)
    assert Encoder(shape, 7, width=4)(x).shape == (3, 7)
    mean, log_variance = Encoder(shape, 7, width=4, stochastic=True)(x)
    assert mean.shape == log_variance.shape == (3, 7)
    assert not torch.equal(mean, log_variance)


@pytest.mark.parametrize("shape", [(2,), (1, 16, 16)])
def test_a_pair_is_judged_by_both_of_its_halves_and_by_nothing_else(shape: tuple[int, ...]) -> None:
    d = PairDiscriminator(shape, 5, width=16).double()
    x, z = torch.randn(3, *shape, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    score, features = d(x.requires_grad_(), z.requires_grad_())
    assert score.shape == (3,)
    torch.testing.assert_close(d.head(features["hidden"]).squeeze(1), score)
    for half in torch.autograd.grad(score[1], (x, z)):
        assert half[1].abs().sum() > 0
        assert half[[0, 2]].abs().sum() == 0
    assert not torch.allclose(d(x, z.flip(0))[0], score)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Encoder((1, 9, 9)), ["Encoder", "(1, 9, 9)", "8 to 128"]),
        (lambda: Encoder((1, 8, 8), norm="spectral"), ["Encoder", "'spectral'", "'instance'"]),
        (lambda: Encoder((2,), norm="instance"), ["Encoder", "'instance'", "'layer'"]),
        (lambda: Encoder((2,), latent_dim=0), ["Encoder", "latent_dim is 0", "at least 1"]),
        (lambda: Encoder((2,))(torch.zeros(3, 4)), ["Encoder", "(3, 4)", "(2,)"]),
        (lambda: PairDiscriminator((1, 8, 8), width=0), ["PairDiscriminator", "width is 0"]),
        (lambda: PairDiscriminator((2,), 5, 4)(torch.zeros(3, 2), torch.zeros(3, 6)), ["(3, 6)", "(3, 5)"]),
        (lambda: RegularizedGAN(*networks(), encoder(5)), ["RegularizedGAN", "latent_dim is 5", "generator's 6"]),
        (lambda: RegularizedGAN(*networks(), encoder(stochastic=True)), ["RegularizedGAN", "stochastic: false"]),
        (lambda: regularized(lambda1=-1.0), ["RegularizedGAN", "lambda1", "at least 0", "-1"]),
        (lambda: regularized(lambda2=-0.5), ["RegularizedGAN", "lambda2", "at least 0", "-0.5"]),
        (lambda: MDGAN(*networks(), networks()[1], encoder(5)), ["MDGAN", "latent_dim is 5", "generator's 6"]),
        (lambda: MDGAN(*networks(), networks()[1], encoder(stochastic=True)), ["MDGAN", "stochastic: false"]),
        (lambda: mdgan(weight=-1e-3), ["MDGAN", "weight", "at least 0", "-0.001"]),
        (lambda: MDGAN(*(n := networks()), n[1], encoder()), ["MDGAN", "MLPDiscriminator", "network of its own"]),
        (
            lambda: MDGAN(*networks(), Autoencoder((1, 8, 8), width=2), encoder()),
            ["MDGAN", "Autoencoder", "diffusion_discriminator", "not energies"],
        ),
    ],
)
def test_refusals_name_the_culprit_and_the_way_out(build, words) -> None:
    refuses(build, words)


# Regularized GAN.


def test_without_its_weights_it_is_the_non_saturating_gan_and_the_encoder_rests() -> None:
    rate = {"g_optimizer": lambda p: Adam(p, lr=1e-3), "d_optimizer": lambda p: Adam(p, lr=1e-3)}
    plain, reduced, full = NSGAN(*networks(), **rate), regularized(lambda1=0, lambda2=0, **rate), regularized(**rate)
    before = snapshot(reduced.encoder)
    for gan in (plain, reduced, full):
        fit(gan, points(5))
    assert same(snapshot(plain.generator), snapshot(reduced.generator))
    assert same(snapshot(plain.discriminator), snapshot(reduced.discriminator))
    assert same(before, snapshot(reduced.encoder))
    assert not same(snapshot(plain.generator), snapshot(full.generator))
    assert not same(before, snapshot(full.encoder))


def test_reconstructions_are_pushed_towards_the_data_side_of_d() -> None:
    """∂L/∂D(x̃) = -λ₂(1-σ): at logits 0 and ln 3 and a batch of two, -0.4·(1/2, 1/4)/2."""
    gan = regularized()
    batch = gan.deal((torch.randn(2, 2),), graph=True)
    logits = torch.tensor([0.0, log(3)], requires_grad=True)

    def critic(x: Tensor, role: str) -> Output:
        return Output(torch.zeros(2) if x is batch.fake else logits, {})

    (slope,) = torch.autograd.grad(total(gan.g_turn(critic, batch)), logits)
    assert slope.tolist() == pytest.approx([-0.1, -0.05])


def test_the_encoder_descends_on_its_own_loss_only() -> None:
    gan = regularized(lambda1=0.3, lambda2=0.7).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    batch = gan.deal((x,), graph=True)
    found = gradients(total(gan.g_turn(gan.bind(batch), batch)), gan.encoder)
    rebuilt = gan.generator(gan.encoder(x))
    squares = (x - rebuilt).pow(2).sum() / 5  # a sum over coordinates, a mean over five points
    loss = 0.3 * squares - 0.7 * gan.discriminator(rebuilt)[0].sigmoid().log().mean()
    for mine, theirs in zip(gradients(loss, gan.encoder), found, strict=True):
        torch.testing.assert_close(theirs, mine)


@pytest.mark.parametrize(("scale", "distance"), [(1.0, 0.0), (0.5, (1 + 4 + 9 + 16) / 4 / 2)])
def test_a_perfect_autoencoder_has_no_distance(scale: float, distance: float) -> None:
    """G(z) = z and E(x) = scale·x: the sum over coordinates of (1 - scale)²x², a mean over two points."""
    gan = RegularizedGAN(Matrix(), Logit(0.0, 0.0), Matrix(scale), lambda1=1.0, lambda2=0.5)
    batch = gan.deal((torch.tensor([[1.0, 2.0], [3.0, 4.0]]),), graph=True)
    terms = gan.g_turn(gan.bind(batch), batch)
    assert terms["reconstruction"].item() == pytest.approx(distance)
    assert terms["mode"].item() == pytest.approx(0.5 * log(2))


def test_it_can_be_unrolled() -> None:
    gan = regularized(dynamics=Unrolled(k=2, lr=0.1))
    trainer = fit(gan, points(2))
    assert trainer.global_step == 2
    assert gan.latest["loss/g/reconstruction"] > 0


# VEEGAN.


class Pair(nn.Module):
    """score = 3x + 5z, of numbers."""

    paired, latent_dim = True, 1

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([3.0, 5.0]))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return torch.cat([x, z], dim=1) @ self.w


def test_veegan_s_reconstructor_learns_from_z_alone() -> None:
    """G(z) = 2z and F(x) = x/4, so F(G(z)) = z/2: L_G,F = -E(6z + 5z) + E z²/4.

    d/df of E(z - 2fz)² is -2 E z² at f = 1/4; d/dg of -E(3gz + 5z) + E(z - gz/4)² is -3 E z - E z²/4 at g = 2.
    """
    gan = VEEGAN(Matrix(2.0, size=1), Pair(), Matrix(0.25, size=1))
    batch = gan.deal((torch.tensor([[1.0], [2.0], [5.0]]),), graph=True)
    mean, square = batch.z.mean().item(), batch.z.square().mean().item()
    critic = gan.bind(batch)
    terms = gan.g_turn(critic, batch)
    assert terms["adversarial"].item() == pytest.approx(-11 * mean, rel=1e-5)
    assert terms["reconstruction"].item() == pytest.approx(square / 4, rel=1e-5)
    (of_f,) = gradients(total(terms), gan.encoder)
    (of_g,) = gradients(total(terms), gan.generator)
    assert of_f.item() == pytest.approx(-2 * square, rel=1e-5)
    assert of_g.item() == pytest.approx(-3 * mean - square / 4, rel=1e-5)
    # pairs (x, x/4) and (2z, z): scores 4.25x and 11z
    gan.d_turn(critic, batch)
    assert gan.outputs["d"]["real"].score.tolist() == pytest.approx([4.25, 8.5, 21.25])
    assert gan.outputs["d"]["fake"].score.tolist() == pytest.approx((11 * batch.z[:, 0]).tolist(), rel=1e-5)


def test_veegan_s_players_and_refusals() -> None:
    assert list(VEEGAN(Matrix(size=1), Pair(), Matrix(size=1)).players()) == ["d", "g"]
    with pytest.raises(ValueError, match="VEEGAN: its encoder returns one z for each x"):
        VEEGAN(*networks()[:1], PairDiscriminator((2,), 6), encoder(stochastic=True))
    with pytest.raises(ValueError, match="VEEGAN: the discriminator's latent_dim is 5, the generator's 6"):
        VEEGAN(*networks()[:1], PairDiscriminator((2,), 5), encoder())
    with pytest.raises(ValueError, match=r"VEEGAN: .* gradient penalty have no z"):
        VEEGAN(*networks()[:1], PairDiscriminator((2,), 6), encoder(), stabilizers=[GradientPenalty()])


# MDGAN.


def test_four_moves_in_order_each_of_its_own_players() -> None:
    g, d = networks(norm="batch", d_norm="batch")
    gan = watched(MDGAN)(g, d, networks(seed=7, d_norm="batch")[1], Encoder((2,), 6, width=5), ema_decay=0.9)
    fit(gan, points(3))
    assert gan.moves == [("d1", {"d1"}), ("g1", {"g", "e"}), ("d2", {"d2"}), ("g2", {"g"})] * 3
    assert gan.g_moves == 6


def test_before_a_perfect_autoencoder_d1_cannot_do_better_than_chance() -> None:
    x = torch.randn(6, 2)
    gan = MDGAN(Matrix(), Logit(3.0, 4.0), Logit(1.0, 1.0), Matrix())
    terms_of(gan, "d1", x)
    assert torch.equal(gan.outputs["d1"]["real"].score, gan.outputs["d1"]["fake"].score)
    gan.discriminator.w.data.zero_()
    loss = terms_of(gan, "d1", x)["adversarial"]
    assert loss.item() == pytest.approx(2 * log(2))
    (slope,) = gradients(loss, gan.discriminator)
    assert slope.tolist() == pytest.approx([0, 0], abs=1e-7)
    manifold = terms_of(gan, "g1", x)
    assert manifold["reconstruction"] == 0
    assert manifold["adversarial"].item() == pytest.approx(0.01 * log(2))


def test_the_diffusion_step_on_perfect_reconstructions_is_the_non_saturating_gan() -> None:
    x = torch.randn(6, 2)
    second = MLPDiscriminator((2,), width=5)
    gan, plain = MDGAN(Matrix(), Logit(3.0, 4.0), second, Matrix()), NSGAN(Matrix(), deepcopy(second))
    plain.noise = gan.noise
    for mine, theirs, net, judge in (
        ("d2", "d", second, plain.discriminator),
        ("g2", "g", gan.generator, plain.generator),
    ):
        ours, other = total(terms_of(gan, mine, x)), total(terms_of(plain, theirs, x))
        torch.testing.assert_close(ours, other)
        for a, b in zip(gradients(ours, net), gradients(other, judge), strict=True):
            torch.testing.assert_close(a, b)
            assert a.abs().sum() > 0  # D2's gradient reaches G


def test_the_diffusion_step_tells_reconstructions_from_samples() -> None:
    gan = mdgan().double()
    x = torch.randn(5, 2, dtype=torch.float64)
    loss = total(terms_of(gan, "d2", x))
    gan.noise.begin(0)
    fake, rebuilt = gan.generator(gan.sample_latent(5, gan.noise)), gan.generator(gan.encoder(x))
    said = [gan.diffusion_discriminator(images)[0].sigmoid() for images in (rebuilt, fake)]
    assert loss.item() == pytest.approx(-(said[0].log().mean() + (1 - said[1]).log().mean()).item())
    assert all(g.abs().sum() == 0 for g in gradients(loss, gan.discriminator))


def test_the_manifold_step_moves_generator_and_encoder_on_one_loss() -> None:
    gan = mdgan(weight=0.3).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    found = total(terms_of(gan, "g1", x))
    rebuilt = gan.generator(gan.encoder(x))
    loss = (rebuilt - x).square().sum() / 5 - 0.3 * gan.discriminator(rebuilt)[0].sigmoid().log().mean()
    assert found.item() == pytest.approx(loss.item())
    for net in (gan.generator, gan.encoder):
        for mine, theirs in zip(gradients(loss, net), gradients(found, net), strict=True):
            torch.testing.assert_close(theirs, mine)


def test_the_manifold_step_sums_over_pixels() -> None:
    """G(z) = z and E(x) = x/2: E‖x - x/2‖² of (1, 2) and (3, 4) is (5/4 + 25/4) / 2."""
    gan = MDGAN(Matrix(), Logit(0.0, 0.0), Logit(0.0, 0.0), Matrix(0.5), weight=0.0)
    terms = terms_of(gan, "g1", torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert terms["reconstruction"].item() == pytest.approx(3.75)


def test_a_penalty_is_paid_by_each_discriminator_for_itself() -> None:
    """10·(‖w‖-1)²: 160 for w = (3, 4), 2.5 for w = (0.3, 0.4)."""
    gan = MDGAN(Matrix(), Logit(3.0, 4.0), Logit(0.3, 0.4), Matrix(), stabilizers=[GradientPenalty()])
    x = torch.randn(6, 2)
    assert terms_of(gan, "d1", x)["gradient_penalty"].item() == pytest.approx(160)
    assert terms_of(gan, "d2", x)["gradient_penalty"].item() == pytest.approx(2.5)


def test_labels_reach_both_discriminators() -> None:
    torch.manual_seed(0)
    g = MLPGenerator((2,), latent_dim=6, width=5, num_classes=3)
    d1, d2 = (MLPDiscriminator((2,), width=5, num_classes=3) for _ in range(2))
    gan = MDGAN(g, d1, d2, encoder())
    batch = gan.deal((torch.randn(4, 2), torch.tensor([0, 1, 2, 0])), graph=True)
    for turn in gan.turns():
        scores = [
            total(turn.loss(gan.bind(b), b)).item() for b in (batch, replace(batch, labels=torch.tensor([1, 2, 0, 1])))
        ]
        assert scores[0] != scores[1]


def test_what_is_done_to_d_is_done_to_both() -> None:
    gan = mdgan(stabilizers=[WeightClip(0.05)])
    fit(gan, points(2))
    for judge in (gan.discriminator, gan.diffusion_discriminator):
        assert max(p.abs().max().item() for p in judge.parameters()) == pytest.approx(0.05)
    gan = mdgan(stabilizers=[SpectralNorm()])
    for judge in (gan.discriminator, gan.diffusion_discriminator):
        assert any("original" in name for name, _ in judge.named_parameters())
    nets = networks()
    with pytest.raises(ValueError, match=r"MDGAN: a gradient penalty.*batch norm"):
        MDGAN(*nets, networks(d_norm="batch")[1], encoder(), stabilizers=[GradientPenalty()])


def test_each_of_two_discriminators_is_drawn_to_its_own_past() -> None:
    """D1 stands still in D2's turn, and D2 in D1's: 0.5 · ‖1‖² for the weight that was moved by 1."""
    remedy = HistoricalAveraging(0.5)
    gan = mdgan(stabilizers=[remedy])
    with torch.no_grad():
        next(gan.discriminator.parameters()).view(-1)[0] += 1
        next(gan.diffusion_discriminator.parameters()).view(-1)[0] += 2
    with frozen(gan.diffusion_discriminator.parameters()):
        assert remedy.d_terms(None, None, None, None)["historical_averaging"].item() == pytest.approx(0.5)
    with frozen(gan.discriminator.parameters()):
        assert remedy.d_terms(None, None, None, None)["historical_averaging"].item() == pytest.approx(2.0)


def test_virtual_batch_norm_has_no_second_reference() -> None:
    with pytest.raises(ValueError, match=r"MDGAN: VirtualBatchNorm .* there are 2; use nets: generator"):
        mdgan(stabilizers=[VirtualBatchNorm("discriminator")])


def test_a_judge_of_pairs_is_for_ali_alone() -> None:
    with pytest.raises(ValueError, match=r"NSGAN cannot use PairDiscriminator .* x alone"):
        NSGAN(MLPGenerator((2,), latent_dim=4), PairDiscriminator((2,), latent_dim=4))
