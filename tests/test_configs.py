"""Every configuration, through the real command line, for a few batches: what holds for one holds for all.

That each goes on from its checkpoint is in test_resume.py.
"""

import tarfile
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import zoo
from tests.fits import BARE, DIGITS, NSGAN, SMALL, VARIANTS, fit, only, parsed
from tests.games import required, same, score, snapshot
from zoo.cli.main import ROOT
from zoo.datamodules import ImageData
from zoo.gan import GAN
from zoo.hub.export import export

OWN = [p for p in VARIANTS if f"variants.{p.stem}." in p.read_text()]  # an objective as its paper has it
DATASETS = sorted(ROOT.glob("configs/data/*.yaml"))
DOWNLOADED = ("mnist", "fashion_mnist", "cifar10")


def recipe(config: Path) -> bool:
    """Whether its head says so."""
    return "A recipe for" in config.read_text().partition("\nvariant:")[0]


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
    root = f"--trainer.default_root_dir={tmp_path / 'runs'}"
    cli = fit("-c", config, "-c", DIGITS, *SMALL, "--data.image_size=8", "--data.batch_size=16", root, BARE)
    gan = cli.model
    assert set(watched) == {turn.name for turn in gan.turns()}
    assert all(torch.as_tensor(value).isfinite().all() for value in gan.latest.values())
    assert all(value.isfinite().all() for value in gan.state_dict().values())
    assert cli.trainer.global_step == gan.steps == 5

    typed = yaml.safe_load(config.read_text())["model"]["init_args"]["generator"]["init_args"]
    for net in (getattr(gan, network) for network in required(type(gan))):  # no other network has its sizes typed
        assert tuple(net.image_shape[1:]) == (8, 8)
        assert getattr(net, "latent_dim", gan.latent_dim) == gan.latent_dim == typed["latent_dim"]

    run = only(tmp_path / "runs")
    assert run.name.startswith(f"{config.stem}-digits-")
    published = zoo.from_pretrained(export(run / "last.ckpt", tmp_path / "published", n_samples=4))  # by zoo.load
    assert type(published) is type(gan)
    assert same(snapshot(published), snapshot(gan))
    assert torch.equal(published.sample(9, seed=1), gan.sample(9, seed=1))
    if config in OWN and not recipe(config):
        says_what_the_class_would_do_by_itself(config, gan)


def says_what_the_class_would_do_by_itself(config: Path, gan: GAN) -> None:
    """The numbers of a paper stand in the class; a YAML that is no recipe repeats them so that they can be overridden.

    A configuration with a name of its own is another paper's remedy on top of an objective, and so are its numbers.
    """
    alone = type(gan)(**{network: getattr(gan, network) for network in required(type(gan))})
    assert repr(gan.dynamics) == repr(alone.dynamics)
    assert repr(gan.stabilizers) == repr(alone.stabilizers)
    for mine, default in zip(gan.configure_optimizers(), alone.configure_optimizers(), strict=True):
        assert type(mine) is type(default)
        assert mine.defaults == default.defaults
    arguments = yaml.safe_load(config.read_text())["model"]["init_args"]
    plain = {k: v for k, v in arguments.items() if isinstance(v, float) and k != "ema_decay"}
    assert {k: getattr(alone, k, v) for k, v in plain.items()} == plain


def test_the_page_of_recipes_names_each_of_them() -> None:
    page = (ROOT / "docs/recipes.md").read_text()
    table = {line.split("`")[1] for line in page.split("\n\n")[2].splitlines()[2:]}
    assert table == {config.stem for config in VARIANTS if recipe(config)} | {"lsgan"}  # whose paper's settings are one


def check_sizes(gan: GAN, data: ImageData, config: Path) -> None:
    """They come from the data."""
    assert tuple(gan.sample(2).shape[1:]) == data.image_shape
    assert score(gan, torch.zeros(3, *data.image_shape)).score.shape == (3,)
    assert "image_shape" not in config.read_text()


@pytest.mark.parametrize("name", DOWNLOADED)
def test_sizes_and_channels_come_from_the_data(name: str) -> None:
    config = ROOT / f"configs/data/{name}.yaml"
    built = parsed(NSGAN, config)
    assert built.dataset == name
    check_sizes(built.gan, built.data, config)


@pytest.mark.parametrize("config", [p for p in DATASETS if p.stem not in DOWNLOADED], ids=lambda p: p.stem)
def test_a_dataset_trains(config: Path, watched: list[str], tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for i in range(100):
        Image.new("RGB", (40, 30), (i, 255 - i, 2 * i)).save(images / f"{i}.png")
    for split, chosen in {"train": "[0-8]*", "val": "9*"}.items():
        (tmp_path / "shards" / split).mkdir(parents=True)
        with tarfile.open(tmp_path / "shards" / split / "0.tar", "w") as shard:
            for path in images.glob(chosen):
                shard.add(path, path.name)
    roots = {"image_folder": images, "shards": tmp_path / "shards"}
    folder = [f"--data.root={roots[config.stem]}"] if config.stem in roots else []
    cli = fit(
        "-c", NSGAN, "-c", config, *SMALL, f"--trainer.default_root_dir={tmp_path / 'runs'}", "--data.batch_size=16",
        *folder, BARE,
    )  # fmt: skip
    assert watched == ["d", "g"] * 5
    assert only(tmp_path / "runs").name.startswith(f"nsgan-{config.stem}-")
    assert all(torch.as_tensor(value).isfinite().all() for value in cli.model.latest.values())
    check_sizes(cli.model, cli.datamodule, config)
