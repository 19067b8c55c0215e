"""The mathematics of the lab's experiments against closed forms and against numbers worked out elsewhere."""

import math

import pytest
import torch
from scipy import integrate, stats

from zoo.dynamics import Simultaneous
from zoo.lab import (
    dirac_gan,
    divergences,
    encoders,
    inner_outer,
    lipschitz,
    manifolds,
    noise,
    oscillation,
    rock_paper_scissors,
    two_gaussians,
)
from zoo.lab import value_surfaces as surfaces
from zoo.lab._games import around, play_zerosum
from zoo.types import Batch, total
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.relativistic_gan import RelativisticGAN

MU = torch.tensor([0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0, 30.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def curves() -> divergences.Curves:
    return divergences.shifted(MU)


def test_kl_of_shifted_gaussians_is_half_the_square(curves) -> None:
    for name in ("KL", "reverse KL"):
        assert curves[name][0].tolist() == pytest.approx((MU**2 / 2).tolist(), rel=1e-9)
        assert curves[name][1].tolist() == pytest.approx(MU.tolist(), rel=1e-9)


def test_kl_of_gaussians_of_two_widths_is_not_symmetric() -> None:
    """KL(N(0, 1) ‖ N(1, 2²)) = log 2 + (1 + 1)/8 - 1/2, and the other way 4/2 + 1/2 - 1/2 - log 2."""
    x = torch.linspace(-40, 40, 20_001, dtype=torch.float64)
    p, q = divergences.normal(x), divergences.normal(x, 1.0, 2.0)
    assert divergences.kl(p, q, x).item() == pytest.approx(math.log(2) - 0.25, abs=1e-9)
    assert divergences.reverse_kl(p, q, x).item() == pytest.approx(2 - math.log(2), abs=1e-9)


def test_wasserstein_of_shifted_gaussians_is_the_shift(curves) -> None:
    assert curves["W₁"][0].tolist() == pytest.approx(MU.tolist(), rel=1e-5)
    assert curves["W₁"][1].tolist() == pytest.approx([1.0] * len(MU), rel=1e-4)


def test_js_saturates_at_log_2(curves) -> None:
    seen = [0.030311, 0.111421, 0.336831, 0.526777, 0.675943]
    assert curves["JS"][0][:5].tolist() == pytest.approx(seen, abs=1e-6)
    assert curves["JS"][0][-2:].tolist() == pytest.approx([math.log(2)] * 2, abs=1e-12)


@pytest.mark.parametrize("mu", [0.7, 4.0])
def test_js_against_scipy(mu: float) -> None:
    p, q = stats.norm(0, 1), stats.norm(mu, 1)

    def integrand(x: float) -> float:
        m = (p.pdf(x) + q.pdf(x)) / 2
        return (p.pdf(x) * math.log(p.pdf(x) / m) + q.pdf(x) * math.log(q.pdf(x) / m)) / 2

    expected = integrate.quad(integrand, -10, mu + 10, limit=200)[0]
    assert divergences.shifted(torch.tensor([mu]).double())["JS"][0].item() == pytest.approx(expected, abs=1e-8)


def test_the_pull_of_js_dies_as_the_overlap_does(curves) -> None:
    slope = curves["JS"][1]
    assert slope[[1, 2, 3, 4]].tolist() == pytest.approx([0.1990, 0.2248, 0.1479, 0.0237], abs=1e-4)
    assert slope[5].item() == pytest.approx(1.96e-4, rel=1e-2)
    assert 0 < slope[8] < math.exp(-(30**2) / 8)  # that of the densities' product, exp(-μ²/8), bounds it


def test_the_fits_of_one_gaussian_to_two_modes() -> None:
    """KL matches moments: mean 0, variance 1 + 3². Reverse KL sits on a mode."""
    mean, std, left = divergences.fit(divergences.kl, 1.0, 2.0)
    assert (mean, std**2, left) == pytest.approx((0, 10, 0.4620), abs=2e-3)
    mean, std, left = divergences.fit(divergences.reverse_kl, 2.5, 1.0)
    assert (mean, std**2, left) == pytest.approx((2.984, 1.047, 0.6888), abs=2e-3)


def test_noise_lowers_js_as_it_grows() -> None:
    ten = torch.tensor([10.0], dtype=torch.float64)
    values = [noise.smoothed_js(ten, math.hypot(1, s)).item() for s in (0, 1, 2, 5, 10)]
    assert values == pytest.approx([0.693146, 0.692554, 0.658734, 0.328066, 0.110435], abs=1e-6)


@pytest.mark.parametrize(("sigma", "expected"), [(1.0, 0.0330), (2.0, 0.184), (4.0, 0.0806)])
def test_the_pull_is_the_gradient_at_the_optimal_discriminator(sigma: float, expected: float) -> None:
    """By hand: log(1 - D*) = -softplus(log N(x; 0, σ) - log N(x; θ, σ)), differentiated at x = θ only."""
    x = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    logit = divergences.normal(x, 0.0, sigma) - divergences.normal(x, 3.0, sigma)
    (slope,) = torch.autograd.grad(-torch.nn.functional.softplus(logit), x)
    assert noise.pull(torch.tensor(3.0).double(), sigma).item() == pytest.approx(slope.item(), rel=1e-12)
    assert slope.item() == pytest.approx(expected, rel=5e-3)


def test_with_noisy_samples_the_gradient_is_that_of_two_js() -> None:
    h, sigma = 1e-4, 1.5
    ends = noise.smoothed_js(torch.tensor([2.0 + h, 2.0 - h], dtype=torch.float64), sigma)
    assert noise.noisy_pull(2.0, sigma) == pytest.approx(2 * (ends[0] - ends[1]).item() / (2 * h), rel=1e-6)


@pytest.mark.parametrize(("t", "a", "expected"), [(1.0, 0.5, 3.908), (0.5, 1.0, 3.236), (0.5, 2.0, 4.959)])
def test_the_bound_of_theorem_3_3(t: float, a: float, expected: float) -> None:
    assert noise.bound(t, a) == pytest.approx(expected, abs=1e-3)
    assert noise.bound(t, a) >= t


def test_the_width_of_noise_in_many_dimensions() -> None:
    drawn = torch.randn(200_000, 16, generator=torch.Generator().manual_seed(0)).norm(dim=1).mean().item()
    assert noise.smear(16) == pytest.approx(drawn, rel=2e-3)
    assert noise.smear(1) == pytest.approx(math.sqrt(2 / math.pi))
    assert 1 < noise.smear(16) <= math.sqrt(16)  # the lecture's σ² in place of dσ² would be no bound


@pytest.mark.parametrize("name", list(oscillation.predicted()))
def test_the_spectral_radii_of_xy(name: str) -> None:
    """Of the update's matrix on (x, y), written out; x moves first where they alternate."""
    h = oscillation.LR
    matrices = {
        "simultaneous": [[1, h], [-h, 1]],
        "alternating": [[1, h], [-h, 1 - h * h]],
        "consensus": [[1 - h, h], [-h, 1 - h]],
        "gradient-regularised": [[1, h], [-h, 1 - h * h - 2 * 0.5 * h]],
        "unrolled": [[1, h], [-h, 1 - h * h - 2 * 5 * 0.1 * h]],
        "weight penalty": [[1 - 0.5 * h, h], [-h * (1 - 0.5 * h), 1 - h * h]],
        "extragradient": [[1 - h * h, h], [-h, 1 - h * h]],
        # of (x, y) and the point before
        "optimistic": [[1, 2 * h, 0, -h], [-2 * h, 1, h, 0], [1, 0, 0, 0], [0, 1, 0, 0]],
        "lookahead": torch.eye(2) / 2
        + torch.linalg.matrix_power(torch.tensor([[1, h], [-h, 1]], dtype=torch.float64), 5) / 2,
    }
    radius = torch.linalg.eigvals(torch.as_tensor(matrices[name], dtype=torch.float64)).abs().max().item()
    steps = 5 if name == "lookahead" else 1
    assert oscillation.predicted()[name] == pytest.approx(radius ** (1 / steps), abs=1e-12)


def test_the_zoo_plays_xy_as_the_matrix_does() -> None:
    one = torch.ones(1, 1, dtype=torch.float64)
    start = 0.3 * one[0], 0.8 * one[0]
    path = play_zerosum(Simultaneous(), one, start, 3, lr=0.1).squeeze(2)
    matrix = torch.tensor([[1, 0.1], [-0.1, 1]], dtype=torch.float64)
    torch.testing.assert_close(path, torch.stack([torch.linalg.matrix_power(matrix, n) @ path[0] for n in range(4)]))
    assert path[0].tolist() == [0.3, 0.8]
    assert start[0].item() == 0.3  # a game does not move the start of the next


def test_the_factor_of_a_geometric_path() -> None:
    assert oscillation.factor(3 * 0.9 ** torch.arange(50).double()) == pytest.approx(0.9)


def test_the_best_reply_to_the_lectures_mix_is_paper() -> None:
    """Paper wins against rock, .36, and loses against scissors, .32."""
    assert rock_paper_scissors.best_reply(rock_paper_scissors.LECTURE) == (1, pytest.approx(0.04))
    assert rock_paper_scissors.PAYOFF.T.equal(-rock_paper_scissors.PAYOFF)


def test_hedge_keeps_its_distance_growing_and_optimism_does_not() -> None:
    """Against the equilibrium, the sum of both players' KL grows at every step (Bailey & Piliouras 2018)."""
    start = torch.tensor([0.5, 0.3, 0.2]).double().log(), torch.tensor([0.2, 0.5, 0.3]).double().log()
    plain, hopeful = (rock_paper_scissors.hedge(start, 400, 0.1, optimistic=o) for o in (False, True))
    kl = -(3 * plain).log().mean(2).sum(1)
    assert (kl.diff() > 0).all()
    away = rock_paper_scissors.distance(hopeful)
    assert away[-1] < away[0] / 2
    torch.testing.assert_close(plain.sum(2), torch.ones(401, 2).double())


def test_gradient_steps_on_the_mixes_follow_the_payoff() -> None:
    """One simultaneous step of both logits, by finite differences of a · PAYOFF · b."""
    start = torch.tensor([0.4, -0.1, 0.0]).double(), torch.tensor([0.0, 0.3, -0.2]).double()
    payoff, softmax = rock_paper_scissors.PAYOFF, lambda v: v.softmax(-1)
    path = play_zerosum(Simultaneous(), -payoff, start, 1, lr=0.5, strategy=softmax)

    def wins(a, b) -> float:
        return (a.softmax(0) @ payoff @ b.softmax(0)).item()

    steps = torch.eye(3).double() * 1e-6
    up = torch.tensor([(wins(start[0] + e, start[1]) - wins(start[0] - e, start[1])) / 2e-6 for e in steps])
    other = torch.tensor([(wins(start[1] + e, start[0]) - wins(start[1] - e, start[0])) / 2e-6 for e in steps])
    expected = torch.stack([(start[0] + 0.5 * up).softmax(0), (start[1] + 0.5 * other).softmax(0)])
    torch.testing.assert_close(path[1], expected, atol=1e-8, rtol=0)


def test_the_optimal_discriminator_of_two_gaussians() -> None:
    x = torch.linspace(-1, 1, 9, dtype=torch.float64).requires_grad_(True)
    p, q = divergences.normal(x, -2.0, 0.5), divergences.normal(x, 2.0, 0.5)
    ratio = p.exp() / (p.exp() + q.exp())
    (slope,) = torch.autograd.grad(ratio.sum(), x)
    value, steepness = two_gaussians.optimum(x.detach())
    torch.testing.assert_close(value, ratio.detach())
    torch.testing.assert_close(steepness, slope)


@pytest.mark.parametrize("weight", [0.1, 10.0])
def test_the_slope_of_a_penalised_critic(weight: float) -> None:
    """The least of -4 s + λ (s - 1)², on a fine grid."""
    s = torch.linspace(0, 30, 300_001, dtype=torch.float64)
    best = s[(-4 * s + weight * (s - 1) ** 2).argmin()].item()
    assert two_gaussians.penalised_slope(4.0, weight) == pytest.approx(best, abs=1e-4)


def test_the_largest_slope_of_clipped_weights() -> None:
    assert lipschitz.bound([2, 128, 128, 128, 1], 0.01) == pytest.approx(0.0297, abs=1e-4)
    assert lipschitz.bound([2, 128, 128, 128, 1], 0.1) == pytest.approx(296.6, abs=0.1)


def test_the_gradients_through_a_network_of_constant_weights() -> None:
    """Weights w > 0, no bias, x > 0: all units are on. ∂D/∂h has norm w √n at the last layer, n w times more before."""
    w, n = 0.3, 4
    critic = lipschitz.MLPDiscriminator((2,), width=n, depth=3).double()
    for name, p in critic.named_parameters():
        torch.nn.init.constant_(p, 0.0 if name.endswith("bias") else w)
    found = lipschitz.gradients(critic, torch.rand(5, 2, dtype=torch.float64) + 0.1)
    last = w * math.sqrt(n)
    assert found[1:] == pytest.approx([last * (n * w) ** 2, last * n * w, last])
    assert found[0] == pytest.approx(math.sqrt(2) * w * (n * w) ** 3)
    assert lipschitz.per_layer(found) == pytest.approx(n * w)
    assert lipschitz.at_bound(torch.tensor([0.1, -0.1, 0.0995, 0.05]), 0.1) == 0.75


class Known(torch.nn.Module):
    def __init__(self, f) -> None:
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x), {}


def test_relief_order_and_slope_of_known_surfaces() -> None:
    samples = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double()  # of what follows only x has a spread there, √2
    angle = lambda x: torch.atan2(x[:, 1], x[:, 0])  # noqa: E731
    waves = Known(lambda x: (8 * angle(x)).cos() * x.norm(dim=1) / 2 + x[:, 0])
    assert surfaces.relief(waves, samples) == pytest.approx((2 / math.sqrt(2), 1 / math.sqrt(2)))
    cone = Known(lambda x: -3 * x.norm(dim=1) + x[:, 0])
    assert surfaces.relief(cone, samples) == pytest.approx((0, -6 / math.sqrt(2)))
    draw = torch.Generator().manual_seed(0)
    data = torch.zeros(4000, 2, dtype=torch.float64)
    directions = torch.randn(4000, 2, generator=draw, dtype=torch.float64)
    assert surfaces.ordered(Known(lambda x: -x.norm(dim=1)), data, directions) == 1
    assert surfaces.ordered(Known(lambda x: x[:, 0]), data, directions) == pytest.approx(0.5, abs=0.03)
    assert surfaces.slope(Known(lambda x: x @ torch.tensor([3.0, 4.0]).double()), data) == pytest.approx(5)


def test_around_draws_the_points_evenly_with_the_noise_it_is_asked_for() -> None:
    points = torch.tensor([[-10.0, 0.0], [0.0, 0.0], [10.0, 5.0], [30.0, 0.0]])
    made = around(points, 0.5)(torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)))
    distance, nearest = torch.cdist(made, points).min(1)
    assert (torch.bincount(nearest) / 20_000).tolist() == pytest.approx([0.25] * 4, abs=0.01)
    assert distance.square().mean().item() == pytest.approx(2 * 0.25, rel=0.03)


def test_the_held_discriminator_is_the_log_ratio_and_is_greatest_near_a_mode() -> None:
    x = torch.tensor([[0.3, -1.0], [2.0, 0.1]], dtype=torch.float64)
    means = inner_outer.CENTRES.double().numpy()
    expected = [
        math.log(sum(stats.multivariate_normal(m, 0.25).pdf(p) for m in means) / 8)
        - stats.multivariate_normal([0, 0], 4.0).logpdf(p)
        for p in x.numpy()
    ]
    assert inner_outer.Held()(x.float()).tolist() == pytest.approx(expected, abs=1e-4)
    far = inner_outer.Held()(torch.tensor([[2.2, 0.0], [20.0, 0.0]]))
    assert far[0] > far[1]


def test_the_spread_of_the_ring_and_of_a_point() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert inner_outer.spread(inner_outer.draw_data(20_000)) == pytest.approx(math.sqrt(4.08), rel=0.01)
    assert inner_outer.spread(torch.ones(7, 2)) == 0


OBJECTIVES = {"GAN": NSGAN, "minimax": MinimaxGAN, "RpGAN": RelativisticGAN}


def descent(objective: str, gammas: tuple[float, float], at: torch.Tensor, sides: str = "dg") -> torch.Tensor:
    """(-∂L_G/∂θ, -∂L_D/∂ψ) at (θ, ψ), by autograd through the zoo's own losses and penalties; 0 for other sides."""
    gan = dirac_gan.dirac(OBJECTIVES[objective], 0.0, 0.0, gammas, Simultaneous())
    theta, psi = at
    real = torch.zeros(1, 1, dtype=torch.float64)
    fake = theta.expand(1, 1)
    batch = Batch(real, None, real, fake, gan.noise)
    critic = gan.bind(batch, state={"v": psi.expand(1)})
    found = []
    for side, variable, turn in (("g", theta, gan.g_turn), ("d", psi, gan.d_turn)):
        (slope,) = torch.autograd.grad(total(turn(critic, batch)), variable, create_graph=True)
        found.append(-slope if side in sides else 0 * slope)
    return torch.stack(found)


def modes(values) -> list[complex]:
    return sorted((complex(v) for v in values), key=lambda v: (round(v.imag, 9), round(v.real, 9)))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("gammas", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.3, 0.4), (1.5, 0.7)])
def test_the_eigenvalues_of_the_dirac_gan_are_those_of_autograd_s_jacobian(objective: str, gammas) -> None:
    h, gamma = 0.4, sum(gammas)
    origin = torch.tensor([0, 1e-9], dtype=torch.float64)  # at 0 the penalty's norm has no second derivative

    def of(step) -> list[complex]:
        return modes(torch.linalg.eigvals(torch.autograd.functional.jacobian(step, origin)))

    def alternating(at: torch.Tensor) -> torch.Tensor:
        at = at + h * descent(objective, gammas, at, "d")
        return at + h * descent(objective, gammas, at, "g")

    field = of(lambda at: descent(objective, gammas, at))
    assert field == pytest.approx(modes(dirac_gan.field_eigenvalues(gamma)), abs=1e-12)
    together = of(lambda at: at + h * descent(objective, gammas, at))
    assert together == pytest.approx(modes(dirac_gan.step_eigenvalues(gamma, h, alternating=False)), abs=1e-12)
    assert of(alternating) == pytest.approx(modes(dirac_gan.step_eigenvalues(gamma, h, alternating=True)), abs=1e-12)


def test_the_zoo_plays_the_dirac_gan_as_its_eigenvalues_say() -> None:
    path = dirac_gan.play(RelativisticGAN, (6e-7, 8e-7), (0.1, 0.1), 12, alternating=True)
    assert dirac_gan.measured_radius(path) == pytest.approx(math.sqrt(1 - 0.4 * 0.2), abs=1e-9)
    assert dirac_gan.spectral_radius(0.2, 0.4, alternating=True) == pytest.approx(math.sqrt(0.92), abs=1e-12)
    # det of the simultaneous step [[1, h/2], [-h/2, 1 - hγ]]
    assert dirac_gan.spectral_radius(0.2, 0.4, alternating=False) == pytest.approx(math.sqrt(0.92 + 0.04), abs=1e-12)
    assert torch.equal(path, dirac_gan.play(NSGAN, (6e-7, 8e-7), (0.1, 0.1), 12, alternating=True))


def test_where_js_is_steepest_and_the_areas_under_the_integrands() -> None:
    mu, slope = divergences.steepest_js()
    assert (mu, slope) == pytest.approx((1.636, 0.2337), abs=1e-3)
    x = torch.linspace(-15, 17, 20001, dtype=torch.float64)
    p, q = divergences.normal(x), divergences.normal(x, 2.0)
    areas = {name: torch.trapezoid(y, x).item() for name, y in divergences.integrands(p, q).items()}
    # KL of unit Gaussians 2 apart is 2 nats; their JS by numerical integration elsewhere
    assert areas == pytest.approx({"KL(p ‖ q)": 2.0, "KL(q ‖ p)": 2.0, "JS": 0.33683}, abs=1e-4)


def test_best_replies_run_in_a_circle_and_leave_a_gap_of_two() -> None:
    assert rock_paper_scissors.best_replies(rock_paper_scissors.LECTURE, 7) == [1, 2, 0, 1, 2, 0, 1]
    rock, third = torch.tensor([1.0, 0, 0]).double(), torch.full((3,), 1 / 3).double()
    assert rock_paper_scissors.duality_gap(rock, rock) == 2.0  # paper beats either
    assert rock_paper_scissors.duality_gap(third, third) == pytest.approx(0)
    assert rock_paper_scissors.duality_gap(third, rock) == pytest.approx(1)


@pytest.mark.parametrize("steps", [10, 300])
def test_the_average_of_hedge_is_within_its_bound(steps: int) -> None:
    start = torch.tensor([0.5, 0.3, 0.2]).double().log(), torch.zeros(3).double()
    average = rock_paper_scissors.hedge(start, steps, 0.1)[:-1].mean(0)
    bound = rock_paper_scissors.hedge_bound(start, steps, 0.1)
    assert bound == pytest.approx((math.log(5) + math.log(3)) / (0.1 * steps) + 0.1)
    assert rock_paper_scissors.duality_gap(*average) < bound


def test_a_penalty_on_x_adds_to_its_step_alone() -> None:
    one = torch.ones(1, 1, dtype=torch.float64)
    path = play_zerosum(Simultaneous(), one, (0.3 * one[0], 0.8 * one[0]), 1, lr=0.1, d_penalty=0.5).squeeze(2)
    assert path[1].tolist() == pytest.approx([0.3 + 0.1 * 0.8 - 0.1 * 0.5 * 0.3, 0.8 - 0.1 * 0.3])


@pytest.mark.parametrize("latents", [1, 5])
def test_a_generator_moves_in_as_many_directions_as_it_has_latents(latents: int) -> None:
    torch.manual_seed(3)
    assert manifolds.rank_of_samples(latents) == latents
    assert len(manifolds.spectrum(latents)) == latents


@pytest.mark.parametrize("dim", [1, 3])
def test_the_intrinsic_dimension_of_a_cube_in_ten_dimensions(dim: int) -> None:
    torch.manual_seed(0)
    x = torch.rand(3000, dim, dtype=torch.float64) @ torch.linalg.qr(torch.randn(10, dim).double())[0].T
    assert manifolds.intrinsic_dimension(x) == pytest.approx(dim, rel=0.15)


def test_the_share_of_a_circle_near_another() -> None:
    """By brute force; and for small ε by hand: two crossings, each 2ε / sin of the angle wide."""
    angle = torch.linspace(0, 2 * math.pi, 200_001, dtype=torch.float64)[:-1]
    for apart, epsilon in ((1.5, 0.1), (2.0, 0.03), (0.4, 0.5), (0.2, 0.25)):
        off = ((angle.cos() - apart).square() + angle.sin().square()).sqrt() - 1
        expected = (off.abs() <= epsilon).double().mean().item()
        assert manifolds.share_near(apart, epsilon) == pytest.approx(expected, abs=1e-4)
    crossing = manifolds.crossing_angle(torch.tensor(1.5)).item()
    assert manifolds.share_near(1.5, 1e-6) == pytest.approx(2 * 2e-6 / math.sin(crossing) / (2 * math.pi), rel=1e-4)
    assert manifolds.exponent([e**0.7 for e in manifolds.EPSILONS]) == pytest.approx(0.7)


def test_the_density_of_a_noisy_circle_is_a_rice_law() -> None:
    """Its radius has the density r/σ² exp(-(r² + 1) / 2σ²) I₀(r/σ²) (Rice 1945), that of the plane times 2πr."""
    r, s = torch.tensor([0.3, 1.0, 1.6]).double(), manifolds.SIGMA
    rice = r / s**2 * (-(r.square() + 1) / (2 * s**2)).exp() * torch.special.i0(r / s**2)
    torch.testing.assert_close(manifolds.noisy_density(r) * 2 * math.pi * r, rice)


def test_the_rarest_class_by_its_share_of_what_the_data_have() -> None:
    def logits(*counts: int) -> torch.Tensor:
        return torch.eye(3).repeat_interleave(torch.tensor(counts), 0)

    assert encoders.fewest(logits(5, 4, 1), logits(20, 40, 40)) == pytest.approx(0.1 / 0.4)
    assert encoders.fewest(logits(5, 5, 0), logits(20, 40, 40)) == 0
