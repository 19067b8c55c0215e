"""Quality: values, when they are taken, the best, the full measure, and that training does not notice."""

import json
import math
import random
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.callbacks import stopping
from zoo.callbacks.evaluation import Evaluation
from zoo.callbacks.quality import Quality
from zoo.metrics import frechet_distance
from zoo.metrics.features import PixelFeatures
from zoo.metrics.scores import score_name
from zoo.run.loggers import MetricsLog
from zoo.run.schedule import Every

BATCH, BATCHES = 16, 10  # an epoch is 0.16 kimg


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


RING = torch.tensor([[2 * math.cos(a), 2 * math.sin(a)] for a in torch.arange(8) * math.pi / 4])


def normal(n: int, *shape: int, seed: int = 0) -> Tensor:
    """Faint images, which stay in [-1, 1] when they are moved a little."""
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed)).clamp(-4, 4) / 20


class StubData(LightningDataModule):
    """Shuffles training, and starts every pass, by the global random state."""

    def __init__(self, *shape: int, held_out: int = 200) -> None:
        super().__init__()
        self.train_set = TensorDataset(normal(BATCH * BATCHES, *shape, seed=1))
        self.held_out, self.tested = normal(held_out, *shape, seed=2), normal(200, *shape, seed=3)
        self.passes = 0

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_set, batch_size=BATCH, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        self.passes += 1
        return DataLoader(TensorDataset(self.held_out), batch_size=BATCH)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(self.tested), batch_size=BATCH)


class StubGAN(LightningModule):
    """Shows what a GAN shows; makes what it is given, moved by `drift` a batch."""

    def __init__(self, made: Tensor, drift: float = 0.0) -> None:
        super().__init__()
        self.made, self.drift = made, drift
        self.weights = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        self.steps = self.images = 0
        self.draws: list[float] = []

    @property
    def kimg(self) -> float:
        return self.images / 1000

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.draws += [random.random(), np.random.rand(), torch.rand(()).item()]
        self.steps += 1
        self.images += len(batch[0])
        self.log_dict({"loss": 0.0, "progress/kimg": self.kimg})
        return self.weights(batch[0].flatten(1)[:, :2]).square().mean()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None: ...

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def sample(self, n: int, *, seed: int) -> Tensor:
        rows = torch.randint(len(self.made), (n,), generator=torch.Generator().manual_seed(seed))
        return (self.made if n >= len(self.made) else self.made[rows]) + self.drift * self.steps

    def stream(self, n: int, *, seed: int, rows: slice) -> Iterator[Tensor]:
        yield from self.sample(n, seed=seed)[rows].split(16)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["counts"] = (self.steps, self.images)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.steps, self.images = checkpoint["counts"]


class Rows(Logger):
    """Keeps what is logged, as (step, values)."""

    name = version = "rows"

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert step is not None
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def of(self, name: str) -> dict[float, float]:
        """Its values, by kimg."""
        return {row["progress/kimg"]: row[name] for _, row in self.rows if name in row}


class NoisyFeatures(nn.Module):
    """Draws from every global random state."""

    def forward(self, images: Tensor) -> Tensor:
        noise = random.random() + np.random.rand() + torch.rand(len(images), 1)
        return images.flatten(1) + noise


def trainer(*callbacks: Any, epochs: int = 1, **options: Any) -> Trainer:
    defaults: dict[str, Any] = {
        "max_epochs": epochs,
        "accelerator": "cpu",
        "logger": Rows(),
        "log_every_n_steps": 1,
        "callbacks": list(callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in callbacks),
    }
    return Trainer(**(defaults | options))


def fit(gan: StubGAN, data: StubData, *callbacks: Any, **options: Any) -> Trainer:
    made = trainer(*callbacks, **options)
    made.fit(gan, datamodule=data)
    return made


# When


def test_every_rings_once_at_every_multiple_and_goes_on_where_it_was() -> None:
    every = Every(20)
    assert [now for now in range(0, 101, 5) if every.due(now)] == [20, 40, 60, 80, 100]
    every = Every(1)  # a batch may pass many
    assert [every.due(now) for now in (0.9, 5.3, 5.9, 6.1)] == [False, True, False, True]
    every = Every(0.1)  # whose multiples are not exact in binary
    assert [now for now in range(0, 1001, 50) if every.due(now / 1000)] == list(range(100, 1001, 100))
    every = Every(20)
    every.start(40)
    assert [every.due(now) for now in (41, 59, 60, 61)] == [False, False, True, False]
    for kimg in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="positive number of kimg"):
            Every(kimg)


def test_at_the_start_when_due_and_once_at_the_end_on_steps_of_lightning() -> None:
    data, quality, made = StubData(1, 8, 8), Quality(every_kimg=0.05), []
    gan = StubGAN(data.held_out)
    sample = gan.sample
    gan.sample = lambda n, *, seed: made.append(gan.kimg) or sample(n, seed=seed)
    run = fit(gan, data, quality, epochs=2)
    due = [0, 0.064, 0.112, 0.16, 0.208, 0.256, 0.304, 0.32]
    assert list(run.logger.of("fd/pixels8")) == made == due
    assert quality.score_kimg == 0.32
    theirs = {step: row["progress/kimg"] for step, row in run.logger.rows if "loss" in row}
    own = [(step, row) for step, row in run.logger.rows if "fd/pixels8" in row]
    assert [row["progress/kimg"] for _, row in own[1:]] == pytest.approx([theirs[step] for step, _ in own[1:]])
    steps = [step for step, _ in run.logger.rows]
    assert steps == sorted(steps)
    assert (own[0][0], own[-1][0]) == (0, 2 * BATCHES - 1)


def test_a_fit_of_no_steps_measures_nothing() -> None:
    data, quality = StubData(1, 8, 8), Quality()
    fit(StubGAN(data.held_out), data, quality, max_steps=0)
    assert quality.score is None
    assert not quality.measured


def test_a_validation_inside_fit_measures_nothing() -> None:
    data = StubData(1, 8, 8)
    assert list(fit(StubGAN(data.held_out), data, Quality(), epochs=3).logger.of("fd/pixels8")) == [0, 0.48]


def test_a_resumed_run_measures_where_a_whole_one_does_and_another_measure_has_no_best(tmp_path) -> None:
    data = StubData(1, 8, 8)
    fit(StubGAN(data.held_out, drift=-0.01), data, Quality(every_kimg=0.1)).save_checkpoint(path := tmp_path / "a.ckpt")
    quality, again = Quality(every_kimg=0.1), StubGAN(data.held_out, drift=-0.01)
    run = trainer(quality, epochs=2)
    run.fit(again, datamodule=data, ckpt_path=path, weights_only=True)
    assert list(run.logger.of("fd/pixels8")) == [0.16, 0.208, 0.304, 0.32]
    assert (quality.best_score, quality.best_kimg) == (pytest.approx(0, abs=1e-6), 0)
    assert not run.logger.of("best/fd/pixels8")
    other = Quality(n=20)
    with pytest.warns(UserWarning, match="callbacks used to create the checkpoint"):
        trainer(other).validate(again, datamodule=data, ckpt_path=path, weights_only=True, verbose=False)
    assert other.best_score is None


# Values


def test_scores_of_real_images_of_brighter_ones_and_of_the_first_n() -> None:
    data = StubData(1, 8, 8)
    values = fit(StubGAN(data.held_out), data, Quality()).callback_metrics
    assert values["fd/pixels8"] == pytest.approx(0, abs=1e-6)
    assert values["precision/pixels8"] == values["recall/pixels8"] == 1
    colour, quality = StubData(3, 32, 32), Quality()
    fit(StubGAN(colour.held_out + 0.5), colour, quality)
    assert (quality.score, quality.score_name) == (pytest.approx(0.25 * 3 * 64, rel=1e-5), "fd/pixels8")
    quality, gan = Quality(n=20, seed=5), StubGAN(normal(100, 1, 8, 8, seed=9))
    fit(gan, data, quality)
    expected = frechet_distance(gan.sample(20, seed=5).flatten(1), data.held_out[:20].flatten(1))
    assert quality.score == pytest.approx(expected.item())


def test_the_floor_is_training_against_held_out_images_logged_once() -> None:
    data, quality = StubData(1, 8, 8), Quality(every_kimg=0.016, n=160)
    run = fit(StubGAN(data.held_out), data, quality)
    floor = frechet_distance(data.train_set.tensors[0].flatten(1), data.held_out[:160].flatten(1)).item()
    assert run.logger.of("fd/pixels8_real") == {0: pytest.approx(floor)}
    assert data.passes == 3  # Lightning's, and two looks of Quality
    assert f"real images score {floor:.4g}" in quality.summary()


def test_points_are_their_own_features_and_may_have_modes() -> None:
    data, quality = StubData(2), Quality()
    data.centres, data.sigma = RING, 0.02
    values = fit(StubGAN(RING[:1] + 0.01 * normal(40, 2).clamp(-2, 2)), data, quality).callback_metrics
    assert quality.score_name == "fd/points"
    assert (values["modes/covered"], values["modes/high_quality"]) == (1, 1)
    assert values["modes/score"] == pytest.approx(1 / 8)  # all good, on one of 8 modes
    assert values["modes/kl"] == pytest.approx(math.log(8))
    data = StubData(2)
    data.centres = data.sigma = None
    values = fit(StubGAN(data.held_out), data, Quality()).callback_metrics
    assert "fd/points" in values
    assert not [name for name in values if name.startswith("modes")]


def test_own_features_name_themselves_and_are_frozen_and_evaluated() -> None:
    data = StubData(1, 8, 8)
    run = fit(StubGAN(data.held_out), data, Quality(features=NoisyFeatures()))
    assert {"fd/noisy_features", "recall/noisy_features"} <= run.callback_metrics.keys()
    named = NoisyFeatures()
    named.name = "v2"
    assert Quality(features=named).score_name == "fd/v2"
    features = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Dropout())
    quality = Quality(features=features)
    fit(StubGAN(data.held_out), data, quality)
    assert not features.training
    assert not any(p.requires_grad for p in features.parameters())
    assert quality.score == pytest.approx(0, abs=1e-6)


# The best


def test_the_best_is_logged_kept_and_summarised(tmp_path) -> None:
    """The samples move past the images: from -0.45 over 0 to 0.45 and 0.55."""
    data, quality = StubData(1, 8, 8), Quality(every_kimg=0.016)
    keep = ModelCheckpoint(tmp_path, "{step}", monitor="fd/pixels8", every_n_train_steps=1)
    run = fit(StubGAN(data.held_out - 0.5, drift=0.1), data, quality, keep)
    scores, best = run.logger.of("fd/pixels8"), run.logger.of("best/fd/pixels8")
    assert list(best) == [0, 0.016, 0.032, 0.048, 0.064, 0.08]
    assert all(scores[kimg] == value for kimg, value in best.items())
    assert (quality.best_score, quality.best_kimg) == (min(scores.values()), 0.08)
    assert scores[0.016] == pytest.approx(0.16 * 64, rel=1e-4)
    assert "best" in quality.summary()
    assert "at 0.08 kimg" in quality.summary()
    assert keep.best_model_path.endswith("step=5.ckpt")
    assert keep.best_model_score.item() == pytest.approx(quality.best_score, abs=1e-6)


def test_nan_is_logged_with_a_warning_and_is_never_the_best() -> None:
    data, quality = StubData(2), Quality(every_kimg=0.08)
    data.centres, data.sigma = RING, 0.02
    with pytest.warns(UserWarning, match="not finite"):
        run = fit(StubGAN(torch.full((40, 2), math.nan)), data, quality)
    assert quality.best_score is None
    for name in ("fd/points", "precision/points", "recall/points", "modes/covered", "modes/kl"):
        assert math.isnan(run.callback_metrics[name])
    assert run.global_step == BATCHES


@pytest.mark.parametrize(("best_by", "best"), [(None, 0.08), ("modes/score", 0.08), ("fd", 0.0)])
def test_of_points_with_modes_good_samples_count_first(best_by: str | None, best: float, capsys) -> None:
    ring = RING.repeat(25, 1) + 0.01 * normal(200, 2)
    even = RING.repeat(25, 1) @ torch.tensor([[0.92, 0.38], [-0.38, 0.92]])  # as far from the mean, between the modes
    data, quality = StubData(2), Quality(every_kimg=0.08, best_by=best_by)
    data.held_out, data.centres, data.sigma = ring, RING, 0.02
    gan = StubGAN(even)
    gan.sample = lambda n, seed: even if gan.steps == 0 else torch.cat([ring[::8]] * 2 + [even[:150]])
    run = fit(gan, data, quality)
    assert run.logger.of("fd/points")[0] < 0.01 < run.logger.of("fd/points")[0.08]
    assert (quality.chosen_name, quality.best_kimg) == ("fd/points" if best_by == "fd" else "modes/score", best)
    assert list(run.logger.of("best/fd/points")) == ([0] if best_by == "fd" else [0, 0.08])
    assert "modes 1 of 8  good samples 25%" in capsys.readouterr().err  # 50 of 200, all on one
    assert "modes 1 of 8, good samples 25%, best " in quality.summary()
    assert ("best by modes/score 0.03125 at 0.08 kimg" in quality.summary()) == (best_by != "fd")  # 1/4 · 1/8


def test_the_zoos_early_stopping_follows_best_by() -> None:
    data, stop = StubData(2), stopping.EarlyStopping(patience=2)
    data.centres, data.sigma = RING, 0.02
    gan = StubGAN(RING[:2].repeat(20, 1))
    fit(gan, data, Quality(every_kimg=0.016), stop)
    assert gan.steps == 3  # the first sets the mark, two are not better
    assert stop.reason.startswith(
        "modes/score did not rise above 0.25 in 2 measurements"
    )  # all good, on two of 8 modes


def test_early_stopping_sees_it_from_the_first_epoch() -> None:
    data = StubData(1, 8, 8)
    stop = EarlyStopping("fd/pixels8", patience=2, strict=True)
    run = fit(StubGAN(data.held_out, drift=0.01), data, Quality(every_kimg=0.16), stop, epochs=9)
    assert run.current_epoch == 3  # the first sets the mark, two are worse


# Validation, the full measure, and what a row says of itself


def test_validate_and_test_return_the_values_and_leave_the_best_alone(capsys) -> None:
    data, quality = StubData(1, 8, 8), Quality()
    (values,) = trainer(quality).validate(StubGAN(data.held_out + 0.7), datamodule=data, verbose=False)
    assert values["full/fd/pixels8"] == pytest.approx(0.49 * 64, rel=1e-4)
    row = r" +0 kimg  fd/pixels8 31\.36  kd \S+  precision \S+  recall 0  density \S+  coverage 0  \(val, 1000\)"
    assert re.fullmatch(row, capsys.readouterr().err.splitlines()[-1])
    assert values["full/recall/pixels8"] == 0
    assert {"full/kd/pixels8", "full/precision/pixels8", "progress/kimg"} <= values.keys()
    assert (quality.best_score, quality.score) == (None, pytest.approx(0.49 * 64, rel=1e-4))
    (values,) = trainer(Quality()).test(StubGAN(data.tested), datamodule=data, verbose=False)
    assert values["full/fd/pixels8"] == pytest.approx(0, abs=1e-6)


def test_the_full_measure_finds_copies_of_training_images() -> None:
    data = StubData(1, 8, 8)
    copies = StubGAN(data.train_set.tensors[0])
    (values,) = trainer(Quality(scores=["fd_inf", "authpct"])).validate(copies, datamodule=data, verbose=False)
    assert values["full/authpct/pixels8"] == 0
    assert 5 < values["full/authpct/pixels8_real"] < 95
    assert "full/fd_inf/pixels8" in values


def test_a_full_measure_ends_a_run_as_long_as_itself() -> None:
    data = StubData(1, 8, 8)
    run = fit(StubGAN(data.held_out + 0.5), data, Quality(full_n=160))
    assert run.logger.of("full/fd/pixels8") == {0.16: pytest.approx(0.25 * 64, rel=0.05)}
    assert {"full/kd/pixels8", "full/density/pixels8", "full/recall/pixels8"} <= run.callback_metrics.keys()
    assert not fit(StubGAN(data.held_out), data, Quality(full_n=161)).logger.of("full/fd/pixels8")


def test_no_full_measure_with_fewer_images_than_features(capsys) -> None:
    data = StubData(1, 8, 8, held_out=64)
    run = fit(StubGAN(data.held_out), data, Quality(full_n=100))
    assert "pixels8 has 64 features, more than the 64 val images" in capsys.readouterr().err
    assert not run.logger.of("full/fd/pixels8")
    with pytest.raises(ValueError, match="Quality: pixels8 has 64 features, more than the 64 val images"):
        trainer(Quality()).validate(StubGAN(data.held_out), datamodule=data, verbose=False)


def test_every_measurement_says_what_it_depends_on(tmp_path) -> None:
    data = StubData(1, 8, 8)
    fit(StubGAN(data.held_out), data, Quality(n=20, full_n=150, seed=3), logger=MetricsLog(tmp_path))
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [row["kimg"] for row in rows] == [0, 0.16, 0.16]
    assert [(row["n_real"], row["n_fake"]) for row in rows] == [(20, 20), (20, 20), (150, 150)]
    assert [row["fewer_samples_than_features"] for row in rows] == [True, True, False]
    told = {"extractor": "pixels8", "split": "val", "seed": 3, "ema": False}
    for row in rows:
        assert {**told, "preprocessing": "averaged to at most 8x8"}.items() <= row.items()
        assert len(row["fingerprint"]) == 16
    assert "full/fd/pixels8" in rows[2]["scores"]


def test_the_features_of_the_same_images_are_taken_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path))
    looked, real = [], PixelFeatures.extract
    monkeypatch.setattr(PixelFeatures, "extract", lambda self, x: looked.append(len(x)) or real(self, x))
    data = StubData(1, 8, 8)

    def seen(images: Tensor) -> Tensor:
        return Evaluation(PixelFeatures(), images, "val", n=10, scores=["fd"]).real.features

    assert torch.equal(seen(data.held_out), seen(data.held_out.clone()))
    assert sum(looked) == 200
    seen(data.held_out + 0.1)
    assert sum(looked) == 400
    half, _ = (tmp_path / "features").glob("*.npz")
    half.write_bytes(half.read_bytes()[:100])
    seen(data.held_out), seen(data.held_out + 0.1)
    assert sum(looked) == 600


def test_only_inceptions_scores_have_the_published_names() -> None:
    names = [score_name(s, "inception-v3-compat") for s in ("fd", "kd", "is", "recall")]
    assert names == ["fid", "kid", "is", "recall"]
    assert [score_name(s, "fashion-cnn") for s in ("fd", "is")] == ["fd/fashion-cnn", "is/fashion-cnn"]


# Training does not notice


def test_training_is_bit_for_bit_the_same() -> None:
    def played(*callbacks: Any) -> tuple[StubGAN, list[Any]]:
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        data = StubData(1, 8, 8)
        gan = StubGAN(data.held_out)
        gan.weights[1].eval()  # a mode of its own, to be left so
        modes: list[list[bool]] = []
        gan.on_train_batch_end = lambda *args: modes.append([m.training for m in gan.modules()])
        fit(gan, data, *callbacks, epochs=2)
        return gan, [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist(), modes]

    plain, states = played()
    watched, after = played(Quality(every_kimg=0.016, features=NoisyFeatures()))
    assert watched.draws == plain.draws
    assert torch.equal(watched.weights[0].weight, plain.weights[0].weight)
    assert after == states


def test_refusals() -> None:
    with pytest.raises(ValueError, match="n must be at least 6, got 5"):
        Quality(n=5)
    with pytest.raises(
        ValueError, match="unknown score 'fdd', choose from fd, fd_inf, kd, is, prdc, authpct, fid, fid_inf and kid"
    ):
        Quality(scores=["fdd"])
    with pytest.raises(ValueError, match="'fid' is not one of fd, precision"):
        Quality(best_by="fid")
    with pytest.raises(ValueError, match="best_by: modes/score needs points"):
        fit(StubGAN(StubData(2).held_out), StubData(2), Quality(best_by="modes/score"))
    data = StubData(1, 8, 8)
    with pytest.raises(ValueError, match="datamodule="):
        trainer(Quality()).fit(StubGAN(data.held_out), data.train_dataloader())


def test_few_held_out_images_are_measured_with_a_word_of_caution_or_not_at_all(capsys) -> None:
    gan, data, quality = StubGAN(normal(9, 1, 8, 8)), StubData(1, 8, 8, held_out=5), Quality(every_kimg=0.05)
    run = fit(gan, data, quality)
    said = capsys.readouterr().err
    assert "no scores and no best.ckpt: there are 160 train and 5 val images, and at least 6" in said
    assert (gan.steps, quality.score, quality.best_kimg) == (BATCHES, None, None)
    assert not [name for name in run.callback_metrics if "pixels8" in name]
    with pytest.raises(ValueError, match="5 val images"):
        trainer(Quality()).validate(gan, datamodule=data, verbose=False)
    data, quality = StubData(1, 8, 8, held_out=20), Quality()
    fit(StubGAN(data.held_out), data, quality)
    said = capsys.readouterr().err
    assert "few val images, 20 for 64 features: fd/pixels8 is biased upwards" in said
    assert "multiples of 1/20" in said
    assert quality.best_score is not None


def test_each_score_is_a_row_and_the_summary_is_shown_at_the_end(capsys) -> None:
    data, quality = StubData(1, 8, 8), Quality()
    assert quality.summary() == "fd/pixels8: not measured yet"
    fit(StubGAN(data.held_out + 0.5), data, quality)
    *_, first, last, end = [line for line in capsys.readouterr().err.splitlines() if "fd/pixels8" in line]
    assert re.fullmatch(r" +0 kimg  fd/pixels8 16  precision [0-9.]+  recall [0-9.]+  \(best\)", first)
    assert re.fullmatch(r" +0.16 kimg  fd/pixels8 16  precision [0-9.]+  recall [0-9.]+", last)
    assert re.fullmatch(rf"Quality: {re.escape(quality.summary())}; measuring took [0-9.]+% of the time", end)
    assert quality.summary().startswith("fd/pixels8 16 at 0.16 kimg, best 16 at 0 kimg, recall 0.00 (")
