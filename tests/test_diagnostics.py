"""The diagnosis beside a run: it changes nothing, survives a resume, and says what it found where it is read."""

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch.optim import SGD

from tests.fakes.wandb import records
from tests.fits import SMALL
from tests.fits import fit as run
from tests.games import fit, networks, points, snapshot
from tests.processes import apart
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.callbacks import Checkpoints, Diagnostics, RunRecord
from zoo.cli.main import ROOT
from zoo.diagnostics import DIVERGENCE, Reading
from zoo.run.loggers import MetricsLog, WandbLogger
from zoo.run.records import read_metrics
from zoo.stabilizers import Dropout, InstanceNoise, SpectralNorm
from zoo.variants.lsgan import LSGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.wgan import WGAN

EVERY = 0.016  # kimg: two batches of games.points


def game() -> NSGAN:
    """Everything that a look could disturb: running statistics, power iterations, noise that counts its draws."""
    parts = [SpectralNorm(), InstanceNoise(1.0), Dropout()]
    return NSGAN(*networks(norm="batch"), stabilizers=parts, ema_decay=0.5)


class Diary(Callback):
    """The random states after every batch, and some draws."""

    def __init__(self) -> None:
        self.draws: list[Any] = []

    def on_train_batch_end(self, trainer, module, *args: Any) -> None:
        self.draws.append((random.random(), np.random.rand(), torch.rand(()).item()))


def test_a_run_is_the_same_bit_for_bit() -> None:
    def play(*callbacks: Callback) -> tuple[dict, list]:
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)
        gan, diary = game(), Diary()
        made = fit(gan, points(6), callbacks=[*callbacks, diary])
        optimizers = [value for o in made.optimizers for s in o.state.values() for value in s.values()]
        gradients = {f"{name}.grad": p.grad.clone() for name, p in gan.named_parameters() if p.grad is not None}
        modes = {name: torch.tensor(module.training) for name, module in gan.named_modules()}
        moments = {str(i): value for i, value in enumerate(optimizers)}
        return {**snapshot(gan), **gradients, **modes, **moments}, diary.draws

    looking = Diagnostics(every_kimg=0.008)
    (watched, draws), (alone, others) = play(looking), play()
    assert len(looking.history.readings) == 6
    assert draws == others
    assert watched.keys() == alone.keys()
    for name, value in alone.items():
        assert torch.equal(watched[name], value), name


def test_it_reads_when_it_is_due_and_logs_it(tmp_path: Path) -> None:
    looking = Diagnostics(every_kimg=EVERY, n=8)
    gan = NSGAN(*networks())
    fit(gan, points(5), callbacks=[looking], logger=MetricsLog(tmp_path), log_every_n_steps=100)
    readings = looking.history.readings
    assert [r.kimg for r in readings] == [0.016, 0.032]
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["progress/kimg"] for row in rows] == [0.016, 0.032]
    assert [row["step"] for row in rows] == [1, 3]
    assert rows[1]["diagnosis/accuracy"] == readings[1].accuracy
    assert rows[1]["diagnosis/finite"] == 1
    layers = {name: value for name, value in rows[1].items() if name.startswith("diagnosis/gradient/")}
    assert list(layers) == [f"diagnosis/gradient/net.{i}" for i in (0, 3, 6)]
    assert math.hypot(*layers.values()) == pytest.approx(readings[1].gradient)
    assert "diagnosis/movement" in rows[1]
    assert not any(name.startswith("diagnosis/movement") for name in rows[0])  # nothing to compare with yet
    assert 0 < looking.seconds < 5


def test_growth_is_over_the_weights_of_before_the_first_step_also_after_a_resume(capsys) -> None:
    first, gan = Diagnostics(every_kimg=EVERY, n=8), NSGAN(*networks())

    def norm() -> float:
        return max(math.hypot(*(float(p.norm()) for p in net.parameters())) for net in gan.players().values())

    start = norm()
    fit(gan, points(2), callbacks=[first])
    [reading] = first.history.readings
    assert reading.growth == pytest.approx(norm() / start) != 1
    with torch.no_grad():
        for parameter in gan.parameters():
            parameter.mul_(11)
    again = Diagnostics(every_kimg=EVERY, n=8)
    again.load_state_dict(first.state_dict())
    fit(gan, points(2), callbacks=[again])
    assert "the norm of the weights grew" in capsys.readouterr().err
    assert again.history.readings[1].growth == pytest.approx(norm() / start)
    assert [finding.name for finding in again.history.findings] == [DIVERGENCE]


def test_a_resumed_run_goes_on_with_its_readings(tmp_path: Path) -> None:
    def play(batches: slice, resume: str | None = None) -> Diagnostics:
        looking = Diagnostics(every_kimg=EVERY, n=8)
        folder = tmp_path / "run"
        parts = [looking, Checkpoints(every_kimg=1)]
        fit(
            game(), points(12)[batches], callbacks=parts, enable_checkpointing=True, default_root_dir=folder,
            ckpt_path=resume, max_epochs=1 if resume is None else 2,
        )  # fmt: skip
        return looking

    whole = play(slice(12))
    play(slice(4))
    last = str(next(tmp_path.glob("run/**/last.ckpt")))
    state = torch.load(last, weights_only=True)["callbacks"]["Diagnostics"]
    assert [row["kimg"] for row in state["readings"]] == [0.016, 0.032]
    resumed = play(slice(4, 12), last)
    assert str(resumed.history.readings) == str(whole.history.readings)  # NaN is not itself
    assert not math.isnan(resumed.history.readings[2].direction_change)


def diverging() -> LSGAN:
    def rate(parameters) -> SGD:
        return SGD(parameters, lr=1e6)

    return LSGAN(*networks(), g_optimizer=rate, d_optimizer=rate)


def test_a_finding_is_told_once_and_kept(tmp_path: Path, capsys) -> None:
    looking = Diagnostics(every_kimg=EVERY, n=8)
    stop = [RunRecord(tmp_path, "lsgan", "points"), looking]
    with pytest.raises(FloatingPointError):
        fit(diverging(), points(60), callbacks=stop)
    assert capsys.readouterr().err.count("LSGAN: non-convergence") == 1
    [found] = looking.history.findings
    assert (found.name, found.kimg) == (DIVERGENCE, looking.history.readings[0].kimg)
    [kept] = json.loads((tmp_path / "run.json").read_text())["diagnosis"]
    assert kept == found._asdict()
    assert {"name", "kimg", "evidence", "advice"} == kept.keys()
    assert "lower learning rates" in kept["advice"]


def sick(folder: str) -> None:
    with pytest.raises(FloatingPointError):
        fit(diverging(), points(60), callbacks=[Diagnostics(every_kimg=EVERY)], logger=WandbLogger(save_dir=folder))


def test_a_finding_is_an_alert_in_wandb(tmp_path: Path) -> None:
    apart(lambda: sick(str(tmp_path)), {"WANDB_MODE": "offline"})
    [log] = tmp_path.glob("wandb/offline-run-*/*.wandb")
    [alert] = [record["alert"] for record in records(log, "alert")]
    assert (alert["title"], alert["level"]) == (DIVERGENCE, "WARN")
    assert alert["text"].startswith("non-convergence (divergence) at 0.016 kimg: scores are")
    assert "; try lower learning rates" in alert["text"]


def test_a_run_that_stops_before_a_reading_is_told_too(capsys) -> None:
    looking = Diagnostics()
    with pytest.raises(FloatingPointError):
        fit(diverging(), points(60), callbacks=[looking])
    assert "LSGAN: non-convergence" in capsys.readouterr().err
    assert [(f.name, f.kimg) for f in looking.history.findings] == [(DIVERGENCE, 0.4)]


def test_a_run_without_it_says_so(tmp_path: Path) -> None:
    fit(NSGAN(*networks()), points(1), callbacks=[RunRecord(tmp_path, "nsgan", "points")])
    assert json.loads((tmp_path / "run.json").read_text())["diagnosis"] is None


def test_advice_after_a_resume_knows_the_game() -> None:
    looking = Diagnostics()
    rows = [Reading(kimg=1.0, finite=False).as_row()]
    looking.load_state_dict({"readings": rows, "reader": looking._reader.state_dict()})
    gan = WGAN(*networks())
    fit(gan, points(1), callbacks=[looking])
    assert looking.history.findings[0].advice.startswith("try a bound on the critic")


@pytest.mark.parametrize("arguments", [{"every_kimg": 0}, {"n": 1}])
def test_what_it_refuses(arguments: dict) -> None:
    with pytest.raises(ValueError, match=r"positive|at least 2"):
        Diagnostics(**arguments)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("mdgan", []), ("ali", []), ("began", []), ("wgan", []), ("conditional", []), ("packed", []),
        ("vae_gan", ["--model.margin=100"]),  # so that nobody waits
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_every_kind_of_game_can_be_read(name: str, more: list[str], tmp_path: Path) -> None:
    cli = run(
        "-c", ROOT / f"configs/{name}.yaml", "-c", ROOT / "configs/data/digits.yaml", *SMALL, *more,
        f"--trainer.default_root_dir={tmp_path}", "--data.image_size=8",
        "--trainer.callbacks=[{class_path: zoo.callbacks.Diagnostics, init_args: {every_kimg: 0.3, n: 20}}]",
    )  # fmt: skip
    looking = next(c for c in cli.trainer.callbacks if isinstance(c, Diagnostics))
    [reading] = looking.history.readings
    unknown = {key for key, value in reading.as_row().items() if math.isnan(value)}
    later = {"movement", "detour", "direction_change", "weight_turn", "dropped"}  # which take two readings or more
    assert unknown == later | ({"sign"} if cli.model.energy_based else set())
    assert reading.finite
    assert reading.gradient > 0
    assert 0 < reading.modes < 2


def test_games_that_train_in_less_than_a_reading_have_none(tmp_path: Path) -> None:
    looking = Diagnostics()
    gan = NSGAN(MLPGenerator((2,), latent_dim=2, width=3), MLPDiscriminator((2,), width=3))
    fit(gan, points(2), callbacks=[looking])
    assert looking.history.readings == looking.history.findings == []
