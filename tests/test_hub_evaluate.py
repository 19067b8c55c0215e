"""`python -m zoo evaluate`: a run's checkpoint against a data set, from the command line."""

import json
from pathlib import Path

import pytest
import torch

from tests.fits import BARE, QUICK, fit
from zoo.__main__ import main
from zoo.cli.data import data_module
from zoo.cli.main import ROOT
from zoo.datamodules import Digits
from zoo.hub.evaluate import evaluate
from zoo.metrics import frechet_distance
from zoo.metrics.features import Classifier, PixelFeatures

DIGITS = str(ROOT / "configs/data/digits.yaml")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    fit(*QUICK, BARE, f"--trainer.default_root_dir={root}")
    return next(root.glob("*/last.ckpt"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))


def test_the_scores_are_those_of_the_samples_and_the_held_out_images(checkpoint, tmp_path, capsys) -> None:
    told = tmp_path / "scores.json"
    words = ["-c", DIGITS, "--data.image_size", "8", "--metrics", "fd,is", "--n", "300", "--seed", "2"]
    assert main(["evaluate", str(checkpoint), *words, "--json", str(told)]) == 0
    row = json.loads(told.read_text())

    import zoo

    gan, data, net = zoo.load(checkpoint), Digits(image_size=8), Classifier("digits-cnn")
    data.setup()
    made, real = net(gan.sample(300, seed=2)).features, net(data.pick("val", 300)).features
    assert row["scores"]["fd/digits-cnn"] == pytest.approx(frechet_distance(made, real).item(), rel=1e-4)
    assert set(row["scores"]) == {"fd/digits-cnn", "is/digits-cnn", "is/digits-cnn/std"}
    facts = {"n_real": 300, "n_fake": 300, "split": "val", "seed": 2, "extractor": "digits-cnn", "ema": True}
    assert {**facts, "kimg": 0.32}.items() <= row.items()
    said = capsys.readouterr().out
    assert "fd/digits-cnn" in said
    assert "300 samples (seed 2, averaged generator, 0.32 kimg) against 300 val images" in said


@pytest.mark.parametrize(
    "words", [["--data.image_siz", "16"], ["--data.image_siz=16"], ["--data.init_args.image_siz=16"]]
)
def test_a_misspelt_option_is_blamed_itself_and_not_the_file(words) -> None:
    with pytest.raises(ValueError, match=r"^data\.(init_args\.)?image_siz: Digits has no option 'image_siz'; did"):
        data_module(["-c", DIGITS, *words])


def test_real_images_score_themselves_as_perfect(checkpoint, monkeypatch) -> None:
    data = Digits(image_size=8)
    data.setup()
    real = data.pick("train", 500) / 127.5 - 1
    monkeypatch.setattr("zoo.gan.GAN.stream", lambda self, n, *, seed, rows: iter(real[rows].split(64)))
    seen = evaluate(checkpoint, data, scores=["fd", "kd", "prdc"], n=500, split="train", features="pixels8").scores
    assert seen["fd/pixels8"] == pytest.approx(0, abs=1e-6)
    assert seen["precision/pixels8"] == seen["recall/pixels8"] == seen["coverage/pixels8"] == 1


def test_a_generator_of_copies_is_found_in_any_features(checkpoint, monkeypatch, capsys, tmp_path) -> None:
    data = Digits(image_size=8)
    data.setup()
    train, held_out = data.pick("train", 1433) / 127.5 - 1, data.pick("val", 364) / 127.5 - 1
    words = ["-c", DIGITS, "--data.image_size=8", "--metrics", "fd,fd_inf,authpct", "--features", "pixels8"]
    told = {}
    for name, images in (("copies", train[:364]), ("new", held_out)):
        monkeypatch.setattr("zoo.gan.GAN.stream", lambda self, n, *, seed, rows, images=images: iter([images[rows]]))
        assert main(["evaluate", str(checkpoint), *words, "--n", "364", "--json", str(tmp_path / name)]) == 0
        told[name] = json.loads((tmp_path / name).read_text()) | {"said": capsys.readouterr().out}
    copies, new = told["copies"], told["new"]
    assert copies["n_train"] == 1433
    assert copies["scores"]["authpct/pixels8"] == 0
    real = copies["scores"]["authpct/pixels8_real"]
    assert 10 < real < 60
    assert new["scores"]["authpct/pixels8"] == new["scores"]["authpct/pixels8_real"] == real
    assert f"Overfitting: 0.0 % of the samples are authentic, {real:.1f} % of the val images" in copies["said"]
    assert "Overfitting" not in new["said"]
    assert copies["scores"]["fd_inf/pixels8"] < copies["scores"]["fd/pixels8"]


def test_splits_and_precision_do_not_depend_on_the_parts(checkpoint) -> None:
    data = Digits(image_size=8)
    data.setup()
    features = PixelFeatures()
    images = data.pick("train", 70)
    whole = features(images).features
    assert torch.equal(torch.cat([features(part).features for part in images.split(9)]), whole)


def test_fid_without_inceptions_weights_names_the_ways_out(checkpoint, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *a, **k: (_ for _ in ()).throw(OSError("no network")))
    assert main(["evaluate", str(checkpoint), "-c", DIGITS, "--data.image_size=8", "--metrics", "fid"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert all(way in line for way in ("GAN_ZOO_INCEPTION", "weights=", "fashion-cnn", "no network"))
