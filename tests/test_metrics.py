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
)

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


class TestMoments:
    def test_are_those_of_numpy(self):
        x = normal(30, 4)
        found = Moments.of(x.float())
        assert (found.n, found.mean.dtype) == (30, torch.float64)
        np.testing.assert_allclose(found.covariance, np.cov(x.numpy().T), atol=1e-6)

    def test_merged_are_those_of_both_together(self):
        x, y = normal(7, 3) + 100, 2 * normal(2, 3, 1)
        for found, whole in zip(Moments.of(x).merge(Moments.of(y)), Moments.of(torch.cat([x, y])), strict=True):
            torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(whole), rtol=1e-12, atol=0)

    @pytest.mark.parametrize("rows", [5, 100])  # fewer rows than columns, and more
    def test_give_the_distance_of_the_features(self, rows):
        x, y = normal(rows, 20) @ normal(20, 20, 1), normal(rows, 20, 2) + 1
        whole = frechet_distance(x, y).item()
        for a, b in ((Moments.of(x), Moments.of(y)), (x, Moments.of(y)), (Moments.of(x), y)):
            assert frechet_distance(a, b).item() == pytest.approx(whole, rel=1e-7)
        assert frechet_distance(Moments.of(x), Moments.of(x.flip(0))).item() < 1e-6

    def test_survive_a_file(self, tmp_path):
        kept = Moments.of(normal(9, 3))
        kept.save(tmp_path / "moments.pt")
        loaded = Moments.load(tmp_path / "moments.pt")
        assert loaded.n == 9
        assert all(torch.equal(a, b) for a, b in zip(loaded[1:], kept[1:], strict=True))

    def test_what_has_none_is_refused(self):
        with pytest.raises(ValueError, match=r"N >= 2, got \(1, 3\)"):
            Moments.of(torch.zeros(1, 3))
        with pytest.raises(ValueError, match="NaN"):
            Moments.of(torch.full((3, 3), math.nan))
        with pytest.raises(ValueError, match="4 and 3 columns"):
            frechet_distance(Moments.of(normal(9, 4)), Moments.of(normal(9, 3)))
        with pytest.raises(ValueError, match="NaN"):
            frechet_distance(Moments.of(normal(9, 3)), torch.full((3, 3), math.nan))


class TestKernelDistance:
    def test_worked_by_hand(self):
        # k(u, v) = (uv + 1)^3: within x 1, within y 27, across (1 + 1 + 8 + 27) / 4.
        found = kernel_distance(torch.tensor([[0.0], [1]]), torch.tensor([[1.0], [2]]))
        assert (found.mean.item(), found.std.item()) == (1 + 27 - 2 * 9.25, 0)
        assert float(found) == 9.5

    def test_kernel_worked_by_hand(self):
        # k(u, v) = (2uv + 3)^2: within x 9, within y 49, across (9 + 9 + 25 + 49) / 4.
        x, y = torch.tensor([[0.0], [1]]), torch.tensor([[1.0], [2]])
        assert float(kernel_distance(x, y, degree=2, gamma=2.0, coef=3.0)) == 9 + 49 - 2 * 23

    def test_has_no_bias(self):
        """Of samples of one law it is zero on average; with the diagonal it would be about 2 / 20 at least."""
        found = [float(kernel_distance(normal(20, 2, 2 * i), normal(20, 2, 2 * i + 1))) for i in range(400)]
        assert abs(np.mean(found)) < 3 * np.std(found) / 20
        assert np.std(found) < 1

    def test_subsets_are_small_sets_of_their_own(self):
        x, y = normal(200, 4), normal(150, 4, 1) + 0.5
        found, whole = kernel_distance(x, y, subsets=50, subset_size=40), kernel_distance(x, y)
        assert found.mean.item() == pytest.approx(float(whole), abs=4 * found.std.item() / 50**0.5)
        assert found.std > 0
        assert kernel_distance(x, y, subsets=50, subset_size=40, seed=1).mean != found.mean

    def test_depends_on_neither_order_nor_chunks_nor_the_global_state(self, monkeypatch):
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

    def test_refuses_subsets_that_are_none(self):
        x = normal(9, 2)
        with pytest.raises(ValueError, match=r"subset_size must be in 2\.\.9"):
            kernel_distance(x, x, subsets=2, subset_size=10)
        with pytest.raises(ValueError, match="2 subsets need subset_size"):
            kernel_distance(x, x, subsets=2)


class TestInceptionScore:
    def test_as_many_as_there_are_sure_and_even_classes(self):
        assert float(inception_score(torch.eye(5).repeat(4, 1), splits=1)) == pytest.approx(5)

    def test_one_where_nothing_is_known_or_nothing_varies(self):
        assert float(inception_score(torch.full((20, 4), 0.25), splits=1)) == pytest.approx(1)
        assert float(inception_score(torch.tensor([[0.7, 0.3]]).repeat(9, 1), splits=3)) == pytest.approx(1)

    def test_worked_by_hand(self):
        # marginal (3/4, 1/4); KL of the first is log 4/3, of the second log 2 - (1/2) log 3/4 - (1/2) log 1/4 - 2 log 2
        p = torch.tensor([[1, 0], [0.5, 0.5]], dtype=torch.float64)
        second = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
        expected = math.exp((math.log(4 / 3) + second) / 2)
        assert float(inception_score(p, splits=1)) == pytest.approx(expected, rel=1e-12)

    def test_a_part_of_one_image_scores_one(self):
        found = inception_score(normal(10, 3).softmax(1), splits=10)
        assert found.mean.item() == pytest.approx(1)
        assert found.std.item() == pytest.approx(0, abs=1e-12)

    def test_depends_on_neither_order_nor_the_global_state(self):
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
    def test_refuses_what_are_no_probabilities(self, p, message):
        with pytest.raises(ValueError, match=message):
            inception_score(p, splits=4)


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

    def test_density_and_coverage_worked_by_hand(self):
        # Balls of real that hold -1, 2.5, 17, 19: 1 + 2 + 1 + 0; only [0, 2] holds none.
        density, coverage = density_coverage(self.real, self.fake, k=1)
        assert (density.item(), coverage.item()) == (1, 0.75)

    def test_density_and_coverage_of_second_neighbours_worked_by_hand(self):
        # [-2, 2], [0, 2], [0, 4], [1, 19] hold 1 + 2 + 1 + 1; again only [0, 2] holds none.
        density, coverage = density_coverage(self.real, self.fake, k=2)
        assert (density.item(), coverage.item()) == (5 / 8, 0.75)

    def test_density_of_the_same_law_is_about_one(self):
        density, coverage = density_coverage(normal(1000, 3), normal(1000, 3, 1))
        assert density.item() == pytest.approx(1, abs=0.06)
        assert coverage.item() == pytest.approx(1 - 0.5**5, abs=0.03)  # the paper's expectation at N = M

    def test_all_four_at_once_are_the_two_and_the_two(self):
        real, fake = normal(60, 4, 1), normal(50, 4, 2) + 0.3
        precision, recall, density, coverage = neighbourhoods(real, fake, 3, 5)
        assert (precision, recall) == precision_recall(real, fake, 3)
        assert (density, coverage) == density_coverage(real, fake, 5)

    def test_collapse_is_dense_and_covers_little(self):
        density, coverage = density_coverage(normal(500, 2), 0.01 * normal(500, 2, 1))
        assert density.item() == pytest.approx(1, abs=0.2)
        assert coverage < 0.05

    def test_one_sample_is_enough_for_density(self):
        assert density_coverage(normal(50, 2), torch.full((6, 2), 100.0))[1] == 0

    @pytest.mark.parametrize("offset", [0.0, 1000.0])
    def test_images_that_are_there_many_times_have_balls_of_no_size(self, offset):
        x = normal(40, 9).float() + offset
        precision, recall = precision_recall(x, x[:1].expand(40, -1))
        assert (precision.item(), recall.item()) == (1, 1 / 40)

    @pytest.mark.parametrize("width", [5, 9, 33])
    def test_a_ball_of_no_size_holds_its_copies_however_distances_are_rounded(self, width):
        x = normal(37, width)
        density, coverage = density_coverage(x.repeat(7, 1), x)
        assert (density.item(), coverage.item()) == (7 / 5, 1)

    def test_identical_sets_have_the_density_of_balls_with_their_edge(self):
        x = normal(300, 16)
        precision, recall, density, coverage = neighbourhoods(x, x, 3, 5)
        assert (precision, recall, density, coverage) == (1, 1, 6 / 5, 1)

    def test_an_offset_changes_nothing(self):
        real, fake = normal(200, 8), normal(200, 8, 1) * 0.8
        near, far = neighbourhoods(real, fake), neighbourhoods(real + 3e6, fake + 3e6)
        assert torch.stack(near).tolist() == torch.stack(far).tolist()

    def test_refuses_a_k_that_is_not_there(self):
        with pytest.raises(ValueError, match="k must be at least 1"):
            precision_recall(self.real, self.fake, k=0)
        with pytest.raises(ValueError, match="at least 5 rows"):
            precision_recall(self.real, self.fake, k=4)
        with pytest.raises(ValueError, match="density_coverage: k must"):
            density_coverage(self.real, self.fake, k=0)


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
        assert found.score == pytest.approx(0.58492, abs=5e-6)  # 4/6 · exp(0.56234) / 2, the entropy of 3/4 and 1/4

    def test_share_of_the_mixture_itself(self):
        points = RING.repeat(2500, 1) + 0.02 * normal(20000, 2)
        found = mode_coverage(points, RING, 0.02)
        assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.003)

    def test_without_a_good_point_there_is_no_histogram(self):
        found = mode_coverage(torch.zeros(9, 2), RING, 0.02)
        assert (found.covered, found.populated, found.high_quality) == (0, 0, 0)
        assert math.isnan(found.kl)
        assert found.score == 0

    @pytest.mark.parametrize("sigma", [0, -1, math.nan, math.inf])
    def test_refuses_a_width_that_is_none(self, sigma):
        with pytest.raises(ValueError, match="sigma must be positive"):
            mode_coverage(RING, RING, sigma)


class TestModeStatistics:
    def test_worked_by_hand(self):
        found = mode_statistics(torch.tensor([0, 0, 0, 2]), 4)
        assert (found.covered, found.missing) == (2, 2)
        assert found.kl == pytest.approx(0.75 * math.log(3) + 0.25 * math.log(1))

    def test_against_the_shares_of_the_data(self):
        found = mode_statistics(torch.tensor([0, 0, 0, 2]), 3, torch.tensor([6.0, 0, 2]))
        assert found.kl == pytest.approx(0, abs=1e-15)
        assert mode_statistics(torch.tensor([0, 1]), 3, torch.tensor([6.0, 0, 2])).kl == math.inf

    def test_the_largest_score_tells_the_mode(self):
        assert mode_statistics(torch.tensor([[0.1, 0.9], [0.2, 0.8]]), 2).kl == pytest.approx(math.log(2))

    def test_chance_alone(self):
        modes = torch.randint(1000, (25600,), generator=torch.Generator().manual_seed(0))
        found = mode_statistics(modes, 1000)
        assert found.covered == 1000
        assert found.kl == pytest.approx(999 / 51200, rel=0.1)

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
    def test_refuses_modes_that_are_none(self, modes, message):
        with pytest.raises(ValueError, match=message):
            mode_statistics(modes, 3)

    def test_refuses_shares_that_are_none(self):
        with pytest.raises(ValueError, match="one for each of 3 modes"):
            mode_statistics(torch.tensor([0]), 3, torch.ones(2))


PAIRS = [frechet_distance, kernel_distance, precision_recall, density_coverage, lambda x, y: mode_coverage(x, y, 1.0)]


@pytest.mark.parametrize("metric", PAIRS)
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
