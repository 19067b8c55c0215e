"""`python -m zoo finetune`: the network options come from the trained GAN."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import zoo
from tests.fits import BARE
from tests.games import same, snapshot
from tests.processes import typed
from zoo.__main__ import main
from zoo.cli import main as cli
from zoo.gan import GAN
from zoo.hub.finetune import words_of

SMALL = (
    "--data.batch_size=8", "--budget.kimg=0.05", "--trainer.logger=false",
    "--trainer.callbacks=zoo.callbacks.Checkpoints",
)  # fmt: skip


def source(folder: Path, *more: str) -> Path:
    """The last.ckpt of a run of SNGAN on digits of 8 pixels with networks unlike those of configs/."""
    networks = ("--model.generator.width=3", "--model.generator.latent_dim=5", "--model.discriminator.width=4")
    words = ["sngan", "digits", "--data.image_size=8", *networks, "--model.g_optimizer.lr=3e-4", *more]
    assert main(["train", *words, *SMALL, f"--trainer.default_root_dir={folder}"]) == 0
    (run,) = folder.iterdir()
    return run / "last.ckpt"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return source(tmp_path_factory.mktemp("source"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 40 grey images in 2 classes."""
    for k in range(40):
        folder = tmp_path / "my_images" / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (9, 9), dtype=np.uint8)).save(folder / f"{k}.png")
    return tmp_path / "my_images"


def finetuned(root: Path, *words: object) -> Path:
    """The folder of the run."""
    assert main(["finetune", *map(str, words), *SMALL, f"--trainer.default_root_dir={root}"]) == 0
    (run,) = root.iterdir()
    return run


def begun(root: Path, ref: Path, *words: object) -> tuple[GAN, Path]:
    """What training begins with, and the folder of the run."""
    words = (*words_of(str(ref), list(map(str, words))), *SMALL, "--trainer.max_steps=0")
    gan = cli.main(["fit", *words, f"--trainer.default_root_dir={root}"]).model
    (run,) = root.iterdir()
    return gan, run


def test_a_folder_of_images_goes_on_from_the_networks_of_a_run(trained: Path, images: Path, tmp_path: Path) -> None:
    """SNGAN, its widths, rates and grey images of 8 pixels; the first weights are those of the source."""
    new, run = begun(tmp_path / "runs", trained.parent, "--data.root", images)
    assert run.name.startswith("sngan-image_folder-")
    assert same(snapshot(new), snapshot(zoo.load(trained)))
    assert [type(s).__name__ for s in new.stabilizers] == ["SpectralNorm"]
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    assert config["model"]["init_args"]["init_from"]["ref"] == str(trained)
    assert config["model"]["init_args"]["g_optimizer"]["init_args"]["lr"] == 3e-4
    data = config["data"]["init_args"]
    assert (data["image_size"], data["channels"], data["root"]) == (8, 1, str(images))


def test_other_words_are_those_of_train_and_come_last(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("model: {init_args: {ema_decay: 0.5, g_optimizer: {init_args: {lr: 1.0e-6}}}}")
    first = "discriminator.trunk.0"
    words = ["digits", "-c", tmp_path / "mine.yaml", f"--model.init_from.freeze=[{first}]"]
    run = finetuned(tmp_path / "runs", trained, *words, "--model.d_optimizer.lr=2e-6")
    old, new = zoo.load(trained), zoo.load(run)
    assert not same(snapshot(new.discriminator), snapshot(old.discriminator))
    weight = new.get_submodule(first).parametrizations.weight.original
    assert torch.equal(weight, old.get_submodule(first).parametrizations.weight.original)
    model = yaml.safe_load((run / "config.yaml").read_text("utf-8"))["model"]["init_args"]
    rates = [model[f"{side}_optimizer"]["init_args"]["lr"] for side in "gd"]
    assert (model["ema_decay"], *rates) == (0.5, 1e-6, 2e-6)


def test_a_conditional_source_has_the_classes_of_the_data(tmp_path: Path, images: Path, capsys) -> None:
    ref = source(tmp_path / "source", "--conditional=true")
    new, _ = begun(tmp_path / "runs", ref, "digits")
    assert new.num_classes == 10
    assert same(snapshot(new), snapshot(zoo.load(ref)))
    with pytest.raises(SystemExit):
        finetuned(tmp_path / "other", ref, "--data.root", images)
    assert "build it alike with data of 10 classes\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no data are chosen: add --data.root FOLDER for a folder of images, or --data NAME"),
        (["--budget.kimg=1"], "no data are chosen: add --data.root FOLDER for a folder of images, or --data NAME"),
        (["ring"], "makes samples of shape (1, 8, 8), Toy has (2,)"),
        (["digit"], "no configuration 'digit'; did you mean 'digits'?"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str, trained: Path, tmp_path: Path, capsys) -> None:
    assert main(["finetune", str(trained), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(said)
    assert not (tmp_path / "runs").exists()


def test_it_works_as_typed_with_a_published_gan_and_with_networks_of_ones_own(tmp_path: Path) -> None:
    """A module of one's own is imported only if it is trusted."""
    (tmp_path / "ownnets.py").write_text("from zoo.backbones import MLPGenerator\n\n\nclass Own(MLPGenerator): ...\n")
    words = ("wgan_gp-fashion_mnist", "--data", "digits", "--budget.kimg=0.1", BARE)
    done = typed(tmp_path, "-m", "zoo", "finetune", *words)
    assert done.returncode == 0, done.stderr
    assert "Starting from wgan_gp-fashion_mnist (WGANGP): generator, discriminator\n" in done.stdout
    assert next((tmp_path / "runs").iterdir()).name.startswith("wgan_gp-digits-")

    own = ("--model.generator=ownnets.Own", "--model.generator.latent_dim=4", "--model.discriminator.width=4")
    words = ("-m", "zoo", "train", "nsgan", "digits", "--data.image_size=8", *own, *SMALL)
    done = typed(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    refused = typed(tmp_path, "-m", "zoo", "finetune", "latest", "--data", "digits", *SMALL)
    assert refused.returncode == 2
    assert "--trust ownnets" in refused.stderr
    done = typed(tmp_path, "-m", "zoo", "finetune", "latest", "--trust", "ownnets", "--data", "digits", *SMALL)
    assert done.returncode == 0, done.stderr
    assert f"Starting from {Path('runs') / 'nsgan-digits'}" in done.stdout
