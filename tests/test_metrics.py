"""Distances and scores against numbers worked by hand, closed forms and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from zoo.metrics import (
    Moments,
    density_coverage,
    frechet_distance,
    inception_score,
    kernel,
    kernel_distance,
    mode_coverage,
    mode_statistics,
    neighbourhoods,
    prdc,
    precision_recall,
)  # fmt: skip

RING = torch.tensor([[2 * math.cos(a), 2 * math.sin(a)] for a in torch.arange(8) * math.pi / 4])


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(n: int, d: int, seed: int = 0) -> Tensor:
    """(n, d) with mean zero and unit covariance, not only in expectation."""
    x = normal(n, d, seed)
    return torch.linalg.qr(x - x.mean(0)).Q * math.sqrt(n - 1)


# The Fréchet distance, and moments


def test_frechet_distances_worked_by_hand() -> None:
    x, move = normal(50, 3), torch.tensor([1.0, -2.0, 2.0])
    assert frechet_distance(x, x + move).item() == pytest.approx(9)
    one, other = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([2.0, 0.5, 5.0])
    x, y = whitened(40, 3, 0) * one, whitened(60, 3, 1) * other + torch.tensor([0.0, 0, 3])
    assert frechet_distance(x, y).item() == pytest.approx(1 + 2.25 + 9)
    x, y = torch.tensor([[0.0], [2]]), torch.tensor([[3.0], [3]])  # means 1 and 3, variances 2 and 0
    assert frechet_distance(x, y).item() == pytest.approx(4 + 2)
    plane = torch.linalg.qr(normal(50, 50)).Q[:3]  # fewer rows than columns: three axes of a space of 50
    x = whitened(10, 3, 1) * torch.tensor([1.0, 2, 3]) @ plane
    y = whitened(12, 3, 2) * torch.tensor([2.0, 2, 1]) @ plane
    assert frechet_distance(x, y).item() == pytest.approx(1 + 0 + 4, rel=1e-12)


def test_the_frechet_distance_agrees_with_the_matrix_root_of_scipy() -> None:
    x, y = normal(80, 6, 0) @ normal(6, 6, 1), normal(90, 6, 2) @ normal(6, 6, 3) + 1
    moved = ((x.mean(0) - y.mean(0)) ** 2).sum().item()
    a, b = np.cov(x.numpy().T), np.cov(y.numpy().T)
    expected = moved + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(x, y).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("rows", [5, 100])  # fewer rows than columns, and more
def test_the_frechet_distance_is_one_and_that_of_the_moments(rows: int) -> None:
    x, y = normal(rows, 20) @ normal(20, 20, 1), 2 * normal(60, 20, 2) + 1
    whole = frechet_distance(x, y).item()
    assert 0 <= frechet_distance(x, x.flip(0)).item() < 1e-9
    assert frechet_distance(y, x).item() == pytest.approx(whole)
    for a, b in ((Moments.of(x), Moments.of(y)), (x, Moments.of(y)), (Moments.of(x), y)):
        assert frechet_distance(a, b).item() == pytest.approx(whole, rel=1e-7)
    assert frechet_distance(Moments.of(x), Moments.of(x.flip(0))).item() < 1e-6


def test_the_frechet_distance_is_computed_in_float64() -> None:
    x = normal(50, 3).float()
    assert frechet_distance(x, x + 1e-3).dtype == torch.float64
    assert frechet_distance(1000 + x, 1000 + x).item() < 1e-9


def test_moments_are_those_of_numpy_merge_and_survive_a_file(tmp_path) -> None:
    x, y = normal(30, 4), 2 * normal(2, 4, 1) + 100
    found = Moments.of(x.float())
    assert (found.n, found.mean.dtype) == (30, torch.float64)
    np.testing.assert_allclose(found.covariance, np.cov(x.numpy().T), atol=1e-6)
    for merged, whole in zip(Moments.of(x).merge(Moments.of(y)), Moments.of(torch.cat([x, y])), strict=True):
        torch.testing.assert_close(torch.as_tensor(merged), torch.as_tensor(whole), rtol=1e-12, atol=0)
    found.save(tmp_path / "moments.pt")
    loaded = Moments.load(tmp_path / "moments.pt")
    assert loaded.n == 30
    assert all(torch.equal(a, b) for a, b in zip(loaded[1:], found[1:], strict=True))


def test_moments_that_are_none_are_refused() -> None:
    for build, words in (
        (lambda: Moments.of(torch.zeros(1, 3)), r"N >= 2, got \(1, 3\)"),
        (lambda: Moments.of(torch.full((3, 3), math.nan)), "NaN"),
        (lambda: frechet_distance(Moments.of(normal(9, 4)), Moments.of(normal(9, 3))), "4 and 3 columns"),
        (lambda: frechet_distance(Moments.of(normal(9, 3)), torch.full((3, 3), math.nan)), "NaN"),
        (lambda: frechet_distance(torch.zeros(1, 2), torch.zeros(9, 2)), "at least 2 rows in each, got 1, 9"),
    ):
        with pytest.raises(ValueError, match=words):
            build()


# The kernel distance


def test_kernel_distances_worked_by_hand() -> None:
    x, y = torch.tensor([[0.0], [1]]), torch.tensor([[1.0], [2]])
    # k(u, v) = (uv + 1)^3: within x 1, within y 27, across (1 + 1 + 8 + 27) / 4.
    found = kernel_distance(x, y)
    assert (found.mean.item(), found.std.item()) == (1 + 27 - 2 * 9.25, 0)
    assert float(found) == 9.5
    # k(u, v) = (2uv + 3)^2: within x 9, within y 49, across (9 + 9 + 25 + 49) / 4.
    assert float(kernel_distance(x, y, degree=2, gamma=2.0, coef=3.0)) == 9 + 49 - 2 * 23


def test_the_kernel_distance_has_no_bias() -> None:
    """Of samples of one law it is zero on average; with the diagonal it would be about 2 / 20 at least."""
    found = [float(kernel_distance(normal(20, 2, 2 * i), normal(20, 2, 2 * i + 1))) for i in range(400)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 20
    assert np.std(found) < 1


def test_subsets_are_small_sets_of_their_own() -> None:
    x, y = normal(200, 4), normal(150, 4, 1) + 0.5
    found, whole = kernel_distance(x, y, subsets=50, subset_size=40), kernel_distance(x, y)
    assert found.mean.item() == pytest.approx(float(whole), abs=4 * found.std.item() / 50**0.5)
    assert found.std > 0
    assert kernel_distance(x, y, subsets=50, subset_size=40, seed=1).mean != found.mean
    with pytest.raises(ValueError, match=r"subset_size must be in 2\.\.150"):
        kernel_distance(x, y, subsets=2, subset_size=151)
    with pytest.raises(ValueError, match="2 subsets need subset_size"):
        kernel_distance(x, y, subsets=2)


def test_the_kernel_distance_depends_on_neither_order_nor_chunks_nor_the_global_state(monkeypatch) -> None:
    x, y = normal(90, 4).relu(), normal(80, 4, 1)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    found = kernel_distance(x, y, subsets=5, subset_size=30)
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(kernel, "_ROWS", 6)
    torch.manual_seed(1)
    again = kernel_distance(x.flip(0), y[torch.randperm(80)], subsets=5, subset_size=30)
    assert again.mean.item() == pytest.approx(found.mean.item(), rel=1e-12)
    assert again.std.item() == pytest.approx(found.std.item(), rel=1e-12)


# The Inception Score


def test_inception_scores_worked_by_hand() -> None:
    assert float(inception_score(torch.eye(5).repeat(4, 1), splits=1)) == pytest.approx(5)  # sure and even classes
    assert float(inception_score(torch.full((20, 4), 0.25), splits=1)) == pytest.approx(1)  # nothing is known
    assert float(inception_score(torch.tensor([[0.7, 0.3]]).repeat(9, 1), splits=3)) == pytest.approx(1)
    # marginal (3/4, 1/4); KL of the first is log 4/3, of the second log 2 - (1/2) log 3/4 - (1/2) log 1/4 - 2 log 2
    p = torch.tensor([[1, 0], [0.5, 0.5]], dtype=torch.float64)
    second = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    expected = math.exp((math.log(4 / 3) + second) / 2)
    assert float(inception_score(p, splits=1)) == pytest.approx(expected, rel=1e-12)
    found = inception_score(normal(10, 3).softmax(1), splits=10)  # a part of one image scores one
    assert (found.mean.item(), found.std.item()) == (pytest.approx(1), pytest.approx(0, abs=1e-12))


def test_the_inception_score_depends_on_neither_order_nor_the_global_state() -> None:
    p = (3 * normal(60, 4)).softmax(1)
    torch.manual_seed(0)
    found = inception_score(p, splits=7)
    torch.manual_seed(1)
    assert inception_score(p.flip(0), splits=7).mean.item() == pytest.approx(float(found), rel=1e-12)
    assert inception_score(p, splits=7, seed=1).mean != found.mean
    assert found.std > 0


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (torch.tensor([[2.0, -1.0]]), "no probabilities"),
        (torch.tensor([[0.5, 0.6]]), "no probabilities"),
        (torch.tensor([[math.nan, 1]]), "NaN"),
        (torch.ones(3), r"shape \(N, K\), got \(3,\)"),
        (torch.full((3, 2), 0.5), "splits must be in 1..3"),
    ],
)
def test_what_are_no_probabilities_is_refused(p, message) -> None:
    with pytest.raises(ValueError, match=message):
        inception_score(p, splits=4)


# Precision, recall, density and coverage

# Balls of REAL at k = 1: [-1, 1], [0, 2], [1, 3], [2, 18]; of FAKE: [-5.5, 3.5], [-1, 6], [15, 19], [17, 21]. At k = 2
# those of REAL are [-2, 2], [0, 2], [0, 4], [1, 19]; radii of FAKE of 18, 14.5, 14.5 and 16.5 reach all of REAL.
REAL = torch.tensor([[0.0], [1], [2], [10]])
FAKE = torch.tensor([[-1.0], [2.5], [17], [19]])


def test_balls_worked_by_hand() -> None:
    assert precision_recall(REAL, FAKE, k=1) == (0.75, 0.75)  # all but 19, -1 on the edge of a ball; all but 10
    assert precision_recall(REAL, FAKE, k=2) == (1, 1)
    # Balls of REAL that hold -1, 2.5, 17, 19: 1 + 2 + 1 + 0 and 1 + 2 + 1 + 1; only [0, 2] holds none.
    assert density_coverage(REAL, FAKE, k=1) == (1, 0.75)
    assert density_coverage(REAL, FAKE, k=2) == (5 / 8, 0.75)


def test_balls_of_sets_that_are_alike_apart_or_collapsed() -> None:
    x = normal(300, 16)
    assert neighbourhoods(x, x, 3, 5) == (1, 1, 6 / 5, 1)  # balls with their edge
    assert precision_recall(normal(50, 2), normal(50, 2) + 100) == (0, 0)
    assert density_coverage(normal(50, 2), torch.full((6, 2), 100.0))[1] == 0
    real, collapsed = normal(500, 2), 0.01 * normal(500, 2, 1)
    precision, recall, density, coverage = neighbourhoods(real, collapsed, 3, 5)
    assert (precision > 0.95, recall < 0.01, coverage < 0.05) == (True, True, True)
    assert density.item() == pytest.approx(1, abs=0.2)
    density, coverage = density_coverage(normal(1000, 3), normal(1000, 3, 1))
    assert density.item() == pytest.approx(1, abs=0.06)
    assert coverage.item() == pytest.approx(1 - 0.5**5, abs=0.03)  # the paper's expectation at N = M


def test_all_four_at_once_are_the_two_and_the_two_however_the_work_is_cut(monkeypatch) -> None:
    real, fake = normal(60, 4, 1), normal(50, 4, 2) + 0.3
    whole = neighbourhoods(real, fake, 3, 5)
    assert whole == (*precision_recall(real, fake, 3), *density_coverage(real, fake, 5))
    assert 0 < whole[0] < 1
    monkeypatch.setattr(prdc, "_ROWS", 8)
    assert neighbourhoods(real, fake, 3, 5) == whole


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_images_that_are_there_many_times_have_balls_of_no_size(offset: float) -> None:
    x = normal(40, 9).float() + offset
    precision, recall = precision_recall(x, x[:1].expand(40, -1))
    assert (precision.item(), recall.item()) == (1, 1 / 40)


@pytest.mark.parametrize("width", [5, 9, 33])
def test_a_ball_of_no_size_holds_its_copies_however_distances_are_rounded(width: int) -> None:
    x = normal(37, width)
    density, coverage = density_coverage(x.repeat(7, 1), x)
    assert (density.item(), coverage.item()) == (7 / 5, 1)


def test_an_offset_changes_nothing() -> None:
    real, fake = normal(200, 8), normal(200, 8, 1) * 0.8
    near, far = neighbourhoods(real, fake), neighbourhoods(real + 3e6, fake + 3e6)
    assert torch.stack(near).tolist() == torch.stack(far).tolist()


def test_a_k_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        precision_recall(REAL, FAKE, k=0)
    with pytest.raises(ValueError, match="at least 5 rows"):
        precision_recall(REAL, FAKE, k=4)
    with pytest.raises(ValueError, match="density_coverage: k must"):
        density_coverage(REAL, FAKE, k=0)


# Modes


def test_modes_covered_worked_by_hand() -> None:
    found = mode_coverage(RING[3] + 0.02 * normal(2500, 2).clamp(-2, 2), RING, 0.02)
    assert (found.covered, found.populated, found.high_quality) == (1, 1, 1)
    assert found.kl == pytest.approx(2.0794, abs=5e-5)  # log 8
    found = mode_coverage(RING.repeat(20, 1), RING, 0.02)
    assert (found.covered, found.populated, found.high_quality) == (8, 8, 1)
    assert found.kl == pytest.approx(0, abs=1e-12)
    # Of six points three are good at 0, one at 10; 3.1 sigma is too far, 3 is not.
    points = torch.tensor([[0.0], [0.5], [-3.0], [10.0], [6.9], [3.1]])
    found = mode_coverage(points, torch.tensor([[0.0], [10.0]]), 1.0, enough=3)
    assert (found.covered, found.populated, found.high_quality) == (2, 1, pytest.approx(4 / 6))
    assert found.kl == pytest.approx(math.log(2) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found.score == pytest.approx(0.58492, abs=5e-6)  # 4/6 · exp(0.56234) / 2, the entropy of 3/4 and 1/4
    found = mode_coverage(RING.repeat(2500, 1) + 0.02 * normal(20000, 2), RING, 0.02)  # the mixture itself
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.003)
    found = mode_coverage(torch.zeros(9, 2), RING, 0.02)  # without a good point there is no histogram
    assert (found.covered, found.populated, found.high_quality, found.score) == (0, 0, 0, 0)
    assert math.isnan(found.kl)


@pytest.mark.parametrize("sigma", [0, -1, math.nan, math.inf])
def test_a_width_that_is_none_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma must be positive"):
        mode_coverage(RING, RING, sigma)


def test_mode_statistics_worked_by_hand() -> None:
    found = mode_statistics(torch.tensor([0, 0, 0, 2]), 4)
    assert (found.covered, found.missing) == (2, 2)
    assert found.kl == pytest.approx(0.75 * math.log(3) + 0.25 * math.log(1))
    shares = torch.tensor([6.0, 0, 2])  # of the data
    assert mode_statistics(torch.tensor([0, 0, 0, 2]), 3, shares).kl == pytest.approx(0, abs=1e-15)
    assert mode_statistics(torch.tensor([0, 1]), 3, shares).kl == math.inf
    assert mode_statistics(torch.tensor([[0.1, 0.9], [0.2, 0.8]]), 2).kl == pytest.approx(math.log(2))  # by scores
    found = mode_statistics(torch.randint(1000, (25600,), generator=torch.Generator().manual_seed(0)), 1000)
    assert (found.covered, found.kl) == (1000, pytest.approx(999 / 51200, rel=0.1))  # chance alone


@pytest.mark.parametrize(
    ("modes", "message"),
    [
        (torch.tensor([0, 3]), r"in 0\.\.2, got 0\.\.3"),
        (torch.tensor([-1, 0]), r"in 0\.\.2, got -1\.\.0"),
        (torch.zeros(4), r"integers \(N,\) or scores \(N, 3\), got \(4,\)"),
        (torch.zeros(4, 2), r"got \(4, 2\)"),
        (torch.full((4, 3), math.nan), "NaN"),
        (torch.zeros(0, dtype=torch.int64), "at least one sample"),
    ],
)
def test_modes_that_are_none_are_refused(modes, message) -> None:
    with pytest.raises(ValueError, match=message):
        mode_statistics(modes, 3)
    with pytest.raises(ValueError, match="one for each of 3 modes"):
        mode_statistics(torch.tensor([0]), 3, torch.ones(2))


PAIRS = [frechet_distance, kernel_distance, precision_recall, density_coverage, lambda x, y: mode_coverage(x, y, 1.0)]


@pytest.mark.parametrize("metric", PAIRS)
def test_what_cannot_be_compared_is_refused(metric) -> None:
    for x, y, message in (
        (torch.zeros(9, 2), torch.zeros(9, 3), r"\(9, 2\) and \(9, 3\)"),
        (torch.zeros(9), torch.zeros(9), r"shapes \(N, D\) and \(M, D\)"),
        (torch.zeros(0, 2), torch.zeros(9, 2), "rows in each, got 0, 9"),
        (torch.full((9, 2), math.nan), torch.zeros(9, 2), "NaN or infinite"),
        (torch.zeros(9, 2), torch.full((9, 2), math.inf), "NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=message):
            metric(x, y)
