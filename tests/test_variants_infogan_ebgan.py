"""InfoGAN: what a code says, what Q makes of it, who moves."""

import math

import pytest
import torch
from torch import Tensor, nn

from tests.games import fit, points, same, snapshot
from zoo.backbones import Autoencoder, DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from zoo.dynamics import Consensus
from zoo.gan import GAN
from zoo.noise import Noise
from zoo.optim import Adam
from zoo.stabilizers import FeatureMatching, LabelSmoothing, MinibatchDiscrimination, SpectralNorm, VirtualBatchNorm
from zoo.types import Output
from zoo.variants.began import BEGAN
from zoo.variants.ebgan import EBGAN, pulling_away
from zoo.variants.infogan import InfoGAN
from zoo.variants.nsgan import NSGAN


def nets(latent_dim: int = 20) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return MLPGenerator((2,), latent_dim=latent_dim, width=5), MLPDiscriminator((2,), width=7)


class Says(nn.Module):
    """A Q that says the same whatever it sees."""

    def __init__(self, said: Tensor) -> None:
        super().__init__()
        self.said = said

    def forward(self, hidden: Tensor) -> Tensor:
        return self.said


def information(gan: InfoGAN, z: Tensor, said: Tensor) -> float:
    gan.q = Says(said)
    return gan.information(z, Output(torch.zeros(len(z)), {"hidden": torch.zeros(len(z), 7)})).item()


def test_a_latent_is_noise_a_class_and_codes() -> None:
    gan = InfoGAN(*nets())
    z = gan.sample_latent(20_000, Noise(0))
    assert z.shape == (20_000, 8 + 10 + 2)
    noise, classes, codes = z[:, :8], z[:, 8:18], z[:, 18:]
    assert torch.equal(classes.sum(1), torch.ones(20_000))
    assert set(classes.unique().tolist()) == {0, 1}
    assert classes.mean(0).tolist() == pytest.approx([0.1] * 10, abs=0.01)
    for part in (noise, codes):
        assert -1 <= part.min() < -0.99
        assert 0.99 < part.max() < 1
        assert part.var().item() == pytest.approx(1 / 3, abs=0.01)


def test_a_code_can_be_chosen_and_the_rest_stays() -> None:
    gan = InfoGAN(*nets())
    drawn = gan.latent(6, Noise(3))
    z = gan.latent(6, Noise(3), category=4, codes=torch.tensor([0.5, -1.0]))
    assert torch.equal(z[:, :8], drawn[:, :8])
    assert z[:, 8:18].argmax(1).tolist() == [4] * 6
    assert z[:, 18:].tolist() == [[0.5, -1.0]] * 6
    assert gan.latent(3, Noise(3), category=torch.tensor([7, 0, 9]))[:, 8:18].argmax(1).tolist() == [7, 0, 9]
    assert gan.sample(6, z=z).shape == (6, 2)


def test_information_is_nothing_for_a_guess_and_the_entropy_for_a_sure_q() -> None:
    gan = InfoGAN(*nets(), continuous=0)
    z = gan.latent(50, Noise(0))
    assert information(gan, z, torch.zeros(50, 10)) == pytest.approx(0, abs=1e-6)
    assert information(gan, z, 1000 * z[:, 10:]) == pytest.approx(2.302585, abs=1e-6)
    assert information(gan, z, -1000 * z[:, 10:]) < -900


def test_information_of_continuous_codes_is_a_gaussian_with_unit_deviation() -> None:
    gan = InfoGAN(*nets(), categorical=2, continuous=1)
    z = gan.latent(2, Noise(0), category=torch.tensor([0, 1]), codes=torch.tensor([[0.5], [-0.5]]))
    said = torch.tensor([[0.0, math.log(3), 1.5], [0.0, math.log(3), -0.5]])
    # ln ¼ and ln ¾; squares 1 and 0; entropies ln 2 and ln 2
    expected = (math.log(1 / 4) + math.log(3 / 4)) / 2 - 1 / 4 - math.log(2 * math.pi) / 2 + 2 * math.log(2)
    assert information(gan, z, said) == pytest.approx(expected, abs=1e-6)


class Normal(InfoGAN):
    """The latents of any other GAN."""

    def sample_latent(self, n: int, noise: Noise) -> Tensor:
        return GAN.sample_latent(self, n, noise)


def test_weight_zero_is_nsgan_bit_for_bit() -> None:
    states = []
    for cls, kwargs in ((NSGAN, {"g_optimizer": lambda p: Adam(p, lr=1e-3)}), (Normal, {"info_weight": 0.0})):
        gan = cls(*nets(), **kwargs)
        gan.noise = Noise(2)
        fit(gan, points(4))
        states.append({k: v for k, v in snapshot(gan).items() if not k.startswith("q.")})
    assert same(*states)


def test_q_moves_with_d_and_is_still_when_g_moves() -> None:
    gan = InfoGAN(*nets())
    seen = []
    move = gan.move

    def watch(turn, terms, **kwargs) -> None:
        before = snapshot(gan.q)
        move(turn, terms, **kwargs)
        seen.append((turn.name, same(before, snapshot(gan.q))))

    gan.move = watch
    fit(gan, points(2))
    assert seen == [("d", False), ("g", True)] * 2
    rates = [optimizer.param_groups[0]["lr"] for optimizer in gan.configure_optimizers()]
    assert rates == [2e-4, 1e-3]


def test_both_sides_lose_what_q_learns() -> None:
    gan = InfoGAN(*nets(), info_weight=0.5)
    batch = gan.deal(points(1)[0], graph=True)
    critic = gan.bind(batch)
    d, g = gan.d_turn(critic, batch), gan.g_turn(critic, batch)
    learned = gan.information(batch.z, critic(batch.fake, "fake")).item()
    assert d["information"].item() == g["information"].item() == pytest.approx(-0.5 * learned)
    for net in (gan.q, gan.discriminator.trunk, gan.generator):
        gradients = torch.autograd.grad(g["information"], net.parameters(), retain_graph=True)
        assert any(gradient.abs().sum() > 0 for gradient in gradients)


def test_q_learns_the_class_that_g_shows() -> None:
    """A generator that shows its class as a point: L_I comes close to ln 2 within 200 steps of D."""
    generator, discriminator = nets(latent_dim=3)
    gan = InfoGAN(generator, discriminator, categorical=2, continuous=0, d_optimizer=lambda p: Adam(p, lr=1e-2))
    generator.net = nn.Sequential(nn.Linear(3, 2, bias=False))
    generator.net[0].weight.data = torch.tensor([[0.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
    gan.g_turn = lambda critic, batch: {"none": 0 * batch.fake.sum()}
    gan.turns = lambda: tuple(t for t in GAN.turns(gan) if t.name == "d")
    fit(gan, points(200))
    assert -gan.latest["loss/d/information"].item() == pytest.approx(math.log(2), abs=0.02)


@pytest.mark.parametrize("remedy", [MinibatchDiscrimination(3), SpectralNorm(), LabelSmoothing(), None])
def test_it_goes_with_what_rewrites_d(remedy: nn.Module | None) -> None:
    gan = InfoGAN(*nets(), stabilizers=[remedy] if remedy else [])
    assert gan.q[0].in_features == 7
    fit(gan, points(1))
    assert gan.latest["loss/g/information"].isfinite()


def test_it_makes_images_with_batch_norm_real_or_virtual() -> None:
    shape = (1, 16, 16)
    for stabilizers in ([], [VirtualBatchNorm("both", size=4)]):
        d = DCGANDiscriminator(shape, width=4)
        before = snapshot(d)
        gan = InfoGAN(DCGANGenerator(shape, latent_dim=20, width=4), d, stabilizers=stabilizers)
        if not stabilizers:
            assert same(snapshot(d), before)  # asking for Q's width left D alone
        assert gan.q[0].in_features == 16 * 8
        fit(gan, [(torch.rand(4, *shape),)])


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"MLPGenerator has latent_dim 12, but 10 classes and 2 .* give it 13 or more"):
        InfoGAN(*nets(latent_dim=12))
    with pytest.raises(ValueError, match="categorical must be at least 2"):
        InfoGAN(*nets(), categorical=1)
    with pytest.raises(ValueError, match="leave num_classes"):
        InfoGAN(MLPGenerator((2,), latent_dim=20, num_classes=3), MLPDiscriminator((2,), num_classes=3))

    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum(1)

    with pytest.raises(ValueError, match="Plain must show a feature 'hidden'"):
        InfoGAN(nets()[0], Plain())


def test_dynamics_between_two_players_are_refused_by_name() -> None:
    generator = MLPGenerator((2,), latent_dim=16, width=4)
    with pytest.raises(ValueError, match=r"Consensus is defined between one discriminator.*InfoGAN"):
        InfoGAN(generator, MLPDiscriminator((2,), width=4), dynamics=Consensus())


# EBGAN: the hinge is each fake's own, and codes pull away from each other.


SHAPE = (1, 8, 8)


def make(**kwargs) -> EBGAN:
    torch.manual_seed(0)
    return EBGAN(MLPGenerator(SHAPE, latent_dim=6, width=5), Autoencoder(SHAPE, width=2, code_dim=4), **kwargs)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_inside_the_margin_fakes_gain_energy_and_outside_they_are_left_alone() -> None:
    gan = make(margin=2.0)
    real = tensor(0.25, 0.75)
    inside = tensor(0.5, 1.5).requires_grad_()
    loss = gan.d_loss(real, inside)
    assert (loss + inside.mean()).item() == pytest.approx(0.5 + 2)
    assert torch.autograd.grad(loss, inside)[0].tolist() == [-0.5, -0.5]
    outside = tensor(2.5, 3.0).requires_grad_()
    loss = gan.d_loss(real, outside)
    assert loss.item() == 0.5
    assert torch.autograd.grad(loss, outside)[0].tolist() == [0, 0]


def test_the_hinge_is_inside_the_mean() -> None:
    """Energies 0 and 2m: m/2, where the hinge of the mean energy would be 0."""
    assert make(margin=0.5).d_loss(tensor(0.0), tensor(0.0, 1.0)).item() == 0.25


@pytest.mark.parametrize("energy", [0.0, 0.3, 0.8])
def test_at_the_equilibrium_the_loss_is_the_margin(energy: float) -> None:
    """Theorem 2: p_g = p_data and a constant energy of at most m."""
    assert make(margin=0.8).d_loss(tensor(energy), tensor(energy)).item() == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("codes", "value"),
    [
        ([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, -5.0]], 0.0),  # orthogonal
        ([[1.0, 2.0], [1.0, 2.0], [3.0, 6.0]], 1.0),  # one direction
        ([[1.0, 2.0], [-1.0, -2.0]], 1.0),  # antipodal
        ([[1.0, 0.0], [0.5, math.sqrt(0.75)]], 0.25),  # 60°
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 1 / 3),  # cos² of 0, ½ and ½
    ],
)
def test_pulling_away(codes: list[list[float]], value: float) -> None:
    assert pulling_away(torch.tensor(codes, dtype=torch.float64)).item() == pytest.approx(value, abs=1e-12)


def test_pulling_away_of_gaussian_codes_is_one_over_their_dimension() -> None:
    torch.manual_seed(0)
    assert pulling_away(torch.randn(2000, 16)).item() == pytest.approx(1 / 16, rel=0.02)
    with pytest.raises(ValueError, match="there is 1; deal at least 2"):
        pulling_away(torch.ones(1, 3))


def test_the_term_is_the_generators_only_and_nothing_at_weight_zero() -> None:
    data = [(torch.rand(4, *SHAPE) * 2 - 1,) for _ in range(2)]
    runs = {}
    for weight in (0.0, 0.1):
        gan = make(pt_weight=weight)
        gan.noise = Noise(1)
        fit(gan, data)
        runs[weight] = gan
    assert "loss/g/pulling_away" not in runs[0.0].latest
    latest = runs[0.1].latest
    code = pulling_away(runs[0.1].outputs["g"]["fake"].features["code"])
    assert latest["loss/g/pulling_away"].item() == pytest.approx(0.1 * code.item(), rel=1e-5)
    assert "loss/d/pulling_away" not in latest
    assert not same(snapshot(runs[0.0]), snapshot(runs[0.1]))


def test_weight_zero_never_asks_for_a_code() -> None:
    class Coreless(nn.Module):
        energy = True

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * x.square().flatten(1).mean(1)

    data = [(torch.rand(4, *SHAPE),)]
    generator = MLPGenerator(SHAPE, latent_dim=6, width=5)
    fit(EBGAN(generator, Coreless()), data)
    with pytest.raises(ValueError, match="needs a discriminator that shows its code"):
        fit(EBGAN(generator, Coreless(), pt_weight=0.1), data)


def test_what_cannot_go_with_energies_is_refused() -> None:
    with pytest.raises(ValueError, match=r"margin must be above 0 .* margin=0"):
        make(margin=0.0)
    with pytest.raises(ValueError, match="EBGAN: LabelSmoothing is for"):
        make(stabilizers=[LabelSmoothing()])
    with pytest.raises(ValueError, match=r"EBGAN: .* alone: false"):
        make(stabilizers=[FeatureMatching(feature="code")])
    with pytest.raises(ValueError, match="Autoencoder has no trunk"):
        make(stabilizers=[VirtualBatchNorm("discriminator")])
    remedy = FeatureMatching(feature="code")
    gan = BEGAN(MLPGenerator(SHAPE, width=4), Autoencoder(SHAPE, width=2), stabilizers=[remedy])
    fit(gan, [(torch.rand(4, *SHAPE),)])
    assert gan.latest["loss/g"] > 0
