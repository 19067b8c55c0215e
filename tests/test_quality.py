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

from zoo.callbacks.quality import Quality
from zoo.metrics import frechet_distance
from zoo.metrics.features import PixelFeatures
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


class TestEvery:
    def test_rings_at_every_multiple(self):
        every = Every(20)
        rings = [now for now in range(0, 101, 5) if every.due(now)]
        assert rings == [20, 40, 60, 80, 100]

    def test_rings_once_when_one_batch_passes_many(self):
        every = Every(1)
        assert [every.due(now) for now in (0.9, 5.3, 5.9, 6.1)] == [False, True, False, True]

    def test_counts_multiples_that_are_not_exact_in_binary(self):
        every = Every(0.1)
        rings = [now for now in range(0, 1001, 50) if every.due(now / 1000)]
        assert rings == list(range(100, 1001, 100))

    def test_resumes_where_it_was(self):
        every = Every(20)
        every.start(40)
        assert [every.due(now) for now in (41, 59, 60, 61)] == [False, False, True, False]

    @pytest.mark.parametrize("kimg", [0, -1, math.nan, math.inf])
    def test_refuses_a_period_that_is_none(self, kimg):
        with pytest.raises(ValueError, match="positive number of kimg"):
            Every(kimg)


class TestValues:
    def test_the_real_images_themselves_are_perfect(self):
        data = StubData(1, 8, 8)
        run = fit(StubGAN(data.held_out), data, Quality())
        values = run.callback_metrics
        assert values["fd/pixels8"] == pytest.approx(0, abs=1e-6)
        assert values["precision/pixels8"] == values["recall/pixels8"] == 1

    def test_brighter_by_a_constant_is_as_far_as_its_square_times_the_pixels(self):
        data, quality = StubData(3, 32, 32), Quality()
        fit(StubGAN(data.held_out + 0.5), data, quality)
        assert quality.score == pytest.approx(0.25 * 3 * 64, rel=1e-5)
        assert quality.score_name == "fd/pixels8"

    def test_pixel_features_are_means_of_blocks(self):
        images = normal(5, 3, 32, 32)
        expected = images.view(5, 3, 8, 4, 8, 4).mean((3, 5)).flatten(1)
        assert torch.allclose(PixelFeatures()(images).features, expected, atol=1e-6)
        assert PixelFeatures()(normal(5, 1, 4, 4)).features.shape == (5, 16)

    def test_the_floor_is_training_against_held_out_images_logged_once(self):
        data, quality = StubData(1, 8, 8), Quality(every_kimg=0.016, n=160)
        run = fit(StubGAN(data.held_out), data, quality)
        logged = run.logger.of("fd/pixels8_real")
        training = data.train_set.tensors[0].flatten(1)
        floor = frechet_distance(training, data.held_out[:160].flatten(1)).item()
        assert logged == {0: pytest.approx(floor)}
        assert data.passes == 3  # Lightning's, and two looks of Quality
        assert f"real images score {floor:.4g}" in quality.summary()

    def test_uses_the_first_n_images_and_n_samples_of_its_seed(self):
        data, made = StubData(1, 8, 8), normal(100, 1, 8, 8, seed=9)
        quality, gan = Quality(n=20, seed=5), StubGAN(made)
        fit(gan, data, quality)
        expected = frechet_distance(gan.sample(20, seed=5).flatten(1), data.held_out[:20].flatten(1))
        assert quality.score == pytest.approx(expected.item())

    def test_points_are_their_own_features_and_have_modes(self):
        data, quality = StubData(2), Quality()
        data.centres, data.sigma = RING, 0.02
        run = fit(StubGAN(RING[:1] + 0.01 * normal(40, 2).clamp(-2, 2)), data, quality)
        assert quality.score_name == "fd/points"
        values = run.callback_metrics
        assert (values["modes/covered"], values["modes/high_quality"]) == (1, 1)
        assert values["modes/kl"] == pytest.approx(math.log(8))
        assert values["modes/score"] == pytest.approx(1 / 8)  # all good, on one of 8 modes

    def test_points_without_modes(self):
        data = StubData(2)
        data.centres = data.sigma = None
        run = fit(StubGAN(data.held_out), data, Quality())
        assert "fd/points" in run.callback_metrics
        assert not [name for name in run.callback_metrics if name.startswith("modes")]

    def test_own_features_name_themselves(self):
        data = StubData(1, 8, 8)
        run = fit(StubGAN(data.held_out), data, Quality(features=NoisyFeatures()))
        assert {"fd/noisy_features", "recall/noisy_features"} <= run.callback_metrics.keys()
        named = NoisyFeatures()
        named.name = "v2"
        assert Quality(features=named).score_name == "fd/v2"


class TestSchedule:
    def test_at_the_start_when_due_and_at_the_end(self):
        data, quality = StubData(1, 8, 8), Quality(every_kimg=0.05)
        run = fit(StubGAN(data.held_out), data, quality)
        assert list(run.logger.of("fd/pixels8")) == [0, 0.064, 0.112, 0.16]
        assert quality.score_kimg == 0.16

    def test_the_end_is_not_measured_twice(self):
        data, made = StubData(1, 8, 8), []
        gan = StubGAN(data.held_out)
        sample = gan.sample
        gan.sample = lambda n, *, seed: made.append(gan.kimg) or sample(n, seed=seed)
        fit(gan, data, Quality(every_kimg=0.08))
        assert made == [0, 0.08, 0.16]

    def test_steps_are_those_of_lightning(self):
        data = StubData(1, 8, 8)
        run = fit(StubGAN(data.held_out), data, Quality(every_kimg=0.05), epochs=2)
        theirs = {step: row["progress/kimg"] for step, row in run.logger.rows if "loss" in row}
        own = [(step, row) for step, row in run.logger.rows if "fd/pixels8" in row]
        assert [row["progress/kimg"] for _, row in own[1:]] == (pytest.approx([theirs[step] for step, _ in own[1:]]))
        steps = [step for step, _ in run.logger.rows]
        assert steps == sorted(steps)
        assert (own[0][0], own[-1][0]) == (0, 2 * BATCHES - 1)

    def test_a_resumed_run_measures_where_a_whole_one_does(self, tmp_path):
        data = StubData(1, 8, 8)
        first = fit(StubGAN(data.held_out, drift=-0.01), data, Quality(every_kimg=0.1))
        path = tmp_path / "a.ckpt"
        first.save_checkpoint(path)
        quality, gan = Quality(every_kimg=0.1), StubGAN(data.held_out, drift=-0.01)
        again = trainer(quality, epochs=2)
        again.fit(gan, datamodule=data, ckpt_path=path, weights_only=True)
        assert list(again.logger.of("fd/pixels8")) == [0.16, 0.208, 0.304, 0.32]
        assert (quality.best_score, quality.best_kimg) == (pytest.approx(0, abs=1e-6), 0)
        assert not again.logger.of("best/fd/pixels8")

    def test_the_best_is_not_restored_for_another_measure(self, tmp_path):
        data = StubData(1, 8, 8)
        first = fit(StubGAN(data.held_out), data, Quality(n=30))
        first.save_checkpoint(tmp_path / "a.ckpt")
        quality = Quality(n=20)
        with pytest.warns(UserWarning, match="callbacks used to create the checkpoint"):
            trainer(quality).validate(
                StubGAN(data.held_out),
                datamodule=data,
                ckpt_path=tmp_path / "a.ckpt",
                weights_only=True,
                verbose=False,
            )
        assert quality.best_score is None


class TestBest:
    def test_is_logged_when_the_score_falls(self):
        data, quality = StubData(1, 8, 8), Quality(every_kimg=0.016)
        # The samples move past the images: from -0.45 over 0 to 0.45 and 0.55.
        run = fit(StubGAN(data.held_out - 0.5, drift=0.1), data, quality)
        scores, best = run.logger.of("fd/pixels8"), run.logger.of("best/fd/pixels8")
        assert list(best) == [0, 0.016, 0.032, 0.048, 0.064, 0.08]
        assert all(scores[kimg] == value for kimg, value in best.items())
        assert (quality.best_score, quality.best_kimg) == (min(scores.values()), 0.08)
        assert scores[0.016] == pytest.approx(0.16 * 64, rel=1e-4)
        assert "best" in quality.summary()
        assert "at 0.08 kimg" in quality.summary()

    @pytest.mark.parametrize(("best_by", "best"), [(None, 0.08), ("modes/score", 0.08), ("fd", 0.0)])
    def test_of_points_with_modes_good_samples_count_first(self, best_by, best, capsys):
        ring = RING.repeat(25, 1) + 0.01 * normal(200, 2)
        even = RING.repeat(25, 1) @ torch.tensor(
            [[0.92, 0.38], [-0.38, 0.92]]
        )  # as far from the mean, between the modes
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

    def test_best_by_is_checked(self, tmp_path):
        with pytest.raises(ValueError, match="'fid' is not one of fd, precision"):
            Quality(best_by="fid")
        with pytest.raises(ValueError, match="best_by: modes/score needs points"):
            fit(StubGAN(StubData(2).held_out), StubData(2), Quality(best_by="modes/score"))

    def test_nan_is_logged_with_a_warning_and_is_never_the_best(self):
        data, quality = StubData(2), Quality(every_kimg=0.08)
        data.centres, data.sigma = RING, 0.02
        with pytest.warns(UserWarning, match="not finite"):
            run = fit(StubGAN(torch.full((40, 2), math.nan)), data, quality)
        values = run.callback_metrics
        assert quality.best_score is None
        for name in ("fd/points", "precision/points", "recall/points", "modes/covered", "modes/kl"):
            assert math.isnan(values[name])
        assert run.global_step == BATCHES


class TestMonitors:
    def test_early_stopping_sees_it_from_the_first_epoch(self):
        data = StubData(1, 8, 8)
        stop = EarlyStopping("fd/pixels8", patience=2, strict=True)
        run = fit(StubGAN(data.held_out, drift=0.01), data, Quality(every_kimg=0.16), stop, epochs=9)
        assert run.current_epoch == 3  # the first sets the mark, two are worse

    def test_the_best_checkpoint_is_kept(self, tmp_path):
        data, quality = StubData(1, 8, 8), Quality(every_kimg=0.016)
        keep = ModelCheckpoint(tmp_path, "{step}", monitor="fd/pixels8", every_n_train_steps=1)
        fit(StubGAN(data.held_out - 0.5, drift=0.1), data, quality, keep)
        assert keep.best_model_path.endswith("step=5.ckpt")
        assert keep.best_model_score.item() == pytest.approx(quality.best_score, abs=1e-6)


class TestEvaluation:
    def test_validate_returns_the_values_and_leaves_the_best_alone(self, capsys):
        data, quality = StubData(1, 8, 8), Quality()
        run = trainer(quality)
        (values,) = run.validate(StubGAN(data.held_out + 0.7), datamodule=data, verbose=False)
        assert values["full/fd/pixels8"] == pytest.approx(0.49 * 64, rel=1e-4)
        assert values["full/recall/pixels8"] == 0
        assert {"full/kd/pixels8", "full/precision/pixels8", "progress/kimg"} <= values.keys()
        row = r" +0 kimg  fd/pixels8 31\.36  kd \S+  precision \S+  recall 0  density \S+  coverage 0  \(val, 1000\)"
        assert re.fullmatch(row, capsys.readouterr().err.splitlines()[-1])
        assert quality.best_score is None
        assert quality.score == pytest.approx(0.49 * 64, rel=1e-4)

    def test_test_compares_with_the_test_images(self):
        data = StubData(1, 8, 8)
        (values,) = trainer(Quality()).test(StubGAN(data.tested), datamodule=data, verbose=False)
        assert values["full/fd/pixels8"] == pytest.approx(0, abs=1e-6)

    def test_a_validation_inside_fit_measures_nothing(self):
        data = StubData(1, 8, 8)
        run = fit(StubGAN(data.held_out), data, Quality(), epochs=3)
        assert list(run.logger.of("fd/pixels8")) == [0, 0.48]


class TestSideEffects:
    def played(self, *callbacks: Any) -> tuple[StubGAN, list[Any]]:
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        data = StubData(1, 8, 8)
        gan = StubGAN(data.held_out)
        gan.weights[1].eval()  # a mode of its own, to be left so
        modes: list[list[bool]] = []
        gan.on_train_batch_end = lambda *args: modes.append([m.training for m in gan.modules()])
        fit(gan, data, *callbacks, epochs=2)
        states = [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]
        return gan, [*states, modes]

    def test_training_is_bit_for_bit_the_same(self):
        plain, states = self.played()
        watched, after = self.played(Quality(every_kimg=0.016, features=NoisyFeatures()))
        assert watched.draws == plain.draws
        assert torch.equal(watched.weights[0].weight, plain.weights[0].weight)
        assert after == states

    def test_features_are_frozen_and_evaluated(self):
        features = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Dropout())
        data, quality = StubData(1, 8, 8), Quality(features=features)
        fit(StubGAN(data.held_out), data, quality)
        assert not features.training
        assert not any(p.requires_grad for p in features.parameters())
        assert quality.score == pytest.approx(0, abs=1e-6)


class TestRefusals:
    def test_too_few_samples(self):
        with pytest.raises(ValueError, match="n must be at least 6, got 5"):
            Quality(n=5)

    def test_too_few_held_out_images(self, capsys):
        gan, data, quality = StubGAN(normal(9, 1, 8, 8)), StubData(1, 8, 8, held_out=5), Quality(every_kimg=0.05)
        run = fit(gan, data, quality)
        assert (
            "no scores and no best.ckpt: there are 160 train and 5 val images, and at least 6"
            in capsys.readouterr().err
        )
        assert (gan.steps, quality.score, quality.best_kimg) == (BATCHES, None, None)
        assert not [name for name in run.callback_metrics if "pixels8" in name]
        with pytest.raises(ValueError, match="5 val images"):
            trainer(Quality()).validate(gan, datamodule=data, verbose=False)

    def test_few_held_out_images_are_measured_with_a_word_of_caution(self, capsys):
        data, quality = StubData(1, 8, 8, held_out=20), Quality()
        fit(StubGAN(data.held_out), data, quality)
        said = capsys.readouterr().err
        assert "few val images, 20 for 64 features: fd/pixels8 is biased upwards" in said
        assert "multiples of 1/20" in said
        assert quality.best_score is not None

    def test_no_data_module(self):
        data, run = StubData(1, 8, 8), trainer(Quality())
        with pytest.raises(ValueError, match="datamodule="):
            run.fit(StubGAN(data.held_out), data.train_dataloader())


def test_each_score_is_a_row_and_the_summary_is_shown_at_the_end(capsys):
    data, quality = StubData(1, 8, 8), Quality()
    assert quality.summary() == "fd/pixels8: not measured yet"
    fit(StubGAN(data.held_out + 0.5), data, quality)
    *_, first, last, end = [line for line in capsys.readouterr().err.splitlines() if "fd/pixels8" in line]
    assert re.fullmatch(r" +0 kimg  fd/pixels8 16  precision [0-9.]+  recall [0-9.]+  \(best\)", first)
    assert re.fullmatch(r" +0.16 kimg  fd/pixels8 16  precision [0-9.]+  recall [0-9.]+", last)
    assert re.fullmatch(rf"Quality: {re.escape(quality.summary())}; measuring took [0-9.]+% of the time", end)
    assert quality.summary().startswith("fd/pixels8 16 at 0.16 kimg, best 16 at 0 kimg, recall 0.00 (")
