import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from zoo.metrics import frechet_distance, mode_coverage, prdc, precision_recall

RING = torch.tensor([[2 * math.cos(a), 2 * math.sin(a)] for a in torch.arange(8) * math.pi / 4])


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(n: int, d: int, seed: int = 0) -> Tensor:
    """(n, d) with mean zero and unit covariance, not only in expectation."""
    x = normal(n, d, seed)
    return torch.linalg.qr(x - x.mean(0)).Q * math.sqrt(n - 1)


class TestFrechet:
    def test_moved_set_is_as_far_as_it_moved_squared(self):
        x, move = normal(50, 3), torch.tensor([1.0, -2.0, 2.0])
        assert frechet_distance(x, x + move).item() == pytest.approx(9)

    def test_of_independent_axes(self):
        one, other = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([2.0, 0.5, 5.0])
        x, y = whitened(40, 3, 0) * one, whitened(60, 3, 1) * other + torch.tensor([0.0, 0, 3])
        assert frechet_distance(x, y).item() == pytest.approx(1 + 2.25 + 9)

    def test_agrees_with_the_matrix_root_of_scipy(self):
        x, y = normal(80, 6, 0) @ normal(6, 6, 1), normal(90, 6, 2) @ normal(6, 6, 3) + 1
        moved = ((x.mean(0) - y.mean(0)) ** 2).sum().item()
        a, b = np.cov(x.numpy().T), np.cov(y.numpy().T)
        expected = moved + np.trace(a + b - 2 * sqrtm(a @ b).real)
        assert frechet_distance(x, y).item() == pytest.approx(expected, rel=1e-10)

    def test_fewer_rows_than_columns(self):
        plane = torch.linalg.qr(normal(50, 50)).Q[:3]  # three axes of a space of 50
        x = whitened(10, 3, 1) * torch.tensor([1.0, 2, 3]) @ plane
        y = whitened(12, 3, 2) * torch.tensor([2.0, 2, 1]) @ plane
        assert frechet_distance(x, y).item() == pytest.approx(1 + 0 + 4, rel=1e-12)

    @pytest.mark.parametrize("rows", [5, 100])
    def test_to_itself_is_zero(self, rows):
        x = normal(rows, 20)
        assert 0 <= frechet_distance(x, x.flip(0)).item() < 1e-11

    @pytest.mark.parametrize("rows", [5, 100])
    def test_is_symmetric(self, rows):
        x, y = normal(rows, 20, 0), 2 * normal(60, 20, 1) + 1
        assert frechet_distance(x, y).item() == pytest.approx(frechet_distance(y, x).item())

    def test_one_column(self):
        assert frechet_distance(torch.tensor([[0.0], [2]]), torch.tensor([[3.0], [3]])).item() == (
            pytest.approx(4 + 2)  # means 1 and 3, variances 2 and 0
        )

    def test_computes_in_float64(self):
        x = normal(50, 3).float()
        assert frechet_distance(x, x + 1e-3).dtype == torch.float64
        assert frechet_distance(1000 + x, 1000 + x).item() < 1e-9


class TestPrecisionRecall:
    # Balls of real at k = 1: [-1, 1], [0, 2], [1, 3], [2, 18]; of fake: [-5.5, 3.5], [-1, 6],
    # [15, 19], [17, 21].
    real = torch.tensor([[0.0], [1], [2], [10]])
    fake = torch.tensor([[-1.0], [2.5], [17], [19]])

    def test_worked_by_hand(self):
        precision, recall = precision_recall(self.real, self.fake, k=1)
        assert precision.item() == 0.75  # all but 19; -1 lies on the edge of a ball
        assert recall.item() == 0.75  # all but 10

    def test_second_neighbour_worked_by_hand(self):
        # real: [-2, 2], [0, 2], [0, 4], [1, 19]; fake: radii 18, 14.5, 14.5, 16.5 reach all of real
        precision, recall = precision_recall(self.real, self.fake, k=2)
        assert (precision.item(), recall.item()) == (1, 1)

    def test_a_set_covers_itself(self):
        x = normal(300, 40)
        assert precision_recall(x, x) == (1, 1)

    def test_sets_far_apart_share_nothing(self):
        assert precision_recall(normal(50, 2), normal(50, 2) + 100) == (0, 0)

    def test_collapse_is_precise_and_forgets(self):
        real = normal(500, 2)
        precision, recall = precision_recall(real, 0.01 * normal(500, 2, 1))
        assert precision > 0.95
        assert recall < 0.01

    def test_does_not_depend_on_how_the_work_is_cut(self, monkeypatch):
        real, fake = normal(37, 3), normal(41, 3, 1)
        whole = precision_recall(real, fake)
        monkeypatch.setattr(prdc, "_ROWS", 8)
        assert precision_recall(real, fake) == whole
        assert 0 < whole[0] < 1

    def test_refuses_a_k_that_is_not_there(self):
        with pytest.raises(ValueError, match="k must be at least 1"):
            precision_recall(self.real, self.fake, k=0)
        with pytest.raises(ValueError, match="at least 5 rows"):
            precision_recall(self.real, self.fake, k=4)


class TestModeCoverage:
    def test_total_collapse_on_a_ring_of_eight_is_log_eight(self):
        found = mode_coverage(RING[3] + 0.02 * normal(2500, 2).clamp(-2, 2), RING, 0.02)
        assert (found.covered, found.populated, found.high_quality) == (1, 1, 1)
        assert found.kl == pytest.approx(2.0794, abs=5e-5)

    def test_equal_shares_diverge_by_nothing(self):
        found = mode_coverage(RING.repeat(20, 1), RING, 0.02)
        assert (found.covered, found.populated, found.high_quality) == (8, 8, 1)
        assert found.kl == pytest.approx(0, abs=1e-12)

    def test_worked_by_hand(self):
        # Of six points three are good at 0, one at 10; 3.1 sigma is too far, 3 is not.
        points = torch.tensor([[0.0], [0.5], [-3.0], [10.0], [6.9], [3.1]])
        found = mode_coverage(points, torch.tensor([[0.0], [10.0]]), 1.0, enough=3)
        assert (found.covered, found.populated) == (2, 1)
        assert found.high_quality == pytest.approx(4 / 6)
        assert found.kl == pytest.approx(math.log(2) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25))

    def test_share_of_the_mixture_itself(self):
        points = RING.repeat(2500, 1) + 0.02 * normal(20000, 2)
        found = mode_coverage(points, RING, 0.02)
        assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.003)

    def test_without_a_good_point_there_is_no_histogram(self):
        found = mode_coverage(torch.zeros(9, 2), RING, 0.02)
        assert (found.covered, found.populated, found.high_quality) == (0, 0, 0)
        assert math.isnan(found.kl)

    @pytest.mark.parametrize("sigma", [0, -1, math.nan, math.inf])
    def test_refuses_a_width_that_is_none(self, sigma):
        with pytest.raises(ValueError, match="sigma must be positive"):
            mode_coverage(RING, RING, sigma)


@pytest.mark.parametrize("metric", [frechet_distance, precision_recall, lambda x, y: mode_coverage(x, y, 1.0)])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(9, 2), torch.zeros(9, 3), r"\(9, 2\) and \(9, 3\)"),
        (torch.zeros(9), torch.zeros(9), r"shapes \(N, D\) and \(M, D\)"),
        (torch.zeros(0, 2), torch.zeros(9, 2), "rows in each, got 0, 9"),
        (torch.full((9, 2), math.nan), torch.zeros(9, 2), "NaN or infinite"),
        (torch.zeros(9, 2), torch.full((9, 2), math.inf), "NaN or infinite"),
    ],
)
def test_what_cannot_be_compared_is_refused(metric, x, y, message):
    with pytest.raises(ValueError, match=message):
        metric(x, y)


def test_one_row_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2 rows in each, got 1, 9"):
        frechet_distance(torch.zeros(1, 2), torch.zeros(9, 2))
