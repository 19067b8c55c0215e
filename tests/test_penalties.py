"""Where × target, and the stabilizers built on them."""

import pytest
import torch
from torch import Tensor, nn

from tests.games import fit, make, networks, points, score
from zoo.backbones import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from zoo.gan import GAN
from zoo.noise import Noise
from zoo.penalties import gradient_norm, norm_penalty, penalty_points
from zoo.stabilizers import (
    DiffAugment,
    Dropout,
    GradientPenalty,
    HistoricalAveraging,
    InstanceNoise,
    LabelSmoothing,
    LeCam,
    MinibatchDiscrimination,
    Packed,
    SpectralNorm,
    VirtualBatchNorm,
)
from zoo.stabilizers.penalty import finite_difference
from zoo.types import Output, Terms, Turn
from zoo.variants import variants
from zoo.variants.ali import ALI
from zoo.variants.ebgan import EBGAN
from zoo.variants.infogan import InfoGAN
from zoo.variants.mdgan import MDGAN
from zoo.variants.nsgan import NSGAN

DOUBLE = torch.float64


def test_gradient_norm_is_per_sample() -> None:
    x = torch.tensor([[3.0, 0.0], [0.0, 0.0], [1.0, 2.0]], dtype=DOUBLE)
    # f = x₀² + x₁²/2 has gradient (2x₀, x₁): norms 6, 0, √(4 + 4)
    norm = gradient_norm(lambda v: v[:, 0] ** 2 + v[:, 1] ** 2 / 2, x)
    assert norm.tolist() == pytest.approx([6, 0, 8**0.5])


def test_a_flat_critic_gives_no_nan() -> None:
    w = torch.zeros(2, requires_grad=True)
    for target in ("two_sided", "one_sided", "squared_hinge", "zero"):
        norm = gradient_norm(lambda v: v @ w, torch.randn(4, 2))
        (gradient,) = torch.autograd.grad(norm_penalty(target, norm).mean(), w)
        assert gradient.isfinite().all()


def test_gradient_norm_is_differentiable_in_the_weights() -> None:
    """Against central differences in float64."""
    x = torch.randn(3, 2, dtype=DOUBLE)

    def penalty(w: Tensor) -> Tensor:
        return norm_penalty("two_sided", gradient_norm(lambda v: torch.tanh(v @ w).sum(1), x)).mean()

    assert torch.autograd.gradcheck(penalty, (torch.randn(2, 4, dtype=DOUBLE, requires_grad=True),))


@pytest.mark.parametrize(
    ("target", "values"),
    [
        ("two_sided", [0.25, 0, 4]),  # (n - 1)²
        ("one_sided", [0, 0, 4]),
        ("squared_hinge", [0, 0, 8]),  # n² - 1
        ("zero", [0.25, 1, 9]),
    ],
)
def test_targets(target: str, values: list[float]) -> None:
    norm = torch.tensor([0.5, 1, 3])
    assert norm_penalty(target, norm).tolist() == pytest.approx(values)


def test_points() -> None:
    real, fake = torch.full((400, 3), 2.0), torch.zeros(400, 3)
    point = penalty_points("interpolates", real, fake, Noise(0))
    assert torch.equal(point, point[:, :1].expand(-1, 3))  # one α a sample
    assert point.mean().item() == pytest.approx(1, abs=0.1)
    assert (point.min() >= 0) & (point.max() <= 2)
    assert penalty_points("real", real, fake, Noise(0)) is real
    assert penalty_points("fake", real, fake, Noise(0)) is fake
    spread = torch.tensor([[-1.0], [1.0]]).repeat(200, 3)  # std 1
    shift = penalty_points("near_real", spread, fake, Noise(0)) - spread
    assert (shift.min() >= 0) & (shift.max() < 0.5)
    assert shift.mean().item() == pytest.approx(0.5 / 4, abs=0.02)  # E α · E u / 2
    gauss = penalty_points("near_real_gaussian", spread, fake, Noise(0), scale=2.0) - spread
    assert gauss.std().item() == pytest.approx(2, abs=0.1)


def test_unknown_names_are_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="'reel'; choose from interpolates, real"):
        penalty_points("reel", torch.zeros(1, 1), torch.zeros(1, 1), Noise(0))
    with pytest.raises(ValueError, match="'three'; choose from two_sided"):
        norm_penalty("three", torch.zeros(1))


def test_r1_on_a_quadratic_critic() -> None:
    """γ/2 E‖∇D(x)‖² at real points: D = ‖x‖², so γ/2 · 4 E‖x‖²."""

    class Square(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return self.a * x.square().sum(1)

    for where, of in (("real", "real"), ("fake", "fake")):
        penalty = GradientPenalty(weight=0.05, where=where, target="zero")
        gan = NSGAN(networks()[0], Square(), stabilizers=[penalty])
        batch = gan.deal(points(1)[0], graph=False)
        critic = gan.bind(batch)
        value = penalty.d_terms(critic, batch, None, None)["gradient_penalty"]
        expected = 0.05 * 4 * getattr(batch, of).square().sum(1).mean()
        torch.testing.assert_close(value, expected)


def bent(x: Tensor) -> Tensor:
    return torch.tanh(x[:, 0] + 2 * x[:, 1]) + x[:, 1] ** 3


def test_a_finite_difference_becomes_the_squared_slope_as_its_step_vanishes() -> None:
    """With ε given it tends to (ε·∇D)², by D's second derivative in proportion to s; over many ε to ‖∇D‖²."""
    x = torch.tensor([[0.3, -0.2], [-1.0, 0.5]], dtype=DOUBLE)
    epsilon = Noise(0).normal(2, 2, dtype=DOUBLE)
    slope = 1 - torch.tanh(x[:, 0] + 2 * x[:, 1]).square()
    gradient = torch.stack([slope, 2 * slope + 3 * x[:, 1] ** 2], dim=1)
    limit = (epsilon * gradient).sum(1).square()
    steps = (1e-3, 1e-4, 1e-5)
    errors = [(finite_difference(bent, x, s, Noise(0)) - limit).abs().max().item() for s in steps]
    assert errors[0] > 1e-4
    assert errors[1] / errors[0] == pytest.approx(0.1, rel=0.1)
    assert errors[2] / errors[1] == pytest.approx(0.1, rel=0.1)
    many = finite_difference(bent, x.repeat_interleave(100_000, 0), 1e-4, Noise(1)).view(2, -1)
    exact = gradient_norm(bent, x).square()
    torch.testing.assert_close(exact, gradient.square().sum(1))
    # (ε·∇D)² has a variance of 2‖∇D‖⁴
    assert ((many.mean(1) / exact - 1).abs() < 5 * (2 / 100_000) ** 0.5).all()


def test_a_finite_difference_of_a_linear_critic_is_exact_under_noise_that_both_passes_share() -> None:
    own = [
        InstanceNoise(until_kimg=1, sigma=5.0),
        GradientPenalty(0.3, where="real", target="zero", estimate="finite_difference", step=0.1),
    ]
    torch.manual_seed(0)
    g, d = MLPGenerator((2,), latent_dim=3, width=4), MLPDiscriminator((2,), depth=0)
    gan = NSGAN(g, d, stabilizers=own).double()
    batch = gan.deal(points(1, dtype=DOUBLE)[0], graph=False)
    gan.noise.begin(7)
    value = own[1].d_terms(gan.bind(batch), batch, None, None)["gradient_penalty"]
    gan.noise.begin(7)
    epsilon = gan.noise.normal(8, 2, dtype=DOUBLE)
    expected = 0.3 * (epsilon @ d.head.weight.detach()[0]).square().mean()
    torch.testing.assert_close(value.detach(), expected)
    assert torch.autograd.grad(value, d.head.weight)[0].abs().sum() > 0


def test_a_finite_difference_needs_no_second_derivative_and_is_refused_elsewhere() -> None:
    penalty = GradientPenalty(where="real", target="zero", estimate="finite_difference")
    NSGAN(*networks(), stabilizers=[penalty], compile=True)
    with pytest.raises(ValueError, match="compile cannot be used with GradientPenalty"):
        NSGAN(*networks(), stabilizers=[GradientPenalty(where="real", target="zero")], compile=True)
    with pytest.raises(ValueError, match="target zero; got target two_sided"):
        GradientPenalty(estimate="finite_difference")
    with pytest.raises(ValueError, match="unknown estimate 'forward'; choose from exact, finite_difference"):
        GradientPenalty(estimate="forward")
    with pytest.raises(ValueError, match="step must be above 0"):
        GradientPenalty(target="zero", estimate="finite_difference", step=0.0)
    with pytest.raises(ValueError, match="batch norm"):
        NSGAN(*networks(d_norm="batch"), stabilizers=[penalty])
    with pytest.raises(ValueError, match="a gradient penalty is per sample"):
        NSGAN(*networks(), stabilizers=[penalty, MinibatchDiscrimination(3, 2)])


def test_a_penalty_is_taken_at_the_clean_point() -> None:
    """With noise on what D sees, ∂D(x + ε)/∂x of a linear D is still w."""
    noise = InstanceNoise(until_kimg=1, sigma=5.0)
    gan = NSGAN(*networks(), stabilizers=[noise, GradientPenalty(where="real", target="zero")])
    batch = gan.deal(points(1)[0], graph=False)
    seen = []
    gan.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    critic = gan.bind(batch)
    gan.stabilizers[1].d_terms(critic, batch, None, None)
    assert not torch.equal(seen[0], batch.real)
    assert (seen[0] - batch.real).std().item() == pytest.approx(5, rel=0.5)


def test_instance_noise_is_annealed() -> None:
    noise = InstanceNoise(until_kimg=10, sigma=0.4)
    assert [noise.sigma_at(k) for k in (0, 5, 10, 20)] == pytest.approx([0.4, 0.2, 0, 0])
    x = torch.zeros(2000, 2)
    seen = noise.perturb(x, role="real", kimg=5, noise=Noise(0))
    assert seen.std().item() == pytest.approx(0.2, abs=0.01)
    assert noise.perturb(x, role="real", kimg=10, noise=Noise(0)) is x


def test_real_and_fake_get_noise_of_their_own_in_both_turns() -> None:
    gan = NSGAN(*networks(), stabilizers=[InstanceNoise(until_kimg=1, sigma=1.0)])
    gan.generator.forward = lambda z: torch.zeros(len(z), 2, requires_grad=True) + 0
    seen = []
    gan.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    fit(gan, [(torch.zeros(8, 2),)])
    rows = torch.cat(seen)
    assert len(rows) == 3 * 8  # real and fake in D's turn, fake in G's
    assert len({tuple(x) for x in rows.tolist()}) == 3 * 8


def test_spectral_norm_holds_every_layer_at_one() -> None:
    gan = NSGAN(*networks(), stabilizers=[SpectralNorm()])
    fit(gan, points(30))
    gan.eval()
    layers = [m for m in gan.discriminator.modules() if isinstance(m, torch.nn.Linear)]
    assert len(layers) == 3
    for layer in layers:
        largest = torch.linalg.svdvals(layer.weight)[0].item()
        assert largest == pytest.approx(1, abs=0.01)
    generator = [m for m in gan.generator.modules() if isinstance(m, torch.nn.Linear)]
    assert all(abs(torch.linalg.svdvals(m.weight)[0].item() - 1) > 0.01 for m in generator)


def test_spectral_norm_ignores_the_scale_of_the_weights() -> None:
    gan = NSGAN(*networks(), stabilizers=[SpectralNorm()]).eval()
    x = torch.randn(4, 2)
    before = score(gan, x).score
    with torch.no_grad():
        for name, parameter in gan.discriminator.named_parameters():
            if "original" in name:
                parameter.mul_(7.0)
    torch.testing.assert_close(score(gan, x).score, before)


# DiffAugment against numbers worked out by hand.


class Given(Noise):
    """Draws what it is given, the same for every image."""

    def __init__(self, *values: float) -> None:
        super().__init__(0)
        self.values = torch.tensor(values)

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.values.expand(shape[0], -1).reshape(shape)


def change(x: Tensor, noise: Noise, *policy: str) -> Tensor:
    return DiffAugment(policy).perturb(x, role="fake", kimg=0.0, noise=noise)


def test_colors() -> None:
    """Brightness + 0.25, saturation times 0.5, contrast times 1.25."""
    x = torch.tensor([[0.0, -0.5], [0.3, -0.5], [0.6, -0.5]]).view(1, 3, 1, 2)
    # 0.25 0.55 0.85 and -0.25; around the greys 0.55 and -0.25 halved: 0.4 0.55 0.7 and -0.25; mean of all 0.15
    seen = change(x, Given(0.75, 0.25, 0.75), "color")
    assert seen.shape == x.shape
    assert seen.flatten().tolist() == pytest.approx([0.4625, -0.35, 0.65, -0.35, 0.8375, -0.35])


def test_saturation_leaves_grey_images() -> None:
    x = torch.randn(2, 1, 4, 4)
    torch.testing.assert_close(change(x, Given(0.5, 0.9, 0.5), "color"), x)


@pytest.mark.parametrize(
    ("drawn", "place"),
    [((0.0, 0.99), (4, 3)), ((0.5, 0.5), (3, 5)), ((0.99, 0.0), (2, 7)), ((0.5, 0.7), (3, 4))],
)
def test_a_pixel_moves_by_up_to_an_eighth(drawn: tuple[float, float], place: tuple[int, int]) -> None:
    """8 by 16 pixels: one of -1, 0, 1 rows, and one of -2 to 2 columns; 0 comes in where the image is left."""
    x = torch.full((1, 2, 8, 16), -1.0)
    x[:, :, 3, 5] = 7
    (seen,) = change(x, Given(*drawn), "translation")
    for channel in seen:
        assert (channel == 7).nonzero().tolist() == [list(place)]
        rows, columns = abs(place[0] - 3), abs(place[1] - 5)
        assert (channel == 0).sum() == 8 * 16 - (8 - rows) * (16 - columns)


@pytest.mark.parametrize(
    ("drawn", "rows", "columns"),
    [((0.5, 0.5), (1, 2), (2, 3, 4)), ((0.0, 0.0), (0,), (0, 1)), ((0.99, 0.99), (3,), (4, 5))],
)
def test_half_the_height_and_width_is_cut_out(drawn, rows, columns) -> None:
    """4 by 6 pixels: 2 rows and 3 columns, less of them at the edges; no gradient comes from there."""
    x = torch.ones(2, 3, 4, 6, requires_grad=True)
    seen = change(x, Given(*drawn), "cutout")
    expected = torch.ones(4, 6)
    for row in rows:
        for column in columns:
            expected[row, column] = 0
    assert torch.equal(seen, expected.expand(2, 3, 4, 6))
    (gradient,) = torch.autograd.grad(seen.sum(), x)
    assert torch.equal(gradient, expected.expand(2, 3, 4, 6))


def test_every_shift_is_as_likely() -> None:
    x = torch.zeros(5000, 1, 8, 16)
    x[:, :, 4, 8] = 1
    seen = change(x, Noise(0), "translation").mean((0, 1))
    assert seen[3:6, 6:11].flatten().tolist() == pytest.approx([1 / 15] * 15, abs=0.015)
    assert seen.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 4), (3, 4, 12), (2, 1, 5)])
def test_each_image_changes_by_itself_and_the_gradient_is_that_of_the_change(shape) -> None:
    x = torch.randn(3, *shape, dtype=torch.float64, requires_grad=True)
    policy = ("color", "translation", "cutout")
    assert torch.autograd.gradcheck(lambda x: change(x, Noise(0), *policy), x)
    first, *rest = change(x[:1].expand(20, -1, -1, -1), Noise(0), *policy)
    assert all(not torch.equal(first, other) for other in rest)
    assert first.dtype == x.dtype


def test_d_sees_nothing_else_in_either_turn_and_g_learns_through_it() -> None:
    torch.manual_seed(0)
    shape = (3, 8, 16)
    gan = NSGAN(MLPGenerator(shape, latent_dim=4, width=5), MLPDiscriminator(shape, width=5), stabilizers=[])
    plain = [p.clone() for p in gan.generator.parameters()]
    gan.stabilizers.append(DiffAugment(["cutout"]))
    seen = []
    gan.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    fit(gan, [(torch.ones(8, *shape),)])
    assert len(seen) == 3  # real images and fakes in D's turn, fakes in G's
    for images in seen:
        assert all(4 * 8 // 4 <= (image[0] == 0).sum() <= 4 * 8 for image in images)
    assert any(not torch.equal(p, before) for p, before in zip(gan.generator.parameters(), plain, strict=True))


def test_no_change_is_the_plain_run() -> None:
    x = torch.randn(2, 1, 4, 4)
    assert change(x, Noise(0)) is x


def test_diff_augment_refuses() -> None:
    with pytest.raises(ValueError, match="unknown policy 'colour'; choose from color, translation, cutout"):
        DiffAugment(["cutout", "colour"])
    with pytest.raises(ValueError, match=r"must be a list of names, got 'color,cutout'; write \[color,cutout\]"):
        DiffAugment("color,cutout")
    with pytest.raises(ValueError, match=r"DiffAugment changes images \(C, H, W\), but the data are \(2,\)"):
        NSGAN(*networks(), stabilizers=[DiffAugment()])
    with pytest.raises(ValueError, match=r"DiffAugment changes images \(C, H, W\), but the data are \(2,\)"):
        change(torch.zeros(3, 2), Noise(0), "color")


# LeCam regularisation against numbers worked out by hand.


REAL, FAKE = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 2.0])


class Scores:
    """What `after_turn` reads of a game whose D said this."""

    def __init__(self, real: Tensor, fake: Tensor) -> None:
        self.outputs = {"d": {"real": Output(real, {}), "fake": Output(fake, {})}}
        self.latest: dict[str, Tensor] = {}


def moved(lecam: LeCam, real: Tensor, fake: Tensor, *, kimg: float = 1.0) -> tuple[float, float]:
    lecam.perturb(real, role="real", kimg=kimg, noise=Noise(0))
    lecam.after_turn(Turn("g", ("g",), None, side="g"), Scores(real, fake))  # G's move changes nothing
    lecam.after_turn(Turn("d", ("d",), None, side="d"), Scores(real, fake))
    return lecam.real.item(), lecam.fake.item()


def term(lecam: LeCam, real: Tensor = REAL, fake: Tensor = FAKE) -> Tensor:
    terms: Terms = lecam.d_terms(None, None, Output(real, {}), Output(fake, {}))
    return terms["lecam"]


def test_the_penalty_and_its_gradient() -> None:
    lecam = LeCam(weight=0.3)
    assert moved(lecam, torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.5])) == (1.5, 0.5)
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    # above 0.5: 0.5, 2.5; below 1.5: 2.5, none. 0.3 · ((0.25 + 6.25) / 2 + 6.25 / 2)
    value = term(lecam, real, fake)
    assert value.item() == pytest.approx(1.9125)
    value.backward()
    assert real.grad.tolist() == pytest.approx([0.15, 0.75])
    assert fake.grad.tolist() == pytest.approx([-0.75, 0.0])


def test_the_averages_begin_with_the_first_means() -> None:
    lecam = LeCam(decay=0.9)
    assert term(lecam).item() == 0  # nothing is known yet
    assert moved(lecam, REAL, FAKE) == pytest.approx((2, 0.5))
    assert moved(lecam, REAL + 2, FAKE - 2) == pytest.approx((2.2, 0.3))  # 0.9 · 2 + 0.1 · 4, 0.9 · 0.5 - 0.1 · 1.5


def test_a_score_that_is_not_finite_is_left_out() -> None:
    lecam = LeCam(decay=0.5)
    broken = torch.tensor([float("nan"), 0.0])
    moved(lecam, broken, FAKE)
    assert not lecam.known
    moved(lecam, REAL, FAKE)
    assert moved(lecam, REAL, broken) == (2, 0.5)


def test_until_the_start_it_follows_the_last_batch_and_adds_nothing() -> None:
    lecam = LeCam(decay=0.9, start_kimg=5)
    moved(lecam, REAL, FAKE, kimg=4)
    assert moved(lecam, REAL + 2, FAKE, kimg=4.9) == (4, 0.5)
    assert term(lecam).item() == 0
    assert moved(lecam, REAL, FAKE, kimg=5) == pytest.approx((3.8, 0.5))
    assert term(lecam).item() > 0


def test_in_a_game() -> None:
    """The averages are those of D's own moves, and the term is in D's loss."""
    means = []

    class Watched(NSGAN):
        def after_turn(self, turn: Turn) -> None:
            if turn.name == "d":
                means.append([float(self.outputs["d"][role].score.mean()) for role in ("real", "fake")])

    gan = Watched(*networks(), stabilizers=[LeCam(weight=2.0, decay=0.8)])
    fit(gan, points(5), log_every_n_steps=1)
    real, fake = means[0]
    for other in means[1:]:
        real, fake = 0.8 * real + 0.2 * other[0], 0.8 * fake + 0.2 * other[1]
    assert (float(gan.stabilizers[0].real), float(gan.stabilizers[0].fake)) == pytest.approx((real, fake), rel=1e-5)
    assert gan.latest["lecam/real"] == gan.stabilizers[0].real
    assert gan.latest["loss/d/lecam"] > 0
    torch.testing.assert_close(gan.latest["loss/d"], gan.latest["loss/d/adversarial"] + gan.latest["loss/d/lecam"])


@pytest.mark.parametrize("name", variants())
def test_every_objective_takes_lecam_or_refuses(name: str) -> None:
    try:
        gan = make(variants()[name], stabilizers=[LeCam()])
    except ValueError as error:
        assert "LeCam" in str(error)  # noqa: PT017
        return
    fit(gan, points(3, dtype=torch.float64))
    assert all(stabilizer.known for stabilizer in gan.stabilizers if isinstance(stabilizer, LeCam))


def test_lecam_refuses() -> None:
    with pytest.raises(ValueError, match="EBGAN: LeCam needs scores that are higher on real images"):
        make(EBGAN, stabilizers=[LeCam()])
    with pytest.raises(ValueError, match="MDGAN: LeCam keeps the averages of one discriminator, and there are 2"):
        make(MDGAN, stabilizers=[LeCam()])
    for wrong in ({"weight": -1.0}, {"decay": 1.0}, {"start_kimg": -1.0}):
        with pytest.raises(ValueError, match=r"LeCam: weight and start_kimg .* decay in \[0, 1\)"):
            LeCam(**wrong)


# PacGAN's packs against numbers worked out by hand.


def linear(gan: GAN, *weights: float) -> None:
    """D becomes a linear map of its input."""
    gan.discriminator.trunk = nn.Flatten()
    gan.discriminator.head = nn.Linear(len(weights), 1, bias=False)
    gan.discriminator.head.weight.data = torch.tensor([weights])


def test_points_are_scored_two_at_a_time() -> None:
    gan = NSGAN(*networks(), stabilizers=[Packed(2)])
    linear(gan, 1.0, 10.0, 100.0, 1000.0)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], requires_grad=True)
    out = score(gan, x)
    assert out.score.tolist() == [4321, 4321, 8765, 8765]
    assert out.features["hidden"].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    (gradient,) = torch.autograd.grad(out.score.mean(), x)
    assert gradient.tolist() == [[0.5, 5], [50, 500], [0.5, 5], [50, 500]]  # a mean over two packs


def test_images_are_joined_along_their_channels() -> None:
    torch.manual_seed(0)
    shape = (2, 8, 8)
    gan = NSGAN(DCGANGenerator(shape, width=4), DCGANDiscriminator(shape, width=4), stabilizers=[Packed(3)])
    seen = []
    gan.discriminator.trunk.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x = torch.arange(6.0)[:, None, None, None] + torch.tensor([0.0, 0.5])[:, None, None].expand(2, 8, 8)
    assert score(gan, x).score.shape == (6,)
    assert seen[0].shape == (2, 6, 8, 8)
    assert seen[0][:, :, 3, 4].tolist() == [[0, 0.5, 1, 1.5, 2, 2.5], [3, 3.5, 4, 4.5, 5, 5.5]]
    packed = DCGANDiscriminator((6, 8, 8), width=4)
    assert {k: v.shape for k, v in gan.discriminator.state_dict().items()} == {
        k: v.shape for k, v in packed.state_dict().items()
    }
    assert gan.discriminator.arguments["image_shape"] == shape  # a checkpoint builds it, and packs it again


def test_every_sample_of_a_pack_reaches_g() -> None:
    gan = NSGAN(*networks(), stabilizers=[Packed(4)])
    batch = gan.deal(points(1)[0], graph=True)
    critic = gan.bind(batch)
    fake = batch.fake.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(gan.g_loss(critic(fake, "fake").score), fake)
    assert (gradient.norm(dim=1) > 0).all()


@pytest.mark.parametrize("name", variants())
def test_every_objective_takes_packs_or_refuses(name: str) -> None:
    torch.manual_seed(0)
    try:
        gan = make(variants()[name], stabilizers=[Packed(2)])
    except ValueError as error:
        assert "Packed" in str(error)  # noqa: PT017
        assert name in {"ALI", "DRAGAN", "InfoGAN", "VEEGAN", "WGANGP"}
        return
    shape = gan.discriminator.arguments["image_shape"]
    fit(gan, [(torch.randn(8, *shape, dtype=torch.float64),) for _ in range(3)])
    assert all(value.isfinite().all() for value in gan.state_dict().values())


@pytest.mark.parametrize(
    "others",
    [[SpectralNorm()], [Dropout(), LabelSmoothing()], [MinibatchDiscrimination(2, 2)], [HistoricalAveraging()]],
)
def test_stabilizers_after_it_see_the_packed_d(others) -> None:
    gan = NSGAN(*networks(), stabilizers=[Packed(2), *others])
    before = [p.clone() for p in gan.discriminator.parameters()]
    fit(gan, points(2))
    assert all(not torch.equal(p, q) for p, q in zip(gan.discriminator.parameters(), before, strict=True))


def test_virtual_batch_norm_has_a_reference_of_packs() -> None:
    gan = NSGAN(*networks(d_norm="batch"), stabilizers=[Packed(2), VirtualBatchNorm("discriminator", size=4)])
    fit(gan, points(2))
    assert gan.discriminator.trunk.reference.shape == (4, 4)


def test_packed_refuses() -> None:
    with pytest.raises(ValueError, match="Packed: m must be at least 1, got 0"):
        Packed(0)
    with pytest.raises(ValueError, match="NSGAN: a gradient penalty is per sample, but Packed"):
        NSGAN(*networks(), stabilizers=[Packed(), GradientPenalty()])
    for earlier in (SpectralNorm(), Dropout(), MinibatchDiscrimination(2, 2)):
        with pytest.raises(ValueError, match="a stabilizer before it changed the MLPDiscriminator; put Packed first"):
            NSGAN(*networks(), stabilizers=[earlier, Packed()])
    with pytest.raises(ValueError, match="ALI: Packed joins samples alone"):
        make(ALI, stabilizers=[Packed()])
    labelled = MLPGenerator((2,), width=4, num_classes=3), MLPDiscriminator((2,), width=4, num_classes=3)
    with pytest.raises(ValueError, match="NSGAN: Packed joins samples alone"):
        NSGAN(*labelled, stabilizers=[Packed()])
    with pytest.raises(ValueError, match="InfoGAN: a network reads D's features of each sample"):
        InfoGAN(*networks(), categorical=2, continuous=0, stabilizers=[Packed()])
    with pytest.raises(ValueError, match=r"m is 3, which does not divide a batch of 8; change data.batch_size or m"):
        fit(NSGAN(*networks(), stabilizers=[Packed(3)]), points(1))
    own = nn.Sequential(nn.Linear(2, 1))
    with pytest.raises(ValueError, match=r"Packed: Sequential has no image_shape to enlarge; use one of zoo.backbones"):
        NSGAN(networks()[0], own, stabilizers=[Packed()])
