"""The configurations of published rows: networks by the papers' arithmetic, optimisers, schedules, updates."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.fits import parsed
from zoo.__main__ import main
from zoo.benchmark.file import read
from zoo.benchmark.plan import as_options
from zoo.benchmark.resolve import resolve
from zoo.cli.main import ROOT
from zoo.dynamics import Simultaneous
from zoo.stabilizers import AdaptiveAugment, GradientPenalty, Packed, SpectralNorm, WeightClip

FOLDER = ROOT / "configs/papers"
FILES = sorted(FOLDER.glob("*.yaml"))
IMAGES = [file for file in FILES if "pacgan" not in file.stem]


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


@pytest.mark.parametrize("file", IMAGES, ids=lambda p: p.stem)
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


PACGAN_G = (
    2 * 400 + 3 * 400**2 + 4 * 2 * 400 + 400 * 2 + 2
)  # a gain and a bias of each norm, no other bias but the last


@pytest.mark.parametrize(("data", "m"), [("ring", 1), ("ring", 4), ("grid", 1)])
def test_pacgan_is_that_of_the_authors_code(data: str, m: int) -> None:
    """github.com/fjxmlzn/PacGAN, synthetic_data_experiments/2DRing_GAN&PacGAN and 2DGrid_GAN&PacGAN."""
    benchmark = read(f"pacgan_{data}")
    assert (benchmark.budget.steps, len(benchmark.seeds)) == (400 * 1000, 10)
    assert [(entry.name, entry.config.stem) for entry in benchmark.configs] == [
        (name, f"pacgan_{data}") for name in ("gan", "pacgan_2", "pacgan_3", "pacgan_4")
    ]
    file = FOLDER / f"pacgan_{data}.yaml"
    run = resolve(["-c", str(file), *as_options(benchmark.configs[m - 1].overrides)])
    gan = run.gan
    assert sum(p.numel() for p in gan.generator.parameters()) == PACGAN_G
    maxout = [(5 * 200, 2 * m), (5 * 200, 200), (5 * 200, 200), (1, 200)]
    layers = [*(layer for layer in gan.discriminator.trunk if isinstance(layer, nn.Linear)), gan.discriminator.head]
    assert [tuple(layer.weight.shape) for layer in layers] == maxout
    assert gan.discriminator(torch.zeros(8, 2))[0].shape == (8,)
    for layer in [layer for net in (gan.generator, gan.discriminator) for layer in net.modules()]:
        if isinstance(layer, nn.Linear):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.2)
            assert layer.bias is None or not layer.bias.any()
    for optimiser in gan.configure_optimizers():
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (1e-4, (0.8, 0.999))
    assert type(gan.dynamics) is Simultaneous
    assert [s.m for s in gan.stabilizers if isinstance(s, Packed)] == ([m] if m > 1 else [])
    assert (gan.latent_dim, run.data.batch_size, run.data.samples) == (2, 100 * m, 100_000)
    spread = {"ring": (1.0, 0.01), "grid": (math.sqrt(32), 0.05)}[data]
    assert (run.data.centres.norm(dim=1).max().item(), run.data.sigma) == pytest.approx(spread, rel=1e-6)
    if m == 1:
        assert run.config["budget"]["kimg"] * 1000 == 400 * 100_000


def test_the_record_has_every_file_once_with_its_own_budget(capsys) -> None:
    assert main(["papers", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["config"] for row in rows} == {file.stem for file in FILES}
    assert [row["config"] for row in rows if row["config"] in ROWS] == list(ROWS)
    for row in rows:
        kimg = int(row["kimg"].replace(",", ""))
        if row["config"] in ROWS:
            assert kimg == ROWS[row["config"]][5]
            assert row["command"].endswith(f" -c configs/papers/{row['config']}.yaml")
        else:
            assert row["command"] == f"python -m zoo benchmark {row['config']}"
    for form in ([], ["--markdown"]):
        assert main(["papers", *form]) == 0
        assert all(row["published"] in capsys.readouterr().out for row in rows[:1])
