"""The full measure of a run, what every measurement says of itself, and what is remembered."""

import json

import pytest
import torch

from tests.test_quality import StubData, StubGAN, cache, fit, trainer  # noqa: F401 - cache is a fixture
from zoo.callbacks.evaluation import Evaluation
from zoo.callbacks.quality import Quality
from zoo.metrics.features import PixelFeatures
from zoo.metrics.scores import score_name
from zoo.run.loggers import MetricsLog


class TestFullMeasure:
    def test_at_the_end_of_a_run_as_long_as_itself(self):
        data, quality = StubData(1, 8, 8), Quality(full_n=160)
        run = fit(StubGAN(data.held_out + 0.5), data, quality)
        assert list(run.logger.of("full/fd/pixels8")) == [0.16]
        assert run.logger.of("full/fd/pixels8")[0.16] == pytest.approx(0.25 * 64, rel=0.05)
        assert {"full/kd/pixels8", "full/density/pixels8", "full/recall/pixels8"} <= run.callback_metrics.keys()
        assert not fit(StubGAN(data.held_out), data, Quality(full_n=161)).logger.of("full/fd/pixels8")

    def test_not_with_fewer_images_than_features(self, capsys):
        data = StubData(1, 8, 8, held_out=64)
        run = fit(StubGAN(data.held_out), data, Quality(full_n=100))
        assert "pixels8 has 64 features, more than the 64 val images" in capsys.readouterr().err
        assert not run.logger.of("full/fd/pixels8")
        with pytest.raises(ValueError, match="Quality: pixels8 has 64 features, more than the 64 val images"):
            trainer(Quality()).validate(StubGAN(data.held_out), datamodule=data, verbose=False)

    def test_every_measurement_says_what_it_depends_on(self, tmp_path):
        data = StubData(1, 8, 8)
        fit(StubGAN(data.held_out), data, Quality(n=20, full_n=150, seed=3), logger=MetricsLog(tmp_path))
        rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
        assert [row["kimg"] for row in rows] == [0, 0.16, 0.16]
        assert [(row["n_real"], row["n_fake"]) for row in rows] == [(20, 20), (20, 20), (150, 150)]
        assert [row["fewer_samples_than_features"] for row in rows] == [True, True, False]
        told = {
            "extractor": "pixels8",
            "split": "val",
            "seed": 3,
            "ema": False,
            "preprocessing": "averaged to at most 8x8",
        }
        for row in rows:
            assert told.items() <= row.items()
            assert len(row["fingerprint"]) == 16
        assert "full/fd/pixels8" in rows[2]["scores"]

    def test_the_features_of_the_same_images_are_taken_once(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path))
        looked = []
        real = PixelFeatures.extract
        monkeypatch.setattr(PixelFeatures, "extract", lambda self, x: looked.append(len(x)) or real(self, x))
        data = StubData(1, 8, 8)
        first = Evaluation(PixelFeatures(), data.held_out, "val", n=10, scores=["fd"])
        again = Evaluation(PixelFeatures(), data.held_out.clone(), "val", n=10, scores=["fd"])
        assert sum(looked) == 200
        assert torch.equal(first.real.features, again.real.features)
        Evaluation(PixelFeatures(), data.held_out + 0.1, "val", n=10, scores=["fd"])
        assert sum(looked) == 400
        half, _ = (tmp_path / "features").rglob("output.pkl")
        half.write_bytes(half.read_bytes()[:100])
        Evaluation(PixelFeatures(), data.held_out, "val", n=10, scores=["fd"])
        Evaluation(PixelFeatures(), data.held_out + 0.1, "val", n=10, scores=["fd"])
        assert sum(looked) == 600


def test_unknown_scores_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="unknown score 'fdd', choose from fd, kd, is, prdc, fid and kid"):
        Quality(scores=["fdd"])


def test_only_inceptions_scores_have_the_published_names():
    assert [score_name(s, "inception-v3-compat") for s in ("fd", "kd", "is", "recall")] == [
        "fid",
        "kid",
        "is",
        "recall",
    ]
    assert [score_name(s, "fashion-cnn") for s in ("fd", "is")] == ["fd/fashion-cnn", "is/fashion-cnn"]
