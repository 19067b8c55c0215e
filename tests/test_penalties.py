"""Where × target, and the stabilizers built on them."""

import pytest
import torch
from torch import Tensor

from tests.games import fit, networks, points, score
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.noise import Noise
from zoo.penalties import gradient_norm, norm_penalty, penalty_points
from zoo.stabilizers import R1, GradientPenalty, InstanceNoise, MinibatchDiscrimination, SpectralNorm
from zoo.stabilizers.penalty import finite_difference
from zoo.types import Batch, Output, Role
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


@pytest.mark.parametrize(("gamma", "expected"), [(None, 0.0002 * 8 * 16 / 4), (0.5, 0.5)])
def test_the_heuristic_gamma_of_r1(gamma: float | None, expected: float) -> None:
    """0.0002 times an image's pixels over a batch's images; the gradient of 3 Σ x has the square 9 · 3 · 8 · 16."""
    shape = (3, 8, 16)
    real = torch.randn(4, *shape)

    def critic(x: Tensor, role: Role) -> Output:
        return Output(3 * x.flatten(1).sum(1), {})

    r1 = R1(gamma)
    terms = r1.d_terms(
        critic, Batch(real, None, real[:, :0], real, Noise(0)), critic(real, "real"), critic(real, "fake")
    )
    assert terms["gradient_penalty"].item() == pytest.approx(expected / 2 * 9 * 3 * 8 * 16)
    with pytest.raises(
        ValueError, match="R1: the heuristic for gamma is of images, and the data are points; give gamma"
    ):
        fit(NSGAN(*networks(), stabilizers=[R1()]), points(1))


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
