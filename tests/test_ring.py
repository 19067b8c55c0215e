"""The ring of 8 Gaussians, minutes long: what covers it, and what does not."""

import pytest

from tests.ring import play
from zoo.cli import ROOT, main
from zoo.metrics import mode_coverage


@pytest.mark.slow
def test_dragan_covers_the_ring_from_its_configuration(tmp_path) -> None:
    """Seen once, at 500 kimg and seed 0: all 8 modes, 0.40 of high quality, KL 0.011."""
    cli = main([
        "fit", "-c", str(ROOT / "configs/dragan.yaml"), "-c", str(ROOT / "configs/data/ring.yaml"),
        "--model.one_sided=true", "--budget.kimg=500", "--trainer.logger=false", "--trainer.accelerator=cpu",
        f"--trainer.default_root_dir={tmp_path}",
    ])  # fmt: skip
    data = cli.datamodule
    seen = mode_coverage(cli.model.sample(2500, seed=1), data.centres, data.sigma)
    print(f"DRAGAN, one-sided, D 2-128-128-128-1, {cli.model.steps} steps: {seen}")
    assert seen.populated >= 7
    assert seen.high_quality >= 0.2
    assert seen.kl <= 0.2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_the_plain_game_collapses(seed: int) -> None:
    """Seen once, at seed 0: 1 mode, 0.996 of high quality, KL log 8 = 2.079."""
    seen, gan, seconds = play("nsgan", seed)
    print(f"NSGAN, D 2-128-128-128-1, {gan.steps} steps, {seconds:.0f} s: {seen}")
    assert seen.populated <= 3
