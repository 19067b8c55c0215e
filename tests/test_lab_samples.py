"""How the lab's experiments measure samples: modes reached, exact distances, ranks, spread and classes."""

import json
from pathlib import Path

import pytest
import torch
from scipy import stats

from tests.games import networks
from zoo.datamodules import Toy
from zoo.lab import _ring, mode_collapse, robustness
from zoo.lab import wasserstein_tracks_quality as tracking
from zoo.lab.perfect_discriminator import least_js
from zoo.metrics import ModeCoverage
from zoo.variants.nsgan import NSGAN


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
    course = mode_collapse.Course(3000, [], [ModeCoverage(n, n, 1.0, 0.0) for n in modes], set())
    assert mode_collapse.settled(course) == since


def courses(modes: dict[str, int], good: float) -> dict[str, mode_collapse.Course]:
    """Games with so many modes at the end, 0 for others."""
    shown = {**mode_collapse.PLAIN, **mode_collapse.REMEDIES}
    ends = {name: ModeCoverage(8, modes.get(name, 0), good, 0.0) for name in shown.values()}
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
        coverage = [ModeCoverage(8, int(n), good, 0.0) for n in numbers[f"{name}: modes at 30 checks, of 8"]]
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


def test_a_game_is_looked_at_by_the_generators_steps(monkeypatch) -> None:
    monkeypatch.setattr(tracking, "POINTS", 50)
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
