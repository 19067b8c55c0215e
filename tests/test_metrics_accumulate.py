"""Gathered batch by batch, and over ranks, the scores are those of all rows at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.metrics_script import scores
from zoo.cli import ROOT
from zoo.metrics import (
    PRDC,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    ModeHistogram,
    Moments,
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    mode_statistics,
    precision_recall,
)

REAL, FAKE = torch.randn(2, 40, 6, generator=torch.Generator().manual_seed(0)) + torch.tensor([[[0.0]], [[0.4]]])


def gathered(metric, real=REAL, fake=FAKE, batch=7):
    for rows, is_real in ((real, True), (fake, False)):
        for chunk in torch.split(rows, batch):
            metric.update(chunk, real=is_real)
    return metric.compute()


def test_each_is_its_function() -> None:
    assert gathered(FrechetDistance(6)).item() == pytest.approx(frechet_distance(REAL, FAKE).item(), rel=1e-9)
    subsets = {"subsets": 3, "subset_size": 10, "seed": 5}
    torch.testing.assert_close(gathered(KernelDistance(**subsets)), kernel_distance(REAL, FAKE, **subsets))
    found = gathered(PRDC(k=2, density_k=4))
    assert list(found) == ["precision", "recall", "density", "coverage"]
    assert tuple(found.values()) == (*precision_recall(REAL, FAKE, 2), *density_coverage(REAL, FAKE, 4))
    p, metric = FAKE.softmax(1), InceptionScore(splits=4, seed=2)
    for chunk in torch.split(p, 7):
        metric.update(chunk)
    torch.testing.assert_close(metric.compute(), inception_score(p, 4, seed=2), rtol=1e-6, atol=0)
    shares = torch.arange(1.0, 7)
    histogram = ModeHistogram(6, shares)
    for chunk in torch.split(FAKE, 7):
        histogram.update(chunk)
    assert histogram.compute() == mode_statistics(FAKE, 6, shares)


@pytest.mark.parametrize("metric", [FrechetDistance(6), KernelDistance(3, 10), PRDC()], ids=lambda m: type(m).__name__)
def test_batches_and_order_make_no_difference(metric) -> None:
    once = gathered(metric, batch=40)
    metric.reset()
    other = gathered(metric, REAL.flip(0), FAKE[torch.randperm(40)], batch=1)
    torch.testing.assert_close(other, once, rtol=1e-9, atol=1e-12)


def test_a_set_is_no_distance_from_itself() -> None:
    x = torch.randn(300, 6) + 50
    assert gathered(FrechetDistance(6), x, x.flip(0)).item() < 1e-3


def test_known_moments_stand_for_the_real_features(tmp_path) -> None:
    metric = FrechetDistance(6, real=Moments.of(REAL))
    metric.update(FAKE, real=False)
    assert metric.compute().item() == pytest.approx(frechet_distance(REAL, FAKE).item(), rel=1e-9)
    metric.reset()
    metric.update(REAL, real=False)
    assert metric.compute().item() < 1e-6
    with pytest.raises(ValueError, match="the real moments were given"):
        metric.update(REAL, real=True)
    with pytest.raises(ValueError, match="6 columns, dim is 5"):
        FrechetDistance(5, real=Moments.of(REAL))


def test_states_are_float64_whatever_comes_in() -> None:
    metric = FrechetDistance(6).half()  # what Lightning's precision does to modules
    metric.update(REAL.bfloat16(), real=True)
    assert metric.real_outer.dtype == torch.float64
    assert gathered(PRDC(), REAL.half(), FAKE.half())["precision"].dtype == torch.float64


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (FrechetDistance(6), "needs at least 2 rows in each, got 0 real"),
        (KernelDistance(), "KernelDistance: there are no real features"),
        (PRDC(), "PRDC: there are no real features"),
    ],
)
def test_nothing_is_refused(metric, message) -> None:
    metric.update(FAKE, real=False)
    with pytest.raises(ValueError, match=message):
        metric.compute()


@pytest.mark.parametrize("metric", [FrechetDistance(6), KernelDistance(), PRDC()], ids=lambda m: type(m).__name__)
def test_what_is_no_feature_is_refused_at_once(metric) -> None:
    name = type(metric).__name__
    with pytest.raises(ValueError, match=rf"{name}: needs features of shape \(N, .\), got \(4, 6, 1\)"):
        metric.update(torch.zeros(4, 6, 1), real=True)
    with pytest.raises(ValueError, match=f"{name}: NaN"):
        metric.update(torch.full((4, 6), torch.nan), real=True)


def test_two_ranks_equal_one(tmp_path: Path) -> None:
    out = tmp_path / "two"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    commands = [[sys.executable, "-m", "tests.metrics_script", str(rank), "2", str(out)] for rank in range(2)]
    pair = [subprocess.Popen(c, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) for c in commands]
    for process in pair:
        assert process.wait(120) == 0, process.stderr.read()[-3000:]
    alone = scores(0, 1, batch=61)
    assert len(alone) == 9
    for rank in range(2):
        torch.testing.assert_close(torch.load(f"{out}-{rank}.pt"), alone, rtol=0, atol=1e-6)
