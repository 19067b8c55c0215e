"""Training from Python leaves what the command line leaves, and is read back by the same commands."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Callback
from torch import nn

import zoo
from tests.processes import typed
from zoo.backbones import DCGANDiscriminator, DCGANGenerator
from zoo.benchmark.resolve import Unplayed
from zoo.callbacks import EarlyStopping, Quality
from zoo.cli.main import DEFAULT_CALLBACKS, ROOT, CallbackName, main
from zoo.datamodules import Digits
from zoo.schedules import Linear
from zoo.stabilizers import InstanceNoise
from zoo.support.described import description
from zoo.variants import NSGAN, WGANGP

SMALL = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False}


def game(kind=WGANGP, **options) -> zoo.GAN:
    shape = (1, 8, 8)
    return kind(
        DCGANGenerator(shape, latent_dim=4, width=4), DCGANDiscriminator(shape, width=4, norm="none"), **options
    )


def test_a_run_from_python_is_a_run(tmp_path: Path) -> None:
    gan = game(stabilizers=[InstanceNoise(until_kimg=3)], d_scheduler=Linear(end_kimg=10))
    run = zoo.fit(gan, Digits(image_size=8), kimg=0.5, folder=tmp_path, **SMALL)
    assert run.parent == tmp_path
    assert run.name.startswith("wgan_gp-digits-")
    assert {"run.json", "config.yaml", "metrics.jsonl", "scores.jsonl", "samples", "last.ckpt", "best.ckpt"} <= {
        path.name for path in run.iterdir()
    }
    assert not gan.training
    loaded = zoo.load(run / "last.ckpt")
    assert torch.equal(loaded.sample(4, seed=1), gan.sample(4, seed=1))
    assert loaded.stabilizers[0].until_kimg == 3
    (run / "config.yaml").write_text("variant: wgan_gp  # with settings of a command line\n")
    left_out = (name for name in ["diagnostics", "samples"])
    again = zoo.fit(loaded, Digits(image_size=8), kimg=0.8, resume=run, without=left_out, **SMALL)
    assert again == run
    assert "settings of a command line" in (run / "config.yaml").read_text()
    assert json.loads((run / "run.json").read_text())["result"]["steps"] == 13
    torn = torch.load(run / "last.ckpt", weights_only=True)
    torn["optimizer_states"][0]["state"][0]["exp_avg"] = torch.zeros(1)
    torch.save(torn, run / "last.ckpt")
    with pytest.raises(ValueError, match=r"optimizer_states: d\.state\.0\.exp_avg"):
        zoo.fit(loaded, Digits(image_size=8), kimg=0.9, resume=run, **SMALL)


def test_its_configuration_is_read_by_the_command_line(tmp_path: Path) -> None:
    run = zoo.fit(game(NSGAN), Digits(image_size=8), kimg=0.2, folder=tmp_path, **SMALL)
    for words in (
        ["-m", "zoo", "evaluate", str(run), "--n=200", "--features=pixels8"],
        ["train.py", "fit", f"--ckpt_path={run}", "--budget.kimg=0.3", "--trainer.accelerator=cpu"],
    ):
        done = typed(tmp_path, *words)
        assert done.returncode == 0, done.stderr
    assert json.loads((run / "run.json").read_text())["result"]["steps"] == 5


def test_a_network_of_another_kind_is_said_to_have_no_description(tmp_path: Path) -> None:
    class Net(nn.Module):
        latent_dim = 4

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 64)

        def forward(self, z):
            return self.layer(z).view(-1, 1, 8, 8)

    with pytest.raises(ValueError, match=r"generator: a Net does not say how it was built"):
        description(NSGAN(Net(), DCGANDiscriminator((1, 8, 8), width=4)), "gan")


def test_the_defaults_stand_in_one_place() -> None:
    defaults = yaml.safe_load((ROOT / "configs/default.yaml").read_text())
    assert set(DEFAULT_CALLBACKS) == set(CallbackName.__args__) <= set(defaults)


@pytest.mark.parametrize(
    ("labels", "words"),
    [(10, "0..9"), ([0, 1], "one class or 3"), (0.5, "float"), ([0, 1, -1], "0..9"), (True, "bool")],
)
def test_labels_that_cannot_be_are_one_line(labels, words) -> None:
    nets = DCGANGenerator((1, 8, 8), 4, 4, num_classes=10), DCGANDiscriminator((1, 8, 8), 4, num_classes=10)
    with pytest.raises(ValueError, match=words):
        NSGAN(*nets).sample(3, labels=labels)
    with pytest.raises(ValueError, match="no classes"):
        game().sample(3, labels=1)


def test_labels_are_one_for_all_or_one_for_each() -> None:
    nets = DCGANGenerator((1, 8, 8), 4, 4, num_classes=10), DCGANDiscriminator((1, 8, 8), 4, num_classes=10)
    gan = NSGAN(*nets).eval()
    z = torch.randn(3, 4)
    assert torch.equal(gan.sample(3, z=z, labels=3), gan.sample(3, z=z, labels=torch.tensor([3, 3, 3])))
    assert torch.equal(gan.sample(3, z=z, labels=[0, 1, 2]), gan.sample(3, z=z))
    assert torch.allclose(gan(z, torch.tensor([0, 1, 2])), gan.sample(3, z=z), atol=1e-6)


def test_a_gan_is_exported_with_any_batch() -> None:
    gan = game(ema_decay=0.9).eval()
    exported = torch.export.export(gan, (torch.randn(2, 4),), dynamic_shapes={"z": {0: torch.export.Dim("n")}})
    z = torch.randn(5, 4)
    assert torch.allclose(exported.module()(z), gan.sample(5, z=z), atol=1e-6)


def test_show_is_a_picture_and_saves_it(tmp_path: Path) -> None:
    image = zoo.show(torch.zeros(4, 1, 32, 32), path=tmp_path / "a.png")
    assert image.size == (66, 66)
    assert (tmp_path / "a.png").is_file()


class Scores(Callback):
    """Gives the Quality a score after each batch."""

    def __init__(self, quality: Quality, scores: list[float]) -> None:
        self.quality, self.scores = quality, scores

    def on_train_batch_end(self, trainer, gan, *args) -> None:
        if gan.steps <= len(self.scores):
            self.quality.score, self.quality.score_kimg = self.scores[gan.steps - 1], gan.kimg


@pytest.mark.parametrize(
    ("scores", "steps"), [([5, 4, 4, 4, 3], 4), ([5, 4, 5, 3, 4, 4], 6), ([float("nan")] * 3, 2), ([5, 5], None)]
)
def test_early_stopping_counts_measurements(scores: list[float], steps: int | None, tmp_path: Path) -> None:
    """Score of each of the first batches; patience is 2, and one score stands for the rest of the run."""
    quality = Quality(every_kimg=100, n=6)
    stop = EarlyStopping(patience=2)
    quality._prepare = lambda *_: None
    quality._record = lambda *_, **__: None
    gan = game(NSGAN)
    zoo.fit(
        gan, Digits(image_size=8), kimg=0.64, folder=tmp_path, callbacks=[Scores(quality, scores), stop, quality],
        without=["quality", "samples", "diagnostics"], **SMALL,
    )  # fmt: skip
    assert gan.steps == (steps or 10)
    assert (stop.reason is None) == (steps is None)


def test_callbacks_are_added_changed_and_left_out_by_name(tmp_path: Path) -> None:
    words = [
        "fit", "-c", f"{ROOT}/configs/nsgan.yaml", "-c", f"{ROOT}/configs/data/digits.yaml", "--data.image_size=8",
        "--model.generator.width=4", "--model.discriminator.width=4", "--trainer.max_steps=1", "--trainer.logger=false",
        f"--trainer.default_root_dir={tmp_path}", "--trainer.accelerator=cpu", "--quality.n=150",
    ]  # fmt: skip

    def kinds(*more: str) -> dict[str, Callback]:
        return {type(callback).__name__: callback for callback in main([*words, *more], Unplayed).trainer.callbacks}

    usual = kinds("--checkpoints.every_kimg=7", "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.patience=5")
    assert {kind.__name__ for kind in DEFAULT_CALLBACKS.values()} <= set(usual)
    assert (usual["Checkpoints"]._every.kimg, usual["Quality"]._every.kimg) == (7, 20)
    assert usual["EarlyStopping"].patience == 5
    fewer = kinds("--without=[quality, samples]")
    assert not {"Quality", "Samples"} & set(fewer)
    assert "Checkpoints" in fewer
    listed = "{class_path: zoo.callbacks.Samples}, {class_path: zoo.callbacks.Checkpoints, init_args: {every_kimg: 3}}"
    older = kinds(f"--trainer.callbacks=[{listed}]", "--without=[samples]")  # a default one is left out of a list too
    assert older["Checkpoints"]._every.kimg == 3
    assert not {"Quality", "Samples", "Diagnostics"} & set(older)


def test_a_dry_run_leaves_no_folder(tmp_path: Path, capsys) -> None:
    main([
        "fit", "-c", f"{ROOT}/configs/nsgan.yaml", "-c", f"{ROOT}/configs/data/ring.yaml", "--trainer.logger=false",
        f"--trainer.default_root_dir={tmp_path}", "--trainer.accelerator=cpu", "--trainer.fast_dev_run=true",
    ])  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    assert "Run: " not in capsys.readouterr().err


@pytest.mark.parametrize(("name", "file"), [("TensorBoardLogger", "events"), ("CSVLogger", "metrics.csv")])
def test_other_loggers_write_into_the_runs_folder(name: str, file: str, tmp_path: Path) -> None:
    if name == "TensorBoardLogger":
        pytest.importorskip("tensorboard")
    main([
        "fit", "-c", f"{ROOT}/configs/nsgan.yaml", "-c", f"{ROOT}/configs/data/digits.yaml", "--data.image_size=8",
        "--model.generator.width=4", "--model.discriminator.width=4", "--budget.kimg=0.2", f"--trainer.logger={name}",
        f"--trainer.default_root_dir={tmp_path}", "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1",
        "--without=[quality]",
    ])  # fmt: skip
    (run,) = tmp_path.iterdir()
    (found,) = run.rglob(f"*{file}*")
    assert found.stat().st_size > (10_000 if file == "events" else 100)  # a picture is among the events
