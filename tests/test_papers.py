"""The configurations of published rows: networks by the papers' arithmetic, optimisers, schedules, updates."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.fits import parsed
from zoo.__main__ import main
from zoo.cli.main import ROOT
from zoo.stabilizers import AdaptiveAugment, GradientPenalty, SpectralNorm, WeightClip

FOLDER = ROOT / "configs/papers"
FILES = sorted(FOLDER.glob("*.yaml"))


def conv(c_in: int, c_out: int, kernel: int, bias: bool = True) -> int:
    return c_in * c_out * kernel**2 + (c_out if bias else 0)


# SNGAN's table 3, with latent_dim 100; and table 4, G of 256 channels and D of 128
CNN_G = 100 * 8192 + 8192 + conv(512, 256, 4) + conv(256, 128, 4) + conv(128, 64, 4) + conv(64, 3, 3)
CNN_G += 2 * (512 + 256 + 128 + 64)
CNN_D = conv(3, 64, 3) + conv(64, 128, 4) + conv(128, 128, 3) + conv(128, 256, 4) + conv(256, 256, 3)
CNN_D += conv(256, 512, 4) + conv(512, 512, 3) + 512 * 16 + 1
UP = 2 * 2 * 256 + conv(256, 256, 3, bias=False) + conv(256, 256, 3) + conv(256, 256, 1)
RES_G = 128 * 4096 + 4096 + 3 * UP + 2 * 256 + conv(256, 3, 3)
RES_D = conv(3, 128, 3) + conv(3, 128, 1) + 7 * conv(128, 128, 3) + conv(128, 128, 1) + 129
# R3GAN: eight blocks of 768 channels; a code of 64 and 10 classes; an embedding of 10 classes in D
BLOCK = 4 * 768**2 + 2 * 768 * 16 * 9 + 4 * 768
R3_G, R3_D = 768 * 16 + 64 * 768 + 8 * BLOCK + 3 * 768, 768 * 16 + 768 + 8 * BLOCK + 3 * 768
# file: G, D, Adam's β, D's moves and images a batch, kimg, stabilizers
ROWS = {
    "dcgan_cifar10_cnn": (CNN_G, CNN_D, (0.5, 0.999), 1, 128, 12_800, []),
    "wgan_cifar10_cnn": (CNN_G, CNN_D, (0.0, 0.9), 1, 128, 12_800, [WeightClip]),
    "wgan_gp_cifar10_cnn": (CNN_G, CNN_D, (0.0, 0.9), 1, 128, 12_800, []),
    "sngan_cifar10_cnn": (CNN_G, CNN_D, (0.0, 0.9), 1, 128, 12_800, [SpectralNorm]),
    "wgan_gp_cifar10_resnet": (RES_G, RES_D, (0.0, 0.9), 5, 64, 32_000, []),
    "sngan_cifar10_resnet": (RES_G, RES_D, (0.0, 0.9), 5, 64, 32_000, [SpectralNorm]),
    "r3gan_cifar10": (
        R3_G + 768 * 10, R3_D + 768 * 10, (0.0, 0.9), 1, 512, 250_000,
        [GradientPenalty, GradientPenalty, AdaptiveAugment],
    ),
    "r3gan_stacked_mnist": (R3_G, R3_D, (0.0, 0.9), 1, 512, 10_000, [GradientPenalty, GradientPenalty]),
}  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.stem)
def test_a_row_is_the_published_one(file: Path) -> None:
    generator, discriminator, betas, d_steps, batch, kimg, stabilizers = ROWS[file.stem]
    with torch.device("meta"):
        run = parsed(file)
    gan = run.gan
    assert [sum(p.numel() for p in net.parameters()) for net in (gan.generator, gan.discriminator)] == [
        generator,
        discriminator,
    ]
    for optimiser in gan.configure_optimizers():
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (2e-4, betas)
    assert (gan.dynamics.d_steps, gan.dynamics.g_steps, run.data.batch_size) == (d_steps, 1, batch)
    assert [type(s) for s in gan.stabilizers] == stabilizers
    assert run.config["budget"]["kimg"] == kimg
    if run.variant != "r3gan":
        assert kimg == 100_000 * d_steps * batch / 1000  # 100,000 steps of G
        assert [gan.schedules[side](k) for side in "dg" for k in (0, kimg / 4, kimg)] == [1, 0.75, 0] * 2
        assert run.config["data"]["init_args"]["flip"]
    if "cnn" in file.stem:
        layers = [m for m in gan.discriminator.trunk if isinstance(m, nn.Conv2d)]
        assert [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in layers] == [
            (64, 3, 1), (128, 4, 2), (128, 3, 1), (256, 4, 2), (256, 3, 1), (512, 4, 2), (512, 3, 1),
        ]  # fmt: skip
        assert {m.negative_slope for m in gan.discriminator.trunk if isinstance(m, nn.LeakyReLU)} == {0.1}


def test_the_record_has_every_file_once_with_its_own_budget(capsys) -> None:
    assert main(["papers", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert sorted(row["config"] for row in rows) == [file.stem for file in FILES] == sorted(ROWS)
    for row in rows:
        assert int(row["kimg"].replace(",", "")) == ROWS[row["config"]][5]
        assert row["command"].endswith(f" -c configs/papers/{row['config']}.yaml")
    for form in ([], ["--markdown"]):
        assert main(["papers", *form]) == 0
        assert all(row["published"] in capsys.readouterr().out for row in rows[:1])
