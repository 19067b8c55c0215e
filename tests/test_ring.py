"""The ring of 8 Gaussians, minutes long: what covers it, and what does not."""

from statistics import median

import pytest

from tests.ring import Run, annulus, play_all
from zoo.cli.main import ROOT, main
from zoo.metrics import mode_coverage

COVERING = (
    "unrolled_5", "consensus", "gradient_regularized", "wgan_gp", "dragan_one_sided", "instance_noise", "mdgan",
)  # fmt: skip
COLLAPSING = ("minimax", "nsgan", "lsgan", "unrolled_1")


@pytest.mark.slow
def test_dragan_covers_the_ring_from_its_configuration(tmp_path) -> None:
    """Seen once, at 500 kimg and seed 0: all 8 modes, 0.14 of high quality, KL 0.11; an even annulus has 0.02."""
    cli = main([
        "fit", "-c", str(ROOT / "configs/dragan.yaml"), "-c", str(ROOT / "configs/data/ring.yaml"),
        "--model.one_sided=true", "--budget.kimg=500", "--trainer.logger=false", "--trainer.accelerator=cpu",
        f"--trainer.default_root_dir={tmp_path}",
    ])  # fmt: skip
    data = cli.datamodule
    seen = mode_coverage(cli.model.sample(2500, seed=1), data.centres, data.sigma)
    print(f"DRAGAN, one-sided, D 2-128-128-128-1, {cli.model.steps} steps: {seen}")
    assert seen.populated >= 7
    assert seen.high_quality >= 0.09
    assert seen.kl <= 0.2


@pytest.mark.slow
@pytest.mark.parametrize("method", COVERING)
def test_it_covers_the_ring(method: str) -> None:
    """Medians of five seeds; an evenly filled annulus would have all 8 modes, and a share of good samples of 0.02."""
    runs = shown(method)
    assert median(run.modes.populated for run in runs) >= 6
    assert median(run.modes.high_quality for run in runs) >= 0.09


@pytest.mark.slow
@pytest.mark.parametrize("method", COLLAPSING)
def test_it_collapses(method: str) -> None:
    """At most two modes with 20 or more samples in the median of five seeds."""
    assert median(run.modes.populated for run in shown(method)) <= 2


def test_an_even_annulus_has_every_mode_and_hardly_a_good_sample() -> None:
    """8 discs of radius 3σ = 0.06 fill 8 · 0.06² / (2.2² - 1.8²) = 0.018 of it."""
    modes = annulus()
    assert modes.covered == 8
    assert modes.high_quality == pytest.approx(0.018, abs=0.006)


def shown(method: str) -> list[Run]:
    runs = play_all(method)
    print(f"\n{method}\n  " + "\n  ".join(map(str, runs)) + f"\n  even annulus: {annulus()}")
    return runs
