"""InfoGAN: what a code says, what Q makes of it, who moves."""

import math

import pytest
import torch
from torch import Tensor, nn

from tests.games import fit, points, same, snapshot
from zoo.backbones import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from zoo.dynamics import Consensus
from zoo.gan import GAN
from zoo.noise import Noise
from zoo.optim import Adam
from zoo.stabilizers import LabelSmoothing, MinibatchDiscrimination, SpectralNorm, VirtualBatchNorm
from zoo.types import Output
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
