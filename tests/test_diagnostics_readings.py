"""What is read of a game: each number against one worked out by hand."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tests.games import fit, networks, points, trainer
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.diagnostics.callback import Diagnostics
from zoo.diagnostics.reader import Reader, detour, gradients_by_layer, mode_teller, ranking, sketch, slope, uses
from zoo.dynamics import Alternating, Unrolled
from zoo.stabilizers import FeatureMatching, InstanceNoise
from zoo.types import Output
from zoo.variants.ebgan import EBGAN
from zoo.variants.lsgan import LSGAN
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.wgan import WGAN
from zoo.variants.wgan_gp import WGANGP


def test_accuracy_and_overlap_of_scores() -> None:
    real, fake = torch.tensor([3.0, 1.0]), torch.tensor([0.0, 1.0, 2.0, 5.0])
    # 3 beats 0, 1, 2; 1 beats 0 and draws with 1: 4.5 of 8
    # at 1: half of the reals and half of the fakes are at most that; at 3: all and three quarters; at 0: none and 1/4
    accuracy, overlap = ranking(real, fake)
    assert (accuracy, overlap) == (4.5 / 8, 0.75)
    assert ranking(100 * real**3, 100 * fake**3) == (accuracy, overlap)
    assert ranking(torch.ones(3), torch.ones(4)) == (0.5, 1.0)
    assert ranking(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("objective", "expected"),
    # of scores -20 and 2: σ(f); 1 - σ(f); |f - 1|; 1
    [(MinimaxGAN, (2.0611536e-9 + 0.8807971) / 2), (NSGAN, (1 + 0.1192029) / 2), (LSGAN, 11), (WGAN, 1)],
)
def test_the_slope_of_the_generators_loss(objective, expected: float) -> None:
    gan = objective(*networks())
    gan.outputs["g"] = {"fake": Output(torch.tensor([-20.0, 2.0]), {})}
    assert slope(gan, gan.turns()[1]) == pytest.approx(expected, rel=1e-6)


class Relativistic(NSGAN):
    """Its loss needs both scores (Jolicoeur-Martineau 2019)."""

    def g_loss(self, d_fake: Tensor) -> Tensor:
        raise NotImplementedError

    def g_terms(self, critic, batch, fake):
        return {"adversarial": nn.functional.softplus(critic(batch.real, "real").score - fake.score).mean()}


def test_a_variant_without_a_loss_of_fakes_alone_is_diagnosed_without_it() -> None:
    gan = Relativistic(*networks())
    trainer = fit(gan, points(2), callbacks=[Diagnostics(every_kimg=0.001)])
    assert trainer.global_step == 2
    assert math.isnan(slope(gan, gan.turns()[1]))
    assert "saturates" not in uses(gan)


def test_a_loss_that_is_replaced_has_no_slope() -> None:
    gan = NSGAN(*networks(), stabilizers=[FeatureMatching()])
    gan.outputs["g"] = {"fake": Output(torch.zeros(2), {})}
    assert math.isnan(slope(gan, gan.turns()[1]))


def test_the_gradient_by_layer() -> None:
    net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1, bias=False), nn.Linear(1, 1))
    for parameter, gradient in zip(net.parameters(), (3.0, 4.0, 12.0), strict=False):
        parameter.grad = torch.full_like(parameter, gradient)
    assert gradients_by_layer(net) == {"0": 5.0, "2": 12.0}


def test_the_sketch_keeps_angles() -> None:
    generator = torch.Generator().manual_seed(3)
    a, b = torch.randn(2, 50_000, generator=generator)
    for share in (0.0, 0.5, -1.0):
        c = share * a + (1 - share**2) ** 0.5 * b
        exact = torch.cosine_similarity(a, c, dim=0)
        kept = torch.cosine_similarity(sketch([a[:7], a[7:]]), sketch([c]), dim=0)
        assert kept == pytest.approx(exact.item(), abs=0.2)
    assert torch.equal(sketch([a]), sketch([a]))


def test_what_lies_off_a_straight_course() -> None:
    # 0, 0, 3: the line through 1 with slope 3/2 leaves 1/2, -1, 1/2; a second coordinate that runs evenly adds nothing
    course = torch.tensor([[0.0, 5.0], [0.0, 7.0], [3.0, 9.0]])
    assert float(detour(course)) == pytest.approx(math.sqrt(0.5))
    circle = torch.tensor([[math.cos(2 * math.pi * i / 8), math.sin(2 * math.pi * i / 8)] for i in range(8)])
    # once round: of the radius 1 the line takes away the part of the sine that runs with time
    slope_of_sine = sum((i - 3.5) * math.sin(2 * math.pi * i / 8) for i in range(8)) / 42
    slope_of_cosine = sum((i - 3.5) * math.cos(2 * math.pi * i / 8) for i in range(8)) / 42
    left = 1 - (slope_of_sine**2 + slope_of_cosine**2) * 42 / 8
    assert float(detour(circle)) == pytest.approx(math.sqrt(left), rel=1e-5)


class Told(nn.Module):
    """A generator whose samples are given."""

    latent_dim = 3

    def __init__(self, made: Tensor) -> None:
        super().__init__()
        self.made = nn.Parameter(made)

    def forward(self, z: Tensor) -> Tensor:
        return self.made[: len(z)]


class Ring:
    """Two modes."""

    centres, sigma = torch.tensor([[0.0, 0.0], [4.0, 0.0]]), 1.0


def read(reader: Reader, gan, data: Tensor, **scores: Tensor):
    gan.outputs = {turn.name: {k: Output(v, {}) for k, v in scores.items()} for turn in gan.turns()}
    gan.latest = {"loss/d": torch.tensor(0.5), "loss/g": torch.tensor(-2.0)}
    return reader(gan, data)


SCORES = {"real": torch.tensor([1.0, 2.0]), "fake": torch.tensor([-1.0, -6.0])}


def test_the_samples_are_compared_with_the_data() -> None:
    real = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    made = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    gan = WGAN(Told(made), MLPDiscriminator((2,), width=3))
    reader = Reader(4, 0, modes=mode_teller(Ring()))
    first = read(reader, gan, real, **SCORES)
    assert first.finite
    assert (first.loss_d, first.loss_g, first.slope) == (0.5, -2.0, 1.0)
    assert (first.accuracy, first.overlap, first.gap, first.scale) == (1, 0, 5, 5)  # the mean of all is -1
    assert first.diversity == pytest.approx(0.25)  # 4 of 6 pairs differ, by 1 where the data do by 4
    assert first.modes == pytest.approx(0.5)
    assert all(
        math.isnan(v)
        for v in (first.movement, first.direction_change, first.weight_turn, first.gradient, first.feature_diversity)
    )

    with torch.no_grad():
        gan.generator.made += torch.tensor([3.0, 4.0])
    second = read(reader, gan, real, **SCORES)
    # the mean moved by 5 and the spread not; the data's is 4 / sqrt(3)
    assert second.movement == pytest.approx(5 / (4 / 3**0.5))
    assert second.modes == pytest.approx(0.5)  # (3, 4) is nearer to the second mode
    assert math.isnan(second.direction_change)

    with torch.no_grad():
        gan.generator.made -= torch.tensor([3.0, 4.0])
    third = read(reader, gan, real, **SCORES)
    assert (third.direction_change, third.weight_turn) == (pytest.approx(-1), pytest.approx(-1))


class Apart(Ring):
    """Held-out points, as a data module gives them."""

    def pick(self, split: str, n: int) -> Tensor:
        points = {"val": [[6.0, 1.0], [4.0, 1.0]], "train": [[0.0, 0.0], [0.1, 0.0], [4.0, 0.0], [4.0, 5.0]]}
        return torch.tensor(points[split])[:n]

    def labels(self, split: str, n: int) -> None:
        return None


class First(nn.Module):
    """Scores a point by its first coordinate; in training mode, it would be one more."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x[:, 0] + self.training


def test_how_held_out_images_are_scored() -> None:
    """Training images at 9 and 11, held-out ones at 5, fakes at 2: 5 of 8."""
    real = torch.tensor([[9.0, 0.0], [11.0, 0.0], [9.0, 0.0], [11.0, 0.0]])
    gan = WGAN(Told(torch.tensor([[2.0, 0.0]] * 4)), First())
    reader = Reader(4, 0)
    assert math.isnan(read(reader, gan, real, **SCORES).overfitting)
    reader.know(Apart())
    now = read(reader, gan, real, **SCORES)
    assert (now.held_out_gap, now.overfitting, now.sign) == (5.0, 0.625, 1.0)
    assert gan.discriminator.training
    assert read(reader, gan, real, real=torch.tensor([3.0, -1.0, 0.0, -2.0]), fake=real[:, 0]).sign == -0.25
    gan = NSGAN(Told(torch.tensor([[10.0, 0.0]] * 4)), First())  # fakes as good as training images
    assert math.isnan(read(reader, gan, real, **SCORES).overfitting)


@pytest.mark.parametrize(("third", "dropped"), [(0, 1 / 3), (1, 0), (30, 0)])
def test_the_modes_that_are_dropped(third: int, dropped: float) -> None:
    """Of the data, modes have 1/2, 1/4, 1/4; of 64 samples that is 32, 16, 16. A twentieth of 16 is 0.8."""
    data = Apart()
    data.centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 5.0]])
    gan = WGAN(Told(torch.zeros(8, 2)), MLPDiscriminator((2,), width=3))
    reader = Reader(8, 0)
    reader.know(data)
    seen = []
    for i in range(8):
        here = third // 8 + (i < third % 8)  # of the third mode, in this reading
        modes = torch.tensor([2] * here + [0] * (7 - here) + [1])
        gan.generator.made.data = data.centres[modes]
        seen.append(read(reader, gan, torch.rand(8, 2), **SCORES).dropped)
    assert all(map(math.isnan, seen[:-1]))
    assert seen[-1] == pytest.approx(dropped)
    again = Reader(8, 0)
    again.know(data)
    again.load_state_dict(reader.state_dict())
    resumed, straight = (read(each, gan, torch.rand(8, 2), **SCORES).dropped for each in (again, reader))
    assert resumed == straight


@pytest.mark.parametrize("where", ["loss", "score", "sample", "gradient", "weight"])
def test_what_is_not_finite_is_seen(where: str) -> None:
    gan = WGAN(Told(torch.rand(4, 2)), MLPDiscriminator((2,), width=3))
    reader, real, scores = Reader(4, 0), torch.rand(4, 2), dict(SCORES)
    assert read(reader, gan, real, **scores).finite
    with torch.no_grad():
        if where == "score":
            scores["real"] = torch.tensor([math.inf, 0.0])
        elif where == "sample":
            gan.generator.made[0, 0] = math.nan
        elif where == "weight":
            gan.discriminator.head.weight[0, 0] = math.inf
        elif where == "gradient":
            gan.generator.made.grad = torch.full((4, 2), math.nan)
    gan.outputs = {turn.name: {k: Output(v, {}) for k, v in scores.items()} for turn in gan.turns()}
    if where == "loss":
        gan.latest["loss/g"] = torch.tensor(math.nan)
    assert not reader(gan, real).finite


def test_energies_are_low_for_real_images() -> None:
    from zoo.backbones import Autoencoder

    gan = EBGAN(MLPGenerator((1, 8, 8), latent_dim=3, width=4), Autoencoder((1, 8, 8), width=2, code_dim=2))
    scores = {"real": torch.tensor([1.0, 2.0]), "fake": torch.tensor([5.0, 6.0])}
    told = read(Reader(4, 0), gan, torch.rand(4, 1, 8, 8), **scores)
    assert (told.accuracy, told.overlap, told.gap) == (1, 0, 4)


def test_nothing_is_read_before_both_sides_moved() -> None:
    gan = WGAN(*networks(), dynamics=Alternating(d_steps=3))
    reader = Reader(8, 0)
    assert reader(gan, torch.zeros(8, 2)) is None
    fit(gan, points(2))
    assert reader(gan, points()[0][0]) is None
    fit(gan, points(1))
    assert reader(gan, points()[0][0]) is not None


def test_what_a_game_is_made_of() -> None:
    plain = uses(NSGAN(*networks()))
    assert {"NSGAN", "GAN", "Alternating"} <= plain
    assert not {"ema", "clip_norm", "schedule", "saturates"} & plain
    rich = uses(
        MinimaxGAN(
            *networks(),
            stabilizers=[InstanceNoise(1.0)],
            dynamics=Unrolled(1),
            ema_decay=0.5,
            clip_norm=1.0,
            g_scheduler=lambda kimg: 1.0,
        )
    )
    assert {"MinimaxGAN", "InstanceNoise", "Unrolled", "ema", "clip_norm", "schedule", "saturates"} <= rich
    assert "WGANGP" in uses(WGANGP(*networks()))


def test_the_gradient_is_read_after_a_validation_too() -> None:
    """Lightning clears gradients before it validates; with d_steps = 2 the next step of G comes after the reading."""
    gan = NSGAN(*networks(), dynamics=Alternating(d_steps=2))
    read = Diagnostics(every_kimg=0.001)
    made = trainer(max_steps=7, callbacks=[read], val_check_interval=2)
    made.fit(gan, DataLoader(points(8), batch_size=None), DataLoader(points(1), batch_size=None))
    assert [math.isfinite(r.gradient) for r in read.history.readings] == [True] * len(read.history.readings)
    assert len(read.history.readings) >= 4
