"""A fresh D against a generator that stands still: what it shows, and that nothing else is touched."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.fits import SMALL
from tests.fits import fit as run
from tests.games import fit, networks, points, same, snapshot
from zoo.__main__ import main
from zoo.backbones import (
    DCGANDiscriminator,
    DCGANGenerator,
    Encoder,
    GrowingDiscriminator,
    GrowingGenerator,
    MLPDiscriminator,
    MLPGenerator,
)  # fmt: skip
from zoo.callbacks import Diagnostics
from zoo.cli.main import ROOT
from zoo.datamodules import Digits
from zoo.diagnostics.frozen_generator import Retrained, fresh, retrain
from zoo.run.loggers import MetricsLog
from zoo.stabilizers import InstanceNoise, MinibatchDiscrimination, SpectralNorm, VirtualBatchNorm
from zoo.stabilizers.base import Stabilizer
from zoo.variants.began import BEGAN
from zoo.variants.mdgan import MDGAN
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.wgan import WGAN
from zoo.variants.wgan_gp import WGANGP

DIGITS = str(ROOT / "configs/data/digits.yaml")


def toy(objective, **kwargs):
    torch.manual_seed(0)
    return objective(MLPGenerator((2,), latent_dim=4, width=8), MLPDiscriminator((2,), width=32, depth=2), **kwargs)


def images(objective):
    """An untrained generator, nowhere near the digits."""
    torch.manual_seed(0)
    shape = (1, 8, 8)
    return objective(MLPGenerator(shape, latent_dim=4, width=16), MLPDiscriminator(shape, width=64, depth=2))


def digits(n: int = 64):
    data = Digits(image_size=8, batch_size=n)
    data.setup()
    return data.train_dataloader()


def test_under_the_minimax_loss_the_gradient_goes_with_the_error() -> None:
    shown = retrain(images(MinimaxGAN), digits(), steps=200)
    assert shown.steps == [0, 5, 8, 13, 20, 33, 52, 84, 134, 200]
    assert shown.sure_after is not None
    assert shown.error[-1] == 0
    assert shown.fall > 50
    assert "learns next to nothing" in str(shown)


def test_under_the_non_saturating_loss_it_does_not() -> None:
    shown = retrain(images(NSGAN), digits(), steps=200)
    assert shown.error[-1] == 0
    assert shown.fall < 3
    assert "teaches G where D is sure too" in str(shown)


def test_what_a_row_of_looks_means() -> None:
    shown = Retrained([0, 5, 8, 13], [0.5, 0.004, 0.2, 0.0], [9.0, 4.0, 2.0, 0.5])
    assert (shown.sure_after, shown.fall) == (13, 8.0)  # it lost it at 8; the untrained D's 9 does not count
    assert Retrained([0, 5], [0.0, 0.0], [1.0, 0.0]).fall == math.inf
    unsure = Retrained([0, 5], [0.5, 0.25], [1.0, 0.5])
    assert unsure.sure_after is None
    assert "still ranks 25.0% of pairs wrongly" in str(unsure)
    assert json.loads(json.dumps(unsure.as_row(), allow_nan=False))["sure_after"] is None
    assert unsure.table().splitlines()[2].split() == ["5", "0.250", "0.5"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: toy(WGANGP), lambda: toy(WGAN), lambda: toy(NSGAN, stabilizers=[SpectralNorm(), InstanceNoise(1.0)]),
        lambda: MDGAN(*networks(norm="batch"), MLPDiscriminator((2,), width=5), Encoder((2,), latent_dim=6, width=4)),
        lambda: NSGAN(*networks(norm="batch"), ema_decay=0.5),
    ],
    ids=["penalty", "clipping", "stabilizers", "two discriminators", "batch norm"],
)  # fmt: skip
def test_any_game_can_be_asked_and_stays_as_it_is(make) -> None:
    gan = make()
    before, state = snapshot(gan), torch.get_rng_state()
    shown = retrain(gan, points(3, 16), steps=6)
    assert same(snapshot(gan), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in gan.parameters())
    assert all(map(math.isfinite, [*shown.error, *shown.gradient]))
    assert shown == retrain(gan, points(3, 16), steps=6)  # a function of the seed
    assert shown != retrain(gan, points(3, 16), steps=6, seed=1)


def test_clipped_weights_stay_clipped() -> None:
    gan, seen = toy(WGAN, clip=0.02), []
    gan.after_turn = lambda turn: None
    clip = type(gan.stabilizers[0]).after_turn

    def watch(self, turn, game) -> None:
        clip(self, turn, game)
        seen.append(max(float(p.abs().max()) for p in game.discriminator.parameters()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(gan.stabilizers[0]), "after_turn", watch)
        retrain(gan, points(3, 16), steps=4)
    assert max(seen) <= 0.02


class Distance(nn.Module):
    """An energy: the squared distance from a point that is learnt, from 0 on."""

    energy = True

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.point).square().mean(1)


def test_energies_count_the_other_way_round() -> None:
    gan = BEGAN(MLPGenerator((2,), latent_dim=3, width=4), Distance())
    data = [(batch + 9,) for (batch,) in points(3, 16)]
    shown = retrain(gan, data, steps=100, rate=0.2)
    assert (shown.error[0], shown.error[-1]) == (1, 0)  # at first the samples, which are near 0, have the low ones


def test_a_fresh_network_is_he_scaled_and_unbiased() -> None:
    net = nn.Sequential(nn.Linear(200, 300), nn.BatchNorm1d(300), nn.Conv2d(50, 60, 3))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(7.0)
        net[1].running_mean.fill_(7.0)
    torch.manual_seed(0)
    fresh(net)
    assert net[0].weight.std().item() == pytest.approx((2 / 1.04 / 200) ** 0.5, rel=0.02)
    assert net[2].weight.std().item() == pytest.approx((2 / 1.04 / 450) ** 0.5, rel=0.02)
    assert net[0].bias.abs().max() == net[2].bias.abs().max() == net[1].running_mean.abs().max() == 0
    assert torch.equal(net[1].weight, torch.ones(300))


@pytest.mark.parametrize(
    ("net", "stabilizer"),
    [
        (DCGANDiscriminator((1, 16, 16), width=4), SpectralNorm()),
        (DCGANDiscriminator((1, 16, 16), width=4, num_classes=3), SpectralNorm()),
        (DCGANDiscriminator((1, 16, 16), width=4), MinibatchDiscrimination(kernels=3)),
        (DCGANDiscriminator((1, 16, 16), width=4, norm="batch"), VirtualBatchNorm()),
        (GrowingDiscriminator((1, 16, 16), width=4), None),
    ],
)
def test_a_fresh_network_keeps_no_parameter(net: nn.Module, stabilizer: Stabilizer | None) -> None:
    """Nor does spectral norm apply another norm than 1."""
    classes = getattr(net, "num_classes", None)
    make = GrowingGenerator if isinstance(net, GrowingDiscriminator) else DCGANGenerator
    NSGAN(make((1, 16, 16), 4, width=4, num_classes=classes), net, stabilizers=[stabilizer] if stabilizer else None)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(7.0)
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    fresh(net)
    assert [name for name, parameter in net.named_parameters() if (parameter == before[name]).any()] == []
    if isinstance(stabilizer, SpectralNorm):
        applied = [module.weight.flatten(1) for module in net.modules() if hasattr(module, "parametrizations")]
        norms = [float(torch.linalg.matrix_norm(weight.detach(), 2)) for weight in applied]
        assert norms == pytest.approx([1.0] * len(norms), rel=0.1)


@pytest.mark.parametrize(
    ("data", "steps", "words"), [(points(1), 5, "at least 2 batches"), (points(3), 0, "at least 1")]
)
def test_what_it_refuses(data: list, steps: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        retrain(toy(NSGAN), data, steps=steps)


def test_a_run_does_it_at_its_end_if_asked(tmp_path: Path, capsys) -> None:
    def play(**options) -> dict:
        gan = images(MinimaxGAN)
        fit(gan, list(digits()), callbacks=[Diagnostics(**options)], logger=MetricsLog(tmp_path))
        return snapshot(gan)

    assert same(play(retrain_d=True), play())
    said = " ".join(capsys.readouterr().err.split())
    assert "MinimaxGAN, against the frozen generator: a fresh D tells samples from data after" in said
    row = json.loads((tmp_path / "frozen_generator.json").read_text())
    assert row["steps"][-1] == 300
    assert row["fall"] > 50


# The command


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    run(
        "-c", ROOT / "configs/minimax.yaml", "-c", DIGITS, *SMALL, f"--trainer.default_root_dir={root}",
        "--data.image_size=8",
        "--trainer.callbacks=[{class_path: zoo.callbacks.Diagnostics, init_args: {every_kimg: 0.1, n: 20}},"
        " {class_path: zoo.callbacks.Checkpoints}]",
    )  # fmt: skip
    return next(root.glob("*/last.ckpt"))


def test_the_command_reads_a_checkpoint(checkpoint: Path, tmp_path: Path, capsys) -> None:
    told = tmp_path / "found.json"
    words = ["-c", DIGITS, "--data.image_size", "8", "--n", "100", "--json", str(told)]
    assert main(["diagnose", str(checkpoint), *words, "--retrain-d", "--steps", "20"]) == 0
    said, found = capsys.readouterr().out, json.loads(told.read_text())
    assert f"{checkpoint}: MinimaxGAN at 0.32 kimg" in said
    assert "nothing was found in 3 readings while it trained" in said
    assert f"D ranks {found['reading']['accuracy']:.1%} of pairs" in said
    assert "against the frozen generator: " in said
    assert found["diagnosis"] == []
    assert found["retrained"]["steps"] == [0, 5, 8, 13, 20]
    assert found["reading"]["gradient"] > 0
    assert 0.3 < found["reading"]["slope"] < 0.7  # σ of scores near 0
    assert found["reading"]["movement"] == "nan"


def test_the_command_reads_a_published_gan(capsys) -> None:
    assert main(["diagnose", "wgan_gp-digits", "-c", DIGITS, "--data.image_size", "16", "--n", "64"]) == 0
    said = capsys.readouterr().out
    assert "WGANGP at 250.048 kimg" in said
    assert "passes on 1 of" in said
    assert "no readings of its training" in said


def test_the_command_refuses_other_images(checkpoint: Path, capsys) -> None:
    assert main(["diagnose", str(checkpoint), "-c", DIGITS, "--data.image_size", "16"]) == 2
    assert "samples of shape (1, 8, 8), the data has (1, 16, 16)" in capsys.readouterr().err
