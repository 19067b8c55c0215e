"""The lab's frame: experiments are found by name, run alone on one thread, and written down."""

import json
import math
from pathlib import Path

import pytest
import torch
from scipy import integrate, stats
from torch import nn

from tests.games import networks
from zoo import lab
from zoo.__main__ import main
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.datamodules import Toy
from zoo.lab import (
    _ring,
    divergences,
    mode_collapse,
    perfect_discriminator,
    robustness,
    unstable_gradient,
    vanishing_gradient,
)
from zoo.lab import wasserstein_tracks_quality as tracking
from zoo.lab._games import Fixed
from zoo.lab._manifold import DIM, Duel, gradient, scored
from zoo.lab.perfect_discriminator import least_js
from zoo.metrics import ModeCoverage
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN


@pytest.mark.parametrize("name", lab.experiments())
def test_every_experiment_says_what_is_claimed_by_whom_and_what_is_drawn(name: str) -> None:
    first, claim, paper, figure = lab._paragraphs(name)
    assert first.endswith(".")
    assert len(first) <= 120
    assert claim.startswith("Claim: ")
    assert paper.startswith("Paper: ")
    assert any(str(year) in paper for year in range(1999, 2020))
    assert figure.startswith("Figure: ")


def test_without_a_name_it_lists_them(capsys) -> None:
    assert main(["lab"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == lab.experiments() == sorted(lab.experiments())
    assert "_games" not in lab.experiments()
    assert "two-gaussians" in lab.experiments()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["oscilation"], ("oscillation",)),
        (["two_gaussians"], ("two-gaussians",)),
        (["zzz"], ("divergences", "oscillation")),
        (["noise", "--all"], ("noise", "--all")),
    ],
)
def test_what_it_does_not_know_is_refused_with_what_is_near(args, words, capsys, tmp_path) -> None:
    assert main(["lab", *args, "-o", str(tmp_path / "lab")]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert all(word in error for word in words)
    assert not (tmp_path / "lab").exists()


def test_an_experiment_leaves_numbers_a_figure_and_what_they_depend_on(tmp_path, capsys) -> None:
    before = torch.get_rng_state(), torch.get_num_threads()
    assert main(["lab", "divergences", "--quick", "--seed", "3", "-o", str(tmp_path)]) == 0
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
    saved = json.loads((tmp_path / "divergences.json").read_text())
    assert (saved["experiment"], saved["seed"], saved["quick"]) == ("divergences", 3, True)
    assert saved["versions"]["torch"] == torch.__version__
    assert saved["numbers"]["W₁"] == pytest.approx(saved["numbers"]["mu"], rel=1e-6)
    assert (tmp_path / "divergences.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert printed.splitlines()[1] == lab.ROUGH
    assert saved["finding"] in printed
    assert str(tmp_path / "divergences.png") in printed


def test_all_writes_a_page_of_what_was_saved_beside_the_folder(tmp_path, monkeypatch) -> None:
    result = lab.Result({"a": 1.0}, "It is 1.", lambda figure: None)
    monkeypatch.setattr(lab, "experiments", lambda: ["divergences", "noise"])
    monkeypatch.setattr(lab, "perform", lambda name, seed, quick: lab.Report(name, seed, quick, 2.0, result))
    assert main(["lab", "--all", "--seed", "4", "--quick", "-o", str(tmp_path / "docs")]) == 0
    page = (tmp_path / "docs.md").read_text()
    assert page == lab.page(tmp_path / "docs")
    for name in ("divergences", "noise"):
        assert (tmp_path / "docs" / f"{name}.png").is_file()
        for part in (f"## {name}\n", f"](docs/{name}.png)", f"lab {name} --seed 4 --quick`", lab._paragraphs(name)[1]):
            assert part in page
    assert page.count("(seed 4): It is 1.") == 2


def test_a_number_that_json_does_not_have_is_an_error(tmp_path: Path) -> None:
    report = lab.Report("divergences", 0, True, 1.0, lab.Result({"a": float("nan")}, "", lambda figure: None))
    with pytest.raises(ValueError, match="JSON"):
        report.as_json()


def test_the_seed_decides() -> None:
    draws = []
    for seed in (0, 0, 1):
        with lab._alone(seed):
            draws.append(torch.rand(()).item())
            assert torch.get_num_threads() == 1
    assert draws[0] == draws[1] != draws[2]


def test_only_a_quick_run_is_said_to_be_rough() -> None:
    full = lab.Report("divergences", 0, False, 1.0, lab.Result({"a": 1.0}, "It is 1.", lambda figure: None))
    assert lab.ROUGH not in str(full)


# How the lab's experiments measure samples: modes reached, exact distances, ranks, spread and classes.


def test_a_mode_is_populated_by_20_samples_within_three_sigma() -> None:
    centres = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    samples = torch.cat([torch.zeros(20, 2), torch.tensor([[2.05, 0.0]]).expand(19, 2), torch.full((30, 2), 1.4)])
    assert mode_collapse.populated(samples, centres, 0.02) == {0}
    assert mode_collapse.populated(samples, centres, 0.02, enough=19) == {0, 1}


@pytest.mark.parametrize(
    ("modes", "since"),
    [([8] * 30, 100), ([8] * 29 + [6], None), ([0] * 12 + [7] * 18, 1300), ([8, 8, 5] + [8] * 27, 400)],
)
def test_since_when_a_game_has_settled(modes: list[int], since: int | None) -> None:
    """30 checks of 3,000 batches, a check every 100."""
    course = mode_collapse.Course(3000, [], [ModeCoverage(n, n, 1.0, 0.0, 1.0) for n in modes], set())
    assert mode_collapse.settled(course) == since


def courses(modes: dict[str, int], good: float) -> dict[str, mode_collapse.Course]:
    """Games with so many modes at the end, 0 for others."""
    shown = {**mode_collapse.PLAIN, **mode_collapse.REMEDIES}
    ends = {name: ModeCoverage(8, modes.get(name, 0), good, 0.0, good) for name in shown.values()}
    return {name: mode_collapse.Course(120, [], [end] * 30, set()) for name, end in ends.items()}


@pytest.mark.parametrize(
    ("modes", "good", "said"),
    [
        ({}, 0.0, "No game has reached the ring after 120 batches"),
        ({"-log D": 2, "WGAN-GP": 2}, 0.5, "No remedy reaches more of the ring"),
        ({"-log D": 2, "WGAN-GP": 8}, 0.5, "Of the remedies, WGAN-GP reach more of the ring, and none puts all"),
        (dict.fromkeys(mode_collapse.REMEDIES.values(), 8), 0.97, "The remedies reach more of the ring, and the best"),
    ],
)
def test_the_conclusion_follows_from_the_modes(modes: dict[str, int], good: float, said: str) -> None:
    assert f". {said}" in mode_collapse._finding(courses(modes, good))


def test_the_saved_numbers_give_the_saved_finding() -> None:
    saved = json.loads((Path(__file__).parent.parent / "docs/lab/mode-collapse.json").read_text("utf-8"))
    numbers, played = saved["numbers"], {}
    for name in {**mode_collapse.PLAIN, **mode_collapse.REMEDIES}.values():
        good = numbers[f"{name}: share of good samples at the end"]
        coverage = [ModeCoverage(8, int(n), good, 0.0, good) for n in numbers[f"{name}: modes at 30 checks, of 8"]]
        visited = set(range(int(numbers[f"{name}: different modes over these"])))
        played[name] = mode_collapse.Course(int(numbers[f"{name}: batches"]), [], coverage, visited)
    assert mode_collapse._finding(played) == saved["finding"]


def test_every_game_of_the_figure_is_one_of_the_ring_and_starts_from_the_seed() -> None:
    shown = {**mode_collapse.PLAIN, **mode_collapse.REMEDIES}
    assert set(shown) <= set(_ring.METHODS)
    first, again, other = (_ring.start("unrolled_5", seed)[0].generator.net[0].weight for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_exact_distance_of_two_sets() -> None:
    """A shift by c costs ‖c‖, an order nothing; on a line it is scipy's."""
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    assert tracking.exact_distance(x, x + torch.tensor([3.0, -4.0])) == pytest.approx(5, abs=1e-5)
    assert tracking.exact_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-6)
    line, other = x * torch.tensor([1.0, 0.0]), (3 * x.flip(1) + 1) * torch.tensor([1.0, 0.0])
    expected = stats.wasserstein_distance(line[:, 0].numpy(), other[:, 0].numpy())
    assert tracking.exact_distance(line, other) == pytest.approx(expected, rel=1e-5)


def test_the_correlation_is_of_ranks() -> None:
    """Of 1 2 3 4 and 1 3 2 4: 1 - 6 · 2 / (4 · 15)."""
    assert tracking.correlation([1.0, 2.0, 3.0, 400.0], [0.1, 3.0, 2.0, 4.0]) == pytest.approx(0.8)


def test_a_line_is_taken_away() -> None:
    """The line through 0, 1, 0, 3 at 0, 1, 2, 3 is 0.8 x - 0.2."""
    assert tracking.detrended([0.0, 1.0, 0.0, 3.0]) == pytest.approx([0.2, 0.4, -1.4, 0.8])


def test_a_game_is_looked_at_by_the_generators_steps(monkeypatch) -> None:
    monkeypatch.setattr(tracking, "POINTS", 50)
    monkeypatch.setattr(tracking, "FRESH", 500)
    data = Toy(name="ring", samples=4000, batch_size=8)
    data.setup()
    gan = NSGAN(*networks())
    with torch.random.fork_rng():
        course = tracking.watch(gan, data, 90, 90, lambda r, f: least_js(NSGAN.d_loss(r, f).item()))
    assert course.steps == list(range(2, 91, 2))
    assert len(course.said) == len(course.distance) == len(course.g_loss) == tracking.CHECKS
    assert all(0 < distance < 5 for distance in course.distance)
    assert max(course.said) < 0.694


def test_spread_and_classes_of_known_images() -> None:
    images = torch.zeros(3, 1, 2, 2)
    images[1], images[2] = 1.0, -1.0
    assert robustness.spread(images) == pytest.approx((2 + 2 + 4) / 3)
    logits = torch.nn.functional.one_hot(torch.tensor([0] * 97 + [1] * 2 + [2]), 10).float()
    assert robustness.classes(logits) == 3
    assert robustness.classes(logits, share=0.02) == 2


# What the lab measures of a discriminator near the perfect one, against closed forms and brute force.


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
    logit, d, slope = scored(linear([3.0, 4.0]), x)
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
