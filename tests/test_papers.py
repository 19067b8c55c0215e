"""The configurations of published rows: networks by the papers' arithmetic, optimisers, schedules, updates."""

import json
import math
from itertools import pairwise
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
from zoo.variants.unrolled_gan import UnrolledGAN

FOLDER = ROOT / "configs/papers"
SMALL = ("dcgan_stacked_mnist", "unrolled_stacked_mnist")
FILES = sorted(FOLDER.glob("*.yaml"))
IMAGES = [file for file in FILES if file.stem.split("_")[0] != "pacgan" and file.stem not in SMALL]


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


# four layers of 400, a gain and a bias of each norm, no other bias but the last
PACGAN_G = 2 * 400 + 3 * 400**2 + 4 * 2 * 400 + 400 * 2 + 2


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


# a layer of 4x4x64; 3x3 kernels to 32, 16, 8 and 3 channels; a gain and a bias of each norm
UNROLLED_G = 256 * 1024 + 1024 + conv(64, 32, 3) + conv(32, 16, 3) + conv(16, 8, 3) + conv(8, 3, 3)
UNROLLED_G += 2 * (64 + 32 + 16 + 8)


def test_stacked_mnist_has_the_networks_of_unrolled_gans() -> None:
    """github.com/fjxmlzn/PacGAN, stacked_MNIST_experiments/unrolled_GAN_experiment."""
    benchmark = read("unrolled_stacked_mnist")
    assert benchmark.budget.steps == 500_000
    rows = {entry.name: entry.overrides for entry in benchmark.configs}
    assert [rows[f"unrolled{k}_{part}"]["model.dynamics.k"] for part in ("quarter", "half") for k in (1, 5, 10)] == [
        1, 5, 10, 1, 5, 10,
    ]  # fmt: skip
    for part, width in (("quarter", 2), ("half", 4)):
        assert {o["model.discriminator.width"] for name, o in rows.items() if name.endswith(part)} == {width}
        for m in (2, 3, 4):
            assert rows[f"pacdcgan{m}_{part}"]["data.batch_size"] == 128 * m
            assert rows[f"pacdcgan{m}_{part}"]["model.stabilizers"][0]["init_args"] == {"m": m}
    for name, m, width in (("pacdcgan3_half", 3, 4), ("unrolled5_quarter", 1, 2)):
        entry = next(entry for entry in benchmark.configs if entry.name == name)
        options = as_options({**benchmark.overrides, **entry.overrides})
        run = resolve(["-c", str(entry.config), "-c", str(benchmark.data), *options])
        gan = run.gan
        assert sum(p.numel() for p in gan.generator.parameters()) == UNROLLED_G
        sides = [x.shape[1:] for x in _maps(gan.generator.net, torch.randn(2, 256), nn.BatchNorm2d)]
        assert sides == [(64, 4, 4), (32, 7, 7), (16, 14, 14), (8, 28, 28)]
        widths = [3 * m, width, 2 * width, 4 * width]
        count = sum(conv(a, b, 3) + 2 * b for a, b in pairwise(widths)) + 4 * 4 * widths[-1] + 1
        assert sum(p.numel() for p in gan.discriminator.parameters()) == count
        maps = _maps(gan.discriminator.trunk, torch.randn(2, 3 * m, 28, 28), nn.BatchNorm2d)
        assert [x.shape[1:] for x in maps] == [(w, s, s) for w, s in zip(widths[1:], (14, 7, 4), strict=True)]
        assert {a.negative_slope for a in gan.discriminator.trunk if isinstance(a, nn.LeakyReLU)} == {0.3}
        rates = {group["lr"] for optimiser in gan.configure_optimizers() for group in optimiser.param_groups}
        assert rates == {1e-4, 2e-4}
        assert {optimiser.defaults["betas"] for optimiser in gan.configure_optimizers()} == {(0.5, 0.99)}
        assert run.data.arguments | {"root": ""} == {
            "base": "mnist", "root": "", "samples": 240_000, "image_size": 28, "batch_size": 128 * m, "seed": 0,
            "flip": False,
        }  # fmt: skip
    assert (type(gan), gan.dynamics.k) == (UnrolledGAN, 5)


# layers of 1,024 and of 128 maps of 7x7, 4x4 kernels; a gain and a bias of each norm
LUCIC_G = 64 * 1024 + 1024 + 1024 * 6272 + 6272 + conv(128, 64, 4) + conv(64, 1, 4) + 2 * (1024 + 6272 + 64)
LUCIC_D = conv(1, 64, 4) + conv(64, 128, 4) + 6272 * 1024 + 1024 + 1024 + 1


def test_lucics_search_has_the_networks_of_the_authors_code() -> None:
    """github.com/google/compare_gan, branch v1, compare_gan/src/gans/abstract_gan.py."""
    benchmark = read("lucic")
    entry = next(entry for entry in benchmark.configs if entry.name == "nsgan")
    options = {**benchmark.overrides, **entry.overrides, "model.discriminator.norm": "batch"}
    run = resolve(["-c", str(entry.config), "-c", str(benchmark.data), *as_options(options)])
    counts = [sum(p.numel() for p in net.parameters()) for net in (run.gan.generator, run.gan.discriminator)]
    assert counts == [LUCIC_G, LUCIC_D + 2 * (128 + 1024)]
    for net, kind in ((run.gan.generator.net, nn.ConvTranspose2d), (run.gan.discriminator.trunk, nn.Conv2d)):
        layers = [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in net if isinstance(m, kind)]
        assert layers == {nn.ConvTranspose2d: [(64, 4, 2), (1, 4, 2)], nn.Conv2d: [(64, 4, 2), (128, 4, 2)]}[kind]
        assert {m.negative_slope for m in net if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert (run.gan.latent_dim, run.data.image_shape, run.data.batch_size) == (64, (1, 28, 28), 64)


def _maps(net: nn.Sequential, x: torch.Tensor, kind: type[nn.Module]) -> list[torch.Tensor]:
    """What each layer of a kind returns."""
    found = []
    for layer in net:
        x = layer(x)
        found += [x] if isinstance(layer, kind) else []
    return found


def test_the_record_has_every_file_once_with_its_own_budget(capsys) -> None:
    assert main(["papers", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["config"] for row in rows} == {file.stem for file in FILES} | {"lucic"}
    assert [row["config"] for row in rows if row["config"] in ROWS] == list(ROWS)
    for row in rows:
        kimg = int(row["kimg"].replace(",", ""))
        if row["config"] in ROWS:
            assert kimg == ROWS[row["config"]][5]
            assert row["command"].endswith(f" -c configs/papers/{row['config']}.yaml")
        else:
            benchmark = "unrolled_stacked_mnist" if row["config"] in SMALL else row["config"]
            assert row["command"] == f"python -m zoo benchmark {benchmark}"
    for form in ([], ["--markdown"]):
        assert main(["papers", *form]) == 0
        assert all(row["published"] in capsys.readouterr().out for row in rows[:1])
