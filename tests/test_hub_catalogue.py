"""The published checkpoints that come with the package."""

import os
import shutil
import tomllib

import pytest
import torch

import zoo
from zoo.cli.data import data_module
from zoo.cli.main import ROOT
from zoo.hub import bundle, catalogue
from zoo.hub.evaluate import evaluate

OF_THE_LECTURES = (
    "minimax", "nsgan", "lsgan", "wgan", "wgan_gp", "dragan", "began", "mdgan", "ebgan", "unrolled_gan", "sngan",
)  # fmt: skip
DATA = os.environ.get("GAN_ZOO_DATA", str(ROOT / "data"))  # where Fashion-MNIST is, or is downloaded to


def test_the_catalogue_has_every_variant_of_the_lectures_and_one_on_digits() -> None:
    names = catalogue.names()
    assert {f"{variant}-fashion_mnist" for variant in OF_THE_LECTURES} <= set(names)
    assert any(name.endswith("-digits") for name in names)
    assert [path.parent.name for path in sorted(catalogue.DATA.glob("*/SHA256SUMS"))] == names


def test_it_is_small() -> None:
    sizes = [entry.facts()["megabytes"] for entry in catalogue.entries()]
    assert max(sizes) <= 5
    assert sum(sizes) <= 60


@pytest.mark.parametrize("name", catalogue.names())
def test_an_entry_is_whole_and_samples_images(name: str) -> None:
    config = bundle.verify(catalogue.find(name))
    assert config["name"] == name
    assert config["training"]["status"] == "finished"
    gan = zoo.from_pretrained(name)
    assert gan.kimg == config["training"]["kimg"] == config["scores"]["full"]["kimg"]
    samples = gan.sample(8, seed=0)
    assert tuple(samples.shape[1:]) == tuple(gan.generator.image_shape)
    assert samples.abs().max() <= 1
    assert torch.equal(samples, zoo.from_pretrained(name).sample(8, seed=0))


@pytest.mark.parametrize(("kimg", "width", "least"), [(100, 16, 4), (200, 32, 10)])
def test_all_of_one_budget_were_trained_alike(kimg: int, width: int, least: int) -> None:
    """Batches, data, seed and width; learning rates are each variant's, and the autoencoders have half the width."""
    entries = [e for e in catalogue.entries() if e.folder.name.endswith("fashion_mnist") and e.facts()["kimg"] == kimg]
    configs = [entry.config["training"]["config"] for entry in entries]
    assert len(configs) >= least
    assert {entry.facts()["width"] for entry in entries if entry.config["objective"] not in ("began", "ebgan")} == {
        width
    }
    for name in ("image_size", "channels", "batch_size", "seed"):
        assert len({config["data"]["init_args"][name] for config in configs}) == 1
    for section in ("budget", "seed_everything"):
        assert all(config[section] == configs[0][section] for config in configs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wgan_gp-digits", "lsgan-fashion_mnist"])
def test_a_published_score_can_be_measured_again(name: str) -> None:
    """To 1 %: other processors round otherwise."""
    told = catalogue.Entry(catalogue.find(name)).config["scores"]["full"]
    dataset = name.partition("-")[2]
    root = ["--data.root", DATA] if dataset == "fashion_mnist" else []
    data = data_module(["-c", str(ROOT / f"configs/data/{dataset}.yaml"), *root])
    measured = evaluate(name, data, scores=["fd", "prdc"], n=told["n_fake"], split=told["split"], seed=told["seed"])
    assert measured.facts["n_real"] == told["n_real"]
    for score, value in measured.scores.items():
        assert value == pytest.approx(told["scores"][f"full/{score}"], rel=0.01)


def test_a_wheel_without_some_weights_says_where_they_are(tmp_path, monkeypatch) -> None:
    shutil.copytree(catalogue.DATA / "wgan_gp-digits", tmp_path / "wgan_gp-digits")
    monkeypatch.setattr(catalogue, "DATA", tmp_path)
    assert catalogue.without_weights() == []
    (tmp_path / "wgan_gp-digits" / "model.safetensors").unlink()
    assert catalogue.without_weights() == catalogue.names() == ["wgan_gp-digits"]
    with pytest.raises(ValueError, match=r"weights of wgan_gp-digits are not installed; .* pip install \./zoo/hub"):
        catalogue.find("wgan_gp-digits")


def test_every_weight_is_in_one_of_the_two_wheels() -> None:
    here = tomllib.loads((catalogue.DATA / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]
    main = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]
    left_out = {path.removeprefix("/zoo/hub/catalogue_data/") for path in main["wheel"]["exclude"]}
    assert left_out == {"pyproject.toml", *here["wheel"]["only-include"]}
    assert all((catalogue.DATA / name).is_file() for name in left_out)
