"""Images that are no squares, from the command line to pictures: 16 x 24 pixels."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo.backbones as backbones
from tests.fits import BARE, DIGITS, ROOT, SMALL, fit, only
from zoo.backbones.base import check_shape
from zoo.metrics.features.simple import PixelFeatures
from zoo.noise import Noise
from zoo.run.films import of_walk, walk
from zoo.stabilizers import AdaptiveAugment, DiffAugment

AUGMENT = {"began": None, "nsgan": "zoo.stabilizers.DiffAugment", "sngan": "zoo.stabilizers.AdaptiveAugment"}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 32, 48), (3, 32, (4, 6))),  # 4, 8, 16, 32 and 6, 12, 24, 48
        ((1, 48, 32), (1, 32, (6, 4))),
        ((1, 28, 28), (1, 16, (7, 7))),
        ((1, 16, 64), (1, 16, (4, 16))),
        ((4, 128, 128), (4, 128, (4, 4))),
        ((1, 10, 14), (1, 8, (5, 7))),
    ],
)
def test_the_smallest_map(shape, expected) -> None:
    assert check_shape(torch.nn.Identity(), shape) == expected


@pytest.mark.parametrize("kind", ["DCGAN", "ResNet", "R3GAN", "Growing", "Decoder"])
@pytest.mark.parametrize("shape", [(1, 16, 24), (3, 10, 14), (1, 28, 28)])
def test_networks_make_and_score_it(kind: str, shape) -> None:
    more = {"attention": True} if kind == "ResNet" else {}
    images = getattr(backbones, f"{kind}Generator")(shape, latent_dim=3, width=4, **more)(torch.randn(2, 3))
    assert images.shape == (2, *shape)
    critic = backbones.Autoencoder if kind == "Decoder" else getattr(backbones, f"{kind}Discriminator")
    scores, features = critic(shape, width=4, **more)(images)
    assert scores.shape == (2,)
    if kind == "Decoder":
        assert features["reconstruction"].shape == images.shape


@pytest.mark.parametrize("config", ["nsgan", "sngan", "began", "r3gan"])
def test_two_batches_through_the_command(config: str, tmp_path: Path) -> None:
    """DCGAN's networks with scores, pictures and a walk; residual ones, autoencoders and R3GAN's."""
    words = ["-c", ROOT / f"configs/{config}.yaml", "-c", DIGITS, *SMALL, "--data.image_size=[16,24]"]
    if AUGMENT.get(config):
        words.append(f"--model.stabilizers+={AUGMENT[config]}")
        words += ["--model.stabilizers.p=0.9"] * (config == "sngan")
    words += [BARE] * (config != "nsgan")
    cli = fit(*words, "--trainer.max_steps=2", f"--trainer.default_root_dir={tmp_path}")
    assert cli.model.sample(3).shape == (3, 1, 16, 24)
    if config != "nsgan":
        return
    assert cli.trainer.callback_metrics["fd/digits-cnn"] > 0
    picture = Image.open(sorted((only(tmp_path) / "samples").glob("*.png"))[-1])
    assert picture.size == (8 * (2 * 24 + 2) - 2, 8 * (2 * 16 + 2) - 2)  # 64 images, twice as large, 2 pixels between
    frames = [*of_walk(walk(cli.model, 2, stops=1, frames=1), columns=2)]
    assert [frame.shape for frame in frames] == [(32, 98, 3)]


def test_a_size_that_cannot_be_made_names_the_network_and_the_choices(tmp_path: Path, capsys) -> None:
    words = ["-c", ROOT / "configs/nsgan.yaml", "-c", DIGITS, *SMALL, "--data.image_size=[18,25]"]
    with pytest.raises(SystemExit):
        fit(*words, f"--trainer.default_root_dir={tmp_path}")
    said = capsys.readouterr().err
    for word in ("DCGANGenerator", "(1, 18, 25)", "8 to 128", "32 x 48"):
        assert word in said


@pytest.mark.parametrize("stabilizer", [AdaptiveAugment(p=1.0), DiffAugment()])
def test_augmentation_keeps_the_shape(stabilizer) -> None:
    x = torch.rand(64, 3, 16, 24) * 2 - 1
    changed = stabilizer.perturb(x, role="real", kimg=0.0, noise=Noise(0))
    assert changed.shape == x.shape
    assert (changed != x).any((1, 2, 3)).all()


def test_pixel_features_average_parts_of_the_same_proportions() -> None:
    """Of 16 x 24 pixels 64 parts of 2 x 3."""
    x = torch.arange(16 * 24.0).view(1, 1, 16, 24) / 400
    parts = x[0, 0].numpy().reshape(8, 2, 8, 3)
    expected = np.array([parts[i, :, j].mean() for i, j in product(range(8), range(8))])
    assert PixelFeatures()(x).features[0].numpy() == pytest.approx(expected, abs=1e-6)
