"""What the lab measures of a discriminator near the perfect one, against closed forms and brute force."""

import math

import pytest
import torch
from scipy import integrate, stats
from torch import nn

from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.lab import divergences, perfect_discriminator, unstable_gradient, vanishing_gradient
from zoo.lab._games import Fixed
from zoo.lab._manifold import DIM, Duel, gradient, judged
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN

T = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)


def linear(w: list[float]) -> MLPDiscriminator:
    """The logit w · x."""
    critic = MLPDiscriminator((len(w),), depth=0).double()
    nn.init.zeros_(critic.head.bias)
    critic.head.weight.data = torch.tensor([w], dtype=torch.float64)
    return critic


def test_what_a_linear_discriminator_says_and_how_steep_it_is() -> None:
    """At logit log 3, D = 3/4, and its slope is D (1 - D) ‖w‖ = 3/16 · 5."""
    x = torch.tensor([[math.log(3) / 3, 0.0], [0.0, 0.0]], dtype=torch.float64)
    logit, d, slope = judged(linear([3.0, 4.0]), x)
    assert logit.tolist() == pytest.approx([math.log(3), 0])
    assert d.tolist() == pytest.approx([0.75, 0.5])
    assert slope.tolist() == pytest.approx([15 / 16, 5 / 4])


def test_the_verdict_on_two_data_and_two_samples() -> None:
    """Logits 1 and -1 for the data, -1 and -1 for the samples: one of four is wrong; half way they are 0 and -1."""
    real, fake = (torch.tensor(x, dtype=torch.float64) for x in ([[1.0, 0.0], [-1.0, 0.0]], [[-1.0, 0.0], [-1.0, 0.0]]))
    seen = perfect_discriminator.verdict(linear([1.0, 0.0]), real, fake)
    good, bad = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert seen["error"] == 0.25
    assert seen["loss"] == pytest.approx((good + bad) / 2 + good)
    steep = math.exp(-1) / (1 + math.exp(-1)) ** 2
    assert seen["slope at data"] == pytest.approx(steep)
    assert seen["slope half way"] == pytest.approx((0.25 + steep) / 2)


def test_the_loss_bounds_the_js_and_gives_it_for_the_optimal_discriminator() -> None:
    """N(0, 1) and N(2, 1) have a JS of 0.336831 nats."""
    x = torch.linspace(-14, 16, 20_001, dtype=torch.float64)
    p, q = divergences.normal(x), divergences.normal(x, 2.0)

    def loss(logit: torch.Tensor) -> float:
        terms = p.exp() * nn.functional.softplus(-logit) + q.exp() * nn.functional.softplus(logit)
        return divergences.integral(terms, x).item()

    assert perfect_discriminator.least_js(loss(p - q)) == pytest.approx(0.336831, abs=1e-6)
    assert perfect_discriminator.least_js(loss(0.7 * (p - q))) < 0.33
    assert perfect_discriminator.least_js(loss(0 * p)) == pytest.approx(0, abs=1e-9)


def test_m_of_a_line_and_of_a_small_network() -> None:
    """∂(wz + b)/∂(w, b) = (z, 1). The network's Jacobian is put together output by output."""
    z = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    assert vanishing_gradient.sensitivity(nn.Linear(1, 1).double(), z) == pytest.approx(math.sqrt((1 + 2 + 10) / 3))
    torch.manual_seed(0)
    net = MLPGenerator((3,), latent_dim=2, width=5, depth=2).double()
    z = torch.randn(4, 2, dtype=torch.float64)
    squares = []
    for one in z:
        rows = [torch.autograd.grad(out, list(net.parameters()), retain_graph=True) for out in net(one[None])[0]]
        jacobian = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
        squares.append(torch.linalg.matrix_norm(jacobian, 2).item() ** 2)
    assert vanishing_gradient.sensitivity(net, z) == pytest.approx(math.sqrt(sum(squares) / 4))


class Wave(nn.Module):
    """D(x) = a + b sin(wx), as a logit."""

    def __init__(self, a: float, b: float, w: float) -> None:
        super().__init__()
        self.a, self.b, self.w = a, b, w

    def forward(self, x):
        return torch.logit(self.a + self.b * (self.w * x[:, 0]).sin()), {}


class Shift(nn.Module):
    """G(z) = z + θ, of M = 1."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, z):
        return z + self.theta


@pytest.mark.parametrize(("a", "b", "w"), [(0.01, 0.005, 2.0), (0.05, 0.03, 4.0), (0.1, 0.08, 5.0)])
def test_theorem_2_4_on_a_wave(a: float, b: float, w: float) -> None:
    """ε = sup (a + b sin + b w |cos|) = a + b √(1 + w²); the gradient is E -D'/(1 - D) for N(0, 0.2²), by scipy."""
    z = 0.2 * torch.special.ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)[:, None]
    epsilon = vanishing_gradient.distance(Wave(a, b, w), z)
    assert epsilon == pytest.approx(a + b * math.sqrt(1 + w * w), rel=1e-4)

    def integrand(x: float) -> float:
        return stats.norm.pdf(x, 0, 0.2) * b * w * math.cos(w * x) / (1 - a - b * math.sin(w * x))

    norm = gradient(Shift(), Wave(a, b, w), z, MinimaxGAN.g_loss).norm().item()
    assert norm == pytest.approx(integrate.quad(integrand, -2, 2, limit=200)[0], rel=1e-4)
    assert 0 < norm < vanishing_gradient.bound(1.0, epsilon)


def test_the_bound_says_nothing_from_1_on() -> None:
    assert vanishing_gradient.bound(7.0, 0.5) == 7.0
    assert vanishing_gradient.bound(7.0, 1.0) == math.inf
    course = vanishing_gradient.Course([0.2, 2.0, 0.002], [0.5, 3.0, 0.01], 2.0)
    assert course.bounds() == pytest.approx([2, math.inf, 2 * 0.01 / 0.99])
    assert course.tightest() == pytest.approx(0.1)
    assert course.orders() == pytest.approx(3)


def test_theorem_2_5_by_both_sides() -> None:
    """The numbers are from a quadrature of their own; with log(1 - D) the two gradients add up to KL's, t."""
    seen = [0.264736, 0.602027, 1.550400, 3.862805]
    assert unstable_gradient.pulls(T, NSGAN.g_loss).tolist() == pytest.approx(seen, abs=1e-6)
    assert unstable_gradient.theorem_2_5(T).tolist() == pytest.approx(seen, abs=1e-6)
    minimax = unstable_gradient.pulls(T, MinimaxGAN.g_loss)
    assert minimax[[1, 3]].tolist() == pytest.approx([0.397973, 0.137195], abs=1e-6)
    assert (minimax + torch.tensor(seen).double()).tolist() == pytest.approx(T.tolist(), abs=1e-6)


def test_the_noise_of_theorem_2_6_is_cauchy_however_many_are_averaged() -> None:
    """r / ε has scale σ_r / σ_ε = 2, and so has the mean of any number."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for n in (1, 16):
            noise = unstable_gradient.noise_gradient(20_000, n)
            assert stats.kstest(noise.numpy(), stats.cauchy(scale=2).cdf).pvalue > 0.01
            assert stats.kstest(noise.numpy(), stats.norm(scale=2).cdf).pvalue < 1e-6


def test_sizes_deviations_and_distances_from_the_median() -> None:
    assert unstable_gradient.size_and_deviation(torch.tensor([[3.0, 4.0]] * 3)) == (5, 0)
    assert unstable_gradient.size_and_deviation(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == (0, pytest.approx(2**0.5))
    column = torch.tensor([[4.0], [0.0], [3.0], [1.0], [2.0]])
    assert unstable_gradient.standardised(column).tolist() == [0, 1, 1, 2, 2]
    assert unstable_gradient.standardised(torch.cat([column, 10 * column], 1)).tolist() == [
        0,
        0,
        1,
        1,
        1,
        1,
        2,
        2,
        2,
        2,
    ]


def test_the_gradient_of_a_batch_at_a_known_discriminator() -> None:
    """Samples all at 0, where D = 1/2: -∇ log D = -(1 - D) w."""
    w = torch.linspace(-1, 1, DIM, dtype=torch.float64)
    duel = Duel(1, Fixed(lambda z: z.new_zeros(len(z), DIM), latent_dim=2), {})
    rows = unstable_gradient.batch_gradients(duel, linear(w.tolist()))
    torch.testing.assert_close(rows, (-w / 2).expand(unstable_gradient.MANY, DIM))
