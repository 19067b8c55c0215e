"""ADA against transformations and numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.games import fit, make, networks, points
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.noise import Noise
from zoo.schedules import Linear
from zoo.stabilizers import R1, AdaptiveAugment, GradientPenalty
from zoo.stabilizers.adaptive import geometry
from zoo.types import Batch, Output, Role, Turn
from zoo.variants import variants
from zoo.variants.hinge_gan import HingeGAN
from zoo.variants.lsgan import LSGAN
from zoo.variants.mdgan import MDGAN
from zoo.variants.nsgan import NSGAN

SHAPES = [(1, 8, 8), (3, 8, 8), (3, 6, 10), (4, 5, 8), (2, 1, 5)]


class Given(Noise):
    """Draws what it is given, the same for every image: by kind and number of columns, {column: value}."""

    def __init__(self, given: dict[tuple[str, int], dict[int, float]]) -> None:
        super().__init__(0)
        self.given = given

    def drawn(self, kind: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        values = torch.zeros(shape, dtype=dtype)
        for column, value in self.given.get((kind, shape[1]), {}).items():
            values[:, column] = value
        return values

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.drawn("uniform", shape, dtype)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.drawn("normal", shape, dtype)


def change(x: Tensor, group: str, only: int, given: dict | None = None, *, p: float = 0.5) -> Tensor:
    """One change of a group; the draws that gate the others are above p."""
    gates = {"color": 5}.get(group, 8)
    closed = {("uniform", gates): {i: 0.9 for i in range(gates) if i != only}}
    return AdaptiveAugment([group], p=p).perturb(x, role="fake", kimg=0.0, noise=Given(closed | (given or {})))


def random(x: Tensor, p: float, *groups: str, seed: int = 0) -> Tensor:
    augment = AdaptiveAugment(groups or ("blit", "geometric", "color"), p=p)
    return augment.perturb(x, role="fake", kimg=0.0, noise=Noise(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_at_0_every_image_is_as_it_was_and_at_1_none_is(shape) -> None:
    x = torch.randn(9, *shape)
    assert torch.equal(random(x, 0.0), x)
    seen = random(x, 1.0)
    assert seen.shape == x.shape
    assert not any(torch.equal(a, b) for a, b in zip(seen, x, strict=True))


def test_blit() -> None:
    """Mirrored, turned, shifted: pixels move and keep their values."""
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(change(x, "blit", 0, {("uniform", 6): {0: 0.5}}), x.flip(3))
    assert torch.equal(change(x, "blit", 0, {("uniform", 6): {0: 0.49}}), x)
    for quarters in range(4):
        seen = change(x, "blit", 1, {("uniform", 6): {1: quarters / 4}})
        assert any(torch.equal(seen, x.rot90(turn, (2, 3))) for turn in (quarters, -quarters))
    wide = torch.randn(2, 3, 8, 32)  # a shift of up to 1 row and 4 columns
    seen = change(wide, "blit", 2, {("uniform", 6): {2: 0.99, 3: 0.3}})
    assert torch.equal(seen[:, :, 1:, :-2], wide[:, :, :-1, 2:])  # down by round(0.98), left by round(-1.6)
    assert torch.equal(seen[:, :, 0], torch.cat([wide[:, :, 1, 2:], wide[:, :, 1, -3:-1].flip(2)], 2))  # mirrored


@pytest.mark.parametrize(
    ("only", "given", "matrix", "shift"),
    [
        (3, {("normal", 4): {0: 5.0}}, [[0.5, 0], [0, 0.5]], (0, 0)),  # 2^(0.2 · 5) times as large
        (4, {("normal", 4): {1: -5.0}}, [[0.5, 0], [0, 2]], (0, 0)),  # twice as high, half as wide
        (5, {("normal", 4): {2: 2.0, 3: -0.5}}, [[1, 0], [0, 1]], (-2.0, 1.0)),  # 0.125 · (2 · 8, -0.5 · 16)
        (6, {("uniform", 6): {4: 2 / 3, 5: 0.5}}, [[0.5, -math.sqrt(0.75)], [math.sqrt(0.75), 0.5]], (0, 0)),  # by π/3
    ],
)
def test_geometry(only, given, matrix, shift) -> None:
    """A ramp keeps its slopes under bilinear interpolation, so its value at each pixel says where that came from."""
    rows, columns = np.mgrid[:8, :16]
    x = torch.tensor(np.stack([rows, columns, rows + 2 * columns]))[None].double()
    (seen,) = change(x, "geometric", only, given).numpy()
    q = np.stack([rows - 3.5, columns - 7.5])
    source = np.einsum("ik,khw->ihw", np.array(matrix), q) + np.array(shift)[:, None, None]
    row, column = source + np.array([3.5, 7.5])[:, None, None]
    inside = (row >= 0) & (row <= 7) & (column >= 0) & (column <= 15)
    assert 20 < inside.sum() <= 128
    for channel, expected in zip(seen, (row, column, row + 2 * column), strict=True):
        np.testing.assert_allclose(channel[inside], expected[inside], atol=1e-5)
    assert seen[:2].min() >= 0
    assert seen[0].max() <= 7
    assert seen[1].max() <= 15


PIXEL = [0.6, 0.0, -0.3]  # its mean is 0.1


@pytest.mark.parametrize(
    ("only", "given", "expected"),
    [
        (0, {("normal", 3): {0: 2.0}}, [1.0, 0.4, 0.1]),  # + 0.2 · 2
        (1, {("normal", 3): {1: -2.0}}, [0.3, 0.0, -0.15]),  # · 2^(0.5 · -2)
        (2, {("uniform", 2): {0: 0.5}}, [0.4, -0.2, -0.5]),  # the mean is -0.1
        (2, {("uniform", 2): {0: 0.4}}, PIXEL),
        (3, {("uniform", 2): {1: 5 / 6}}, [-0.3, 0.6, 0.0]),  # by 2π/3: the channels change places
        (4, {("normal", 3): {2: 1.0}}, [1.1, -0.1, -0.7]),  # twice as far from the mean
    ],
)
def test_colors(only, given, expected) -> None:
    x = torch.tensor(PIXEL).view(1, 3, 1, 1).expand(2, 3, 4, 2)
    seen = change(x, "color", only, given)
    assert seen.shape == x.shape
    torch.testing.assert_close(seen, torch.tensor(expected).view(1, 3, 1, 1).expand_as(x))
    grey = change(x[:, :1], "color", only, given)[0, 0, 0, 0].item()
    assert grey == pytest.approx({0: 1.0, 1: 0.3, 2: -0.6 if expected != PIXEL else 0.6}.get(only, 0.6))


def test_hue_keeps_the_mean_and_the_distance_from_it() -> None:
    x = torch.randn(50, 3, 2, 2)
    for turn in (0.1, 0.4, 0.9):
        seen = change(x, "color", 3, {("uniform", 2): {1: turn}})
        torch.testing.assert_close(seen.mean(1), x.mean(1))
        torch.testing.assert_close(seen.std(1), x.std(1))
        assert not torch.allclose(seen, x, atol=0.1)


def test_how_often() -> None:
    """Each change of the image with probability p; the two turns together, too."""
    p, n = 0.3, 20_000
    m, t = geometry(("geometric",), n, (64, 64), torch.tensor(p), Noise(0))
    still = ((m == torch.eye(2)).all((1, 2)) & (t == 0).all(1)).float().mean().item()
    assert still == pytest.approx((1 - p) ** 4, abs=0.012)  # scale, stretch, shift and turns: four times its error
    m, t = geometry(("blit",), n, (64, 64), torch.tensor(p), Noise(0))
    assert (t != 0).any(1).float().mean().item() == pytest.approx(p, abs=0.012)
    assert (torch.linalg.det(m) < 0).float().mean().item() == pytest.approx(p / 2, abs=0.01)
    assert m[:, 0, 0].eq(0).float().mean().item() == pytest.approx(p / 2, abs=0.01)  # two of four quarters
    assert t.abs().max() == 8
    seen = random(torch.full((n, 3, 1, 1), 0.5), p, "color")
    assert seen.eq(0.5).all(1).float().mean().item() == pytest.approx((1 - p) ** 2 * (1 - p / 2), abs=0.012)


def test_derivatives() -> None:
    """First and second ones by finite differences: a gradient penalty needs both."""
    x = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: random(x, 0.8), x)
    assert torch.autograd.gradgradcheck(lambda x: random(x, 0.8).sin(), x)


class Scores:
    """What `after_turn` reads of a game whose D said this."""

    def __init__(self, real: Tensor, steps: int) -> None:
        self.outputs, self.steps = {"d": {"real": Output(real, {})}}, steps
        self.latest: dict[str, Tensor] = {}


def test_p_follows_the_share_that_d_knows() -> None:
    """4 batches of 50 are 0.2 kimg, of 0.5 that lead from 0 to 1: steps of 0.4."""
    augment = AdaptiveAugment(speed_kimg=0.5)
    seen, steps = [], 0
    for right in (50, 50, 40, 30, 20):  # r = 1, 1, 0.6, 0.2, -0.2
        for batch in range(4):
            score = torch.where(torch.arange(50) < right, 3.0, -0.1)
            augment.after_turn(Turn("g", ("g",), None, side="g"), None)
            augment.after_turn(Turn("d", ("d",), None, side="d"), game := Scores(score, steps))
            steps += 1
            if batch < 3:  # it waits for the fourth
                assert float(game.latest["augment/p"]) == (seen[-1] if seen else 0.0)
        seen.append(float(augment.p))
        assert float(augment.r) == pytest.approx(right / 25 - 1)
    assert seen == pytest.approx([0.4, 0.8, 0.8, 0.4, 0.0], abs=1e-6)
    augment.after_turn(Turn("d", ("d",), None, side="d"), Scores(torch.full((50,), math.nan), steps))
    assert augment.p.isfinite()
    assert augment.signs.isfinite()


def test_p_stays_in_0_1() -> None:
    augment = AdaptiveAugment(speed_kimg=0.05, interval=1)
    turn = Turn("d", ("d",), None, side="d")
    for value, p in ((-1.0, 0.0), (1.0, 1.0), (1.0, 1.0)):
        augment.after_turn(turn, Scores(torch.full((100,), value), 0))
        assert augment.p == p


def game(augment: AdaptiveAugment, *more, **kwargs) -> NSGAN:
    torch.manual_seed(0)
    shape = (3, 8, 16)
    stabilizers = [augment, *more]
    return NSGAN(MLPGenerator(shape, latent_dim=4, width=5), MLPDiscriminator(shape, width=5), stabilizers=stabilizers)


def test_in_a_game(tmp_path) -> None:
    """Every image that D sees is changed, G learns through it, and a checkpoint has p, beside a gradient penalty."""
    augment = AdaptiveAugment(speed_kimg=0.1, interval=2)
    gan = game(augment, GradientPenalty(0.1, where="real", target="zero"))
    plain = [p.clone() for p in gan.generator.parameters()]
    seen = []
    gan.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    data = [(torch.full((8, 3, 8, 16), 0.5),) for _ in range(7)]
    trainer = fit(gan, data, log_every_n_steps=1, enable_checkpointing=True, default_root_dir=tmp_path)
    assert 0 < augment.p < 1
    assert float(augment.p) == pytest.approx(round(float(augment.p) / 0.16) * 0.16, abs=1e-6)  # 16 of 100 images
    assert (seen[0] == 0.5).all()
    assert not (seen[-4] == 0.5).all()  # the real images of the last batch
    assert any(not torch.equal(p, before) for p, before in zip(gan.generator.parameters(), plain, strict=True))
    state = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)["state_dict"]
    assert state["stabilizers.0.p"] == augment.p
    assert state["stabilizers.0.images"] == 8
    assert gan.latest["augment/p"] == augment.p
    assert -1 <= gan.latest["augment/r"] <= 1


def test_p_may_follow_a_schedule() -> None:
    gan = game(AdaptiveAugment(p=0.5, scheduler=Linear(end_kimg=0.032, end_factor=0.2)))
    fit(gan, [(torch.zeros(8, 3, 8, 16),)] * 3)  # the third batch begins at 0.016 kimg
    assert float(gan.stabilizers[0].p) == pytest.approx(0.3)
    assert gan.latest["augment/p"] == gan.stabilizers[0].p


@pytest.mark.parametrize("name", variants())
def test_which_objectives_steer_it(name: str) -> None:
    """Those with a border at a score of 0."""
    gan = make(variants()[name])
    augment = AdaptiveAugment()
    shift_invariant, elsewhere = {"WGAN", "WGANGP", "RelativisticGAN"}, {"EBGAN", "BEGAN", "LSGAN"}
    if name in shift_invariant | elsewhere:
        with pytest.raises(ValueError, match=f"{name}: AdaptiveAugment steers p by the sign of D's scores"):
            augment.begin(gan)
    else:
        augment.begin(gan)


def test_refusals() -> None:
    for wrong, message in (
        ({"groups": "blit"}, r"groups must be a list of blit, geometric, color, got 'blit'"),
        ({"groups": ["blit", "noise"]}, "groups must be a list of"),
        ({"p": 1.5}, r"p must be in \[0, 1\], got 1.5"),
        ({"scheduler": Linear(1.0)}, "scheduler is a factor on p; give p, too"),
        ({"target": 1.0}, r"target must be in \(0, 1\), .* got target=1.0"),
        ({"speed_kimg": 0.0}, "speed_kimg above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            AdaptiveAugment(**wrong)
    with pytest.raises(ValueError, match=r"AdaptiveAugment changes images \(C, H, W\), but the data are \(2,\)"):
        NSGAN(*networks(), stabilizers=[AdaptiveAugment()])
    two = make(MDGAN)
    two.discriminator.image_shape = (1, 8, 8)
    with pytest.raises(ValueError, match="MDGAN: AdaptiveAugment steers p by one discriminator; set p"):
        AdaptiveAugment().prepare(two)
    centred = LSGAN(*networks(), a=-1.0, b=1.0, c=0.0)
    AdaptiveAugment().begin(centred)
    AdaptiveAugment().begin(HingeGAN(*networks()))


@pytest.mark.parametrize(("gamma", "expected"), [(None, 0.0002 * 8 * 16 / 4), (0.5, 0.5)])
def test_the_heuristic_gamma_of_r1(gamma: float | None, expected: float) -> None:
    """0.0002 times an image's pixels over a batch's images; the gradient of 3 Σ x has the square 9 · 3 · 8 · 16."""
    real = torch.randn(4, 3, 8, 16)

    def critic(x: Tensor, role: Role) -> Output:
        return Output(3 * x.flatten(1).sum(1), {})

    batch = Batch(real, None, real[:, :0], real, Noise(0))
    terms = R1(gamma).d_terms(critic, batch, critic(real, "real"), critic(real, "fake"))
    assert terms["gradient_penalty"].item() == pytest.approx(expected / 2 * 9 * 3 * 8 * 16)
    with pytest.raises(ValueError, match="R1: the heuristic for gamma is of images, and the data are points"):
        fit(NSGAN(*networks(), stabilizers=[R1()]), points(1))
