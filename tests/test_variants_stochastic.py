"""ALI and VAE/GAN, whose encoders return a distribution."""

from math import log

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.encoders import Logit, Matrix, encoder, gradients, mdgan, terms_of, watched
from tests.games import fit, networks, points, refuses, same, snapshot
from zoo.backbones import Encoder, MLPDiscriminator, PairDiscriminator
from zoo.dynamics import Consensus
from zoo.gan import GAN
from zoo.stabilizers import FeatureMatching, GradientPenalty
from zoo.types import Output, total
from zoo.variants.ali import ALI
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.vae_gan import VAEGAN


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def pairs() -> PairDiscriminator:
    return PairDiscriminator((2,), 6, width=5)


def ali(**kwargs) -> ALI:
    return ALI(networks()[0], pairs(), encoder(stochastic=True), **kwargs)


def vae_gan(**kwargs) -> VAEGAN:
    return VAEGAN(*networks(), encoder(stochastic=True), **kwargs)


class Cloud(nn.Module):
    """q(z|x): a Gaussian that is the same for every x."""

    stochastic, latent_dim = True, 2

    def __init__(self, mean: float, log_variance: float) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Parameter(torch.tensor(mean)), nn.Parameter(torch.tensor(log_variance))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean.expand(len(x), 2), self.log_variance.expand(len(x), 2)


class Seen(nn.Module):
    """A discriminator that keeps what it is shown; its features are the points."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))
        self.shown: list[tuple[Tensor, ...]] = []

    def forward(self, *shown: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        self.shown.append(shown)
        return shown[0] @ self.w, {"hidden": shown[0]}


class SeenPairs(Seen):
    paired, latent_dim = True, 2


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ALI(*networks(), encoder(stochastic=True)), ["ALI", "MLPDiscriminator", "PairDiscriminator"]),
        (lambda: ALI(networks()[0], pairs(), encoder()), ["ALI", "stochastic: true"]),
        (lambda: ALI(networks()[0], pairs(), encoder(5, stochastic=True)), ["ALI", "encoder", "is 5", "generator's 6"]),
        (
            lambda: ALI(networks()[0], PairDiscriminator((2,), 4), encoder(stochastic=True)),
            ["ALI", "discriminator", "is 4", "generator's 6"],
        ),
        (
            lambda: ali(stabilizers=[GradientPenalty()]),
            ["ALI", "gradient penalty", "pairs (x, z)", "no z of their own"],
        ),
        (lambda: VAEGAN(*networks(), encoder()), ["VAEGAN", "stochastic: true"]),
        (lambda: VAEGAN(*networks(), encoder(5, stochastic=True)), ["VAEGAN", "latent_dim is 5", "generator's 6"]),
        (lambda: vae_gan(gamma=1.5), ["VAEGAN", "gamma", "[0, 1]", "1.5"]),
        (lambda: vae_gan(margin=-0.1), ["VAEGAN", "margin", "at least 0", "-0.1"]),
        (lambda: vae_gan(dynamics=Consensus()), ["Consensus", "VAEGAN", "Alternating"]),
        (lambda: mdgan(dynamics=Consensus()), ["Consensus", "MDGAN", "Alternating"]),
        (
            lambda: fit(VAEGAN(Matrix(), Logit(1.0, 1.0), Cloud(0.0, 0.0)), points(1)),
            ["VAEGAN", "features['hidden']", "Logit shows none"],
        ),
    ],
)
def test_refusals_name_the_culprit_and_the_way_out(build, words) -> None:
    refuses(build, words)


# ALI.


def test_who_cannot_tell_the_pairs_apart_pays_two_log_two() -> None:
    gan = ali()
    nn.init.zeros_(gan.discriminator.head.weight)
    nn.init.zeros_(gan.discriminator.head.bias)
    x = torch.randn(7, 2)
    assert total(terms_of(gan, "d", x)).item() == pytest.approx(2 * log(2))
    assert total(terms_of(gan, "g", x)).item() == pytest.approx(2 * log(2))


def test_swapping_the_pairs_swaps_the_losses() -> None:
    gan = ali()
    batch = gan.deal((torch.randn(5, 2),), graph=True)
    scores = {"real": torch.randn(5), "fake": torch.randn(5)}
    swapped = {"real": scores["fake"], "fake": scores["real"]}

    def losses(said: dict[str, Tensor]) -> list[float]:
        return [total(turn.loss(lambda x, role: Output(said[role], {}), batch)).item() for turn in gan.turns()]

    d, g = losses(scores)
    assert losses(swapped) == pytest.approx([g, d])
    assert d != pytest.approx(g)


def test_a_pair_is_x_with_a_sample_of_its_posterior_or_a_fake_with_its_latent() -> None:
    """q(z|x) = N(3, 1/100²) for every x, p(z) = N(0, 1), G(z) = z."""
    gan = ALI(Matrix(), SeenPairs(), Cloud(3.0, -2 * log(100)))
    x = torch.randn(500, 2)
    for name, order in (("d", "rf"), ("g", "fr")):
        gan.discriminator.shown.clear()
        terms_of(gan, name, x)
        said = dict(zip(order, gan.discriminator.shown, strict=True))
        assert torch.equal(said["r"][0], x)
        assert torch.equal(said["f"][0], said["f"][1])  # G is the identity
        assert said["r"][1].mean().item() == pytest.approx(3, abs=0.002)
        assert said["r"][1].std().item() == pytest.approx(0.01, rel=0.1)
        assert said["f"][1].std().item() == pytest.approx(1, rel=0.1)


def test_generator_and_encoder_are_one_player_on_one_loss() -> None:
    gan = ali().double()
    x = torch.randn(5, 2, dtype=torch.float64)
    found = total(terms_of(gan, "g", x))
    gan.noise.begin(0)
    z, e = gan.noise.normal(5, 6, dtype=x.dtype), gan.noise.normal(5, 6, dtype=x.dtype)
    mean, log_variance = gan.encoder(x)
    real = gan.discriminator(x, mean + log_variance.exp().sqrt() * e)[0].sigmoid()
    fake = gan.discriminator(gan.generator(z), z)[0].sigmoid()
    loss = -(1 - real).log().mean() - fake.log().mean()
    assert found.item() == pytest.approx(loss.item())
    for net in (gan.generator, gan.encoder):
        for mine, theirs in zip(gradients(loss, net), gradients(found, net), strict=True):
            torch.testing.assert_close(theirs, mine)
            assert mine.abs().sum() > 0
    _, together = gan.configure_optimizers()
    assert len(together.param_groups[0]["params"]) == len([*gan.generator.parameters(), *gan.encoder.parameters()])


@pytest.mark.parametrize(
    "kwargs", [{"dynamics": Consensus(0.1)}, {"stabilizers": [FeatureMatching()]}], ids=["Consensus", "FeatureMatching"]
)
def test_ali_goes_with_what_needs_no_points_between_the_pairs(kwargs) -> None:
    gan = ali(**kwargs)
    before = snapshot(gan.generator), snapshot(gan.encoder)
    fit(gan, points(2))
    assert not same(before[0], snapshot(gan.generator))
    assert not same(before[1], snapshot(gan.encoder))
    assert gan.latest["loss/g/encoder"] > 0


# VAE/GAN.


def test_the_prior_loss_is_the_divergence() -> None:
    """KL(N(1, 4) ‖ N(0, 1)) = ½(1 + 4 - ln 4 - 1) = 1.306853 a dimension; 0 at the prior itself."""
    one = torch.ones(3, 1)
    assert VAEGAN.prior_loss(one, one * log(4)).item() == pytest.approx(1.306853, abs=1e-6)
    assert VAEGAN.prior_loss(one.expand(3, 5), one.expand(3, 5) * log(4)).item() == pytest.approx(
        5 * 1.306853, abs=1e-5
    )
    assert VAEGAN.prior_loss(0 * one, 0 * one) == 0


def test_the_likelihood_is_summed_over_features_and_halved() -> None:
    """G(z) = 0 and f(x) = x: ½(1 + 4) and ½(9 + 16), averaged."""
    gan = VAEGAN(Matrix(0.0), Seen(), Cloud(1.0, log(4)), gamma=0.25)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    terms = terms_of(gan, "e", x)
    assert terms["likelihood"].item() == pytest.approx(7.5)
    assert terms["prior"].item() == pytest.approx(2 * 1.306853, abs=1e-5)
    assert terms_of(gan, "g", x)["likelihood"].item() == pytest.approx(0.25 * 7.5)


@pytest.mark.parametrize("reconstructions", [False, True])
def test_the_encoder_is_deaf_to_the_game(reconstructions: bool) -> None:
    """Its gradient comes from D's features alone, so what D makes of them does not matter; nor does γ."""
    first = vae_gan(reconstructions=reconstructions, gamma=0.5)
    second = vae_gan(reconstructions=reconstructions, gamma=0.1)
    nn.init.normal_(second.discriminator.head.weight)
    x = torch.randn(5, 2)
    before = gradients(total(terms_of(first, "e", x)), first.encoder)
    after = gradients(total(terms_of(second, "e", x)), second.encoder)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(g.abs().sum() > 0 for g in before)


@pytest.mark.parametrize("reconstructions", [False, True])
def test_each_player_moves_in_its_own_turn(reconstructions: bool) -> None:
    g, d = networks(norm="batch", d_norm="batch")
    stochastic = Encoder((2,), 6, width=5, stochastic=True)
    gan = watched(VAEGAN)(g, d, stochastic, margin=10.0, reconstructions=reconstructions)
    fit(gan, points(3))
    assert gan.moves == [("d", {"d"}), ("g", {"g"}), ("e", {"e"})] * 3


def test_without_gamma_the_decoder_plays_minimax() -> None:
    vae, plain = vae_gan(gamma=0.0), MinimaxGAN(*networks())
    plain.noise = vae.noise
    x = torch.randn(5, 2)
    mine = gradients(total(terms_of(vae, "g", x)), vae.generator)
    theirs = gradients(total(terms_of(plain, "g", x)), plain.generator)
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert any(g.abs().sum() > 0 for g in mine)


@pytest.mark.parametrize(("gamma", "reconstructions"), [(0.25, False), (0.25, True), (1.0, True)])
def test_the_decoders_loss_in_full(gamma: float, reconstructions: bool) -> None:
    gan = vae_gan(gamma=gamma, reconstructions=reconstructions).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    found = total(terms_of(gan, "g", x))
    gan.noise.begin(0)
    z, e = gan.noise.normal(5, 6, dtype=x.dtype), gan.noise.normal(5, 6, dtype=x.dtype)
    mean, log_variance = gan.encoder(x)
    rebuilt = gan.generator(mean + log_variance.exp().sqrt() * e)
    d = gan.discriminator
    error = (d.trunk(x) - d.trunk(rebuilt)).pow(2).sum() / 2 / 5
    judged = [gan.generator(z), rebuilt] if reconstructions else [gan.generator(z)]
    game = sum((1 - d(images)[0].sigmoid()).log().mean() for images in judged)
    loss = gamma * error + (1 - gamma) * game
    assert found.item() == pytest.approx(loss.item())
    for mine, theirs in zip(gradients(loss, gan.generator), gradients(found, gan.generator), strict=True):
        torch.testing.assert_close(theirs, mine)


def test_d_judges_reconstructions_as_half_of_the_fakes() -> None:
    """Real points score 0, G(z) = 0 scores 0, and so does x̃: a loss of ln 2 + ln 2 with and without."""
    for reconstructions in (False, True):
        gan = VAEGAN(Matrix(0.0), Seen(), Cloud(0.0, 0.0), reconstructions=reconstructions)
        terms = terms_of(gan, "d", torch.zeros(4, 2))
        assert total(terms).item() == pytest.approx(2 * log(2))
        assert len(gan.discriminator.shown) == 2 + reconstructions


@pytest.mark.parametrize(
    ("real", "fake", "waits"),
    [  # the band is [0.33, 1.03]
        (0.68, 0.68, set()),
        (0.34, 1.02, set()),
        (0.32, 0.70, {"d"}),
        (0.70, 0.32, {"d"}),
        (0.10, 0.10, {"d"}),
        (0.70, 1.04, {"g"}),
        (1.04, 0.70, {"g"}),
        (2.00, 2.00, {"g"}),
        (0.10, 2.00, set()),
        (2.00, 0.10, set()),
    ],
)
def test_who_is_too_far_ahead_waits(real: float, fake: float, waits: set[str]) -> None:
    gan = vae_gan()
    gan.costs.copy_(torch.tensor([real, fake]))
    before = {name: snapshot(net) for name, net in gan.players().items()}
    fit(gan, points(1))
    changed = {name for name, net in gan.players().items() if not same(before[name], snapshot(net))}
    assert changed == {"d", "g", "e"} - waits
    assert gan.steps == 1


def test_what_the_encoder_saw_is_forgotten_with_a_move_that_is_skipped() -> None:
    e = Encoder((2,), 6, width=4, norm="batch", stochastic=True)
    gan = VAEGAN(*networks(), e, nonfinite="skip")
    gan.prior_loss = lambda mean, log_variance: mean.sum() * torch.nan
    before = snapshot(e)
    with pytest.warns(UserWarning, match="the move of e at 0 kimg: the term prior is nan"):
        fit(gan, points(1))
    assert same(before, snapshot(e))
    assert gan.skipped == 1


def test_likelihood_does_not_move_a_waiting_discriminator_or_its_statistics() -> None:
    g, d = networks(d_norm="batch")
    gan = VAEGAN(g, d, encoder(stochastic=True), gamma=1.0, equilibrium=10.0)
    gan.costs.zero_()  # and no D will be so bad that it may move
    before = snapshot(d)
    fit(gan, points(3))
    assert same(before, snapshot(d))
    assert gan.latest["loss/g/likelihood"] > 0
    assert gan.g_moves == 3


@pytest.mark.parametrize("waits", [False, True])
def test_costs_are_those_before_anybody_moved(waits: bool) -> None:
    gan = vae_gan(equilibrium=10.0 if waits else 0.68)
    gan.costs.fill_(0.68)
    data, d, g = points(1), gan.discriminator, gan.generator
    gan.noise.begin(0)
    with torch.no_grad():
        said = d(data[0][0])[0], d(g(gan.sample_latent(8, gan.noise)))[0]
        expected = [F.softplus(-said[0]).mean().item(), F.softplus(said[1]).mean().item()]
    fit(gan, data)
    assert gan.gate() == ({"d"} if waits else set())
    assert gan.costs.tolist() == pytest.approx(expected)
    assert [gan.latest["vae_gan/cost_real"].item(), gan.latest["vae_gan/cost_fake"].item()] == gan.costs.tolist()


def test_a_resumed_run_knows_who_must_wait(tmp_path) -> None:
    def game() -> GAN:
        torch.manual_seed(0)
        d = MLPDiscriminator((2,), width=7, depth=1)
        return VAEGAN(networks()[0], d, encoder(stochastic=True), equilibrium=0.7, margin=0.16, gamma=0.1)

    data = points(8)
    straight, waited = game(), []
    straight.after_turn = lambda turn: (VAEGAN.after_turn(straight, turn), waited.append(straight.waiting))
    fit(straight, data)
    first, second = game(), game()
    fit(first, data[:3]).save_checkpoint(tmp_path / "half.ckpt")
    assert first.gate() == {"g"}
    fit(second, data[3:], ckpt_path=str(tmp_path / "half.ckpt"), max_epochs=2)
    assert same(snapshot(straight), snapshot(second))
    assert len(set(waited)) > 1  # somebody waited, and not always the same
