"""Every configuration, through the real command line, for a few batches: what holds for one holds for all."""

from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import zoo
from tests.games import required, same, score, snapshot
from zoo.cli.main import ROOT, main
from zoo.gan import GAN
from zoo.hub.export import export

VARIANTS = sorted(p for p in ROOT.glob("configs/*.yaml") if "variant" in yaml.safe_load(p.read_text()))
OWN = [p for p in VARIANTS if f"variants.{p.stem}." in p.read_text()]  # an objective as its paper has it
DATASETS = sorted(ROOT.glob("configs/data/*.yaml"))
DOWNLOADED = {"mnist", "fashion_mnist", "cifar10"}

SMALL = [
    "--trainer.max_steps=5", "--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.log_every_n_steps=1",
    "--model.init_args.generator.init_args.width=4", "--model.init_args.discriminator.init_args.width=4",
]  # fmt: skip


def fit(*args: object):
    return main(["fit", *map(str, args)])


@pytest.fixture
def watched(monkeypatch) -> list[str]:
    """The names of the turns played; each is checked to have changed its movers' networks and nothing else."""
    played: list[str] = []

    def watch(name: str) -> None:
        method = getattr(GAN, name)

        def watched(gan: GAN, turn, *args, **kwargs):
            before = {name: snapshot(net) for name, net in gan.players().items()}
            result = method(gan, turn, *args, **kwargs)
            changed = {name for name, net in gan.players().items() if not same(before[name], snapshot(net))}
            assert changed == set(turn.movers)
            assert all(p.requires_grad for net in gan.players().values() for p in net.parameters())
            if name == "optimize":
                played.append(turn.name)
            return result

        monkeypatch.setattr(GAN, name, watched)

    watch("move")  # with its forward pass, which some dynamics have for both sides at once
    watch("optimize")
    return played


@pytest.mark.parametrize("config", VARIANTS, ids=lambda p: p.stem)
def test_a_variant_trains_saves_and_samples(config: Path, watched: list[str], tmp_path: Path) -> None:
    digits = ROOT / "configs/data/digits.yaml"
    cli = fit("-c", config, "-c", digits, *SMALL, f"--trainer.default_root_dir={tmp_path}", "--data.image_size=8")
    gan = cli.model
    assert set(watched) == {turn.name for turn in gan.turns()}
    assert all(torch.as_tensor(value).isfinite().all() for value in gan.latest.values())
    assert all(value.isfinite().all() for value in gan.state_dict().values())
    assert cli.trainer.global_step == gan.steps == 5

    (run,) = tmp_path.iterdir()
    assert run.name.startswith(f"{config.stem}-digits-")
    loaded = zoo.load(run / "last.ckpt")
    assert type(loaded) is type(gan)
    assert same(snapshot(loaded), snapshot(gan))
    assert torch.equal(loaded.sample(9, seed=1), gan.sample(9, seed=1))
    published = zoo.from_pretrained(export(run / "last.ckpt", tmp_path / "published", n_samples=4))
    assert same(snapshot(published), snapshot(gan))
    assert torch.equal(published.sample(9, seed=1), gan.sample(9, seed=1))


@pytest.mark.parametrize("config", OWN, ids=lambda p: p.stem)
def test_a_configuration_says_what_the_class_would_do_by_itself(config: Path) -> None:
    """The numbers of a paper stand in the class; the YAML repeats them only so that they can be overridden.

    A configuration with a name of its own is another paper's remedy on top of an objective, and so are its numbers.
    """
    told = yaml.safe_load(config.read_text())["model"]
    module, _, name = told["class_path"].rpartition(".")
    cls = getattr(__import__(module, fromlist=[name]), name)
    cli = parsed(config, ROOT / "configs/data/digits.yaml")
    alone = cls(**{network: getattr(cli.model, network) for network in required(cls)})
    assert repr(cli.model.dynamics) == repr(alone.dynamics)
    assert repr(cli.model.stabilizers) == repr(alone.stabilizers)
    for mine, default in zip(cli.model.configure_optimizers(), alone.configure_optimizers(), strict=True):
        assert type(mine) is type(default)
        assert mine.defaults == default.defaults
    plain = {k: v for k, v in told["init_args"].items() if isinstance(v, float) and k != "ema_decay"}
    assert {k: getattr(alone, k, v) for k, v in plain.items()} == plain


def parsed(*configs: Path):
    """The model that the command line would build, untrained."""
    from lightning.pytorch import LightningDataModule

    from zoo.cli.main import Parser, ZooCLI

    arguments = [a for c in configs for a in ("-c", str(c))]
    return ZooCLI(
        GAN, LightningDataModule, subclass_mode_model=True, subclass_mode_data=True, auto_configure_optimizers=False,
        save_config_callback=None, parser_class=Parser, run=False, args=arguments,
    )  # fmt: skip


@pytest.mark.parametrize("config", DATASETS, ids=lambda p: p.stem)
def test_sizes_and_channels_come_from_the_data(config: Path) -> None:
    cli = parsed(ROOT / "configs/wgan_gp.yaml", config)
    shape = cli.datamodule.image_shape
    assert tuple(cli.model.sample(2).shape[1:]) == shape
    assert score(cli.model, torch.zeros(3, *shape)).score.shape == (3,)
    assert "image_shape" not in config.read_text()


@pytest.mark.parametrize("config", [p for p in DATASETS if p.stem not in DOWNLOADED], ids=lambda p: p.stem)
def test_a_dataset_trains(config: Path, watched: list[str], tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for i in range(100):
        Image.new("RGB", (40, 30), (i, 255 - i, 2 * i)).save(images / f"{i}.png")
    folder = [f"--data.root={images}"] if config.stem == "image_folder" else []
    cli = fit(
        "-c", ROOT / "configs/nsgan.yaml", "-c", config, *SMALL, f"--trainer.default_root_dir={tmp_path / 'runs'}",
        "--data.batch_size=16", *folder,
    )  # fmt: skip
    assert watched == ["d", "g"] * 5
    assert all(torch.as_tensor(value).isfinite().all() for value in cli.model.latest.values())
