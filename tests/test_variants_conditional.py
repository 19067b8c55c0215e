"""Class-conditional GANs: labels reach the networks, the scores and the diagnosis as the data have them."""

import subprocess
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zoo
from tests.games import fit
from tests.processes import typed
from zoo.backbones import DCGANGenerator, GrowingGenerator, MLPDiscriminator, MLPGenerator, ResNetGenerator
from zoo.callbacks import Diagnostics
from zoo.callbacks.evaluation import Evaluation, class_labels
from zoo.cli.main import ROOT
from zoo.datamodules import Digits
from zoo.diagnostics import COLLAPSE
from zoo.diagnostics.reader import Reader
from zoo.metrics.features import Points
from zoo.run.pictures import class_grid
from zoo.variants.nsgan import NSGAN

SMALL = [
    "--budget.kimg=0.2", "--trainer.logger=false", "--model.generator.width=4", "--model.discriminator.width=4",
    "--data.image_size=8",
]  # fmt: skip


def train(cwd: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return typed(cwd, "train.py", "fit", *words, *SMALL, f"--trainer.default_root_dir={cwd / 'runs'}")


def folder(root: Path, classes: int, n: int = 40) -> Path:
    generator = torch.Generator().manual_seed(0)
    for k in range(classes):
        (root / f"class{k}").mkdir(parents=True)
        for i in range(n):
            pixels = torch.randint(256, (8, 8), generator=generator, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(root / f"class{k}" / f"{i}.png")
    return root


# The generator


@pytest.mark.parametrize("net", [DCGANGenerator, ResNetGenerator, GrowingGenerator, MLPGenerator])
def test_a_label_enters_as_its_one_hot_code(net) -> None:
    g = net((1, 8, 8), latent_dim=5, width=4, num_classes=3)
    seen: list[Tensor] = []
    g.net.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    z = torch.randn(4, 5)
    g(z, torch.tensor([2, 0, 1, 2]))
    assert torch.equal(seen[0][:, :5], z)
    assert torch.equal(seen[0][:, 5:], torch.eye(3)[[2, 0, 1, 2]])


class Faces(nn.Module):
    """A generator of a point for each class, and `spread` times z around it."""

    latent_dim = 2

    def __init__(self, centres: Tensor, spread: float) -> None:
        super().__init__()
        self.centres, self.spread, self.num_classes = nn.Parameter(centres), spread, len(centres)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.centres[labels] + self.spread * z


CENTRES = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])


def game(spread: float, seed: int = 0) -> NSGAN:
    torch.manual_seed(seed)
    return NSGAN(Faces(CENTRES.clone(), spread), MLPDiscriminator((2,), width=7, num_classes=3))


def batches(count: int, n: int = 60, shares: tuple[float, ...] = (1.0, 1.0, 1.0)) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    draws = [torch.multinomial(torch.tensor(shares), n, True, generator=generator) for _ in range(count)]
    return [(CENTRES[labels] + torch.randn(n, 2, generator=generator), labels) for labels in draws]


# The diagnosis


@pytest.mark.parametrize(("spread", "expected"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_diversity_is_that_within_classes(spread: float, expected: float) -> None:
    gan, [data] = game(spread), batches(1, n=600)
    fit(gan, [data])
    reading = Reader(600, 0)(gan, *data)
    assert reading is not None
    assert reading.within_classes
    assert reading.diversity == pytest.approx(expected, abs=0.06)


def test_too_few_pairs_of_a_class_leave_the_diversity_of_all() -> None:
    gan, [(points, labels)] = game(0.0), batches(1, n=4)
    fit(gan, [(points, labels)])
    reading = Reader(4, 0)(gan, points, labels)
    assert reading is not None
    assert not reading.within_classes
    assert reading.diversity > 0.3


def test_one_picture_per_class_is_found(capsys) -> None:
    looking = Diagnostics(every_kimg=0.06, n=60)
    fit(game(0.0), batches(8), callbacks=[looking])
    said = " ".join(capsys.readouterr().err.split())
    assert "samples of the same class differ 0 times as much as the data do" in said
    assert [finding.name for finding in looking.history.findings] == [COLLAPSE]


# The scores


class Unbalanced:
    """950 of class 0 and 50 of class 1, as any data module has them."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.known = torch.tensor([0] * 950 + [1] * 50)[torch.randperm(1000, generator=generator)]
        self.points = CENTRES[self.known] + torch.randn(1000, 2, generator=generator)

    def val_dataloader(self) -> list[tuple[Tensor, Tensor]]:
        return [(self.points[:600], self.known[:600]), (self.points[600:], self.known[600:])]


@pytest.mark.parametrize("n", [1000, 333])
def test_classes_are_scored_as_often_as_the_data_hold_them(n: int) -> None:
    data, gan = Unbalanced(), game(1.0)
    labels = class_labels(gan, data, "val")
    assert labels is not None
    [score] = Evaluation(Points(), data.points, "val", n=n, scores=["fd"], labels=labels)(gan).scores.values()
    [in_turn] = Evaluation(Points(), data.points, "val", n=n, scores=["fd"])(gan).scores.values()
    assert score < 0.2 < 10 < in_turn


def test_labels_are_those_of_a_conditional_gan_and_labelled_data() -> None:
    data = Digits(image_size=8)
    data.setup()
    gan = game(1.0)
    assert torch.equal(class_labels(gan, data, "val"), data.splits["val"].labels)
    gan.num_classes = None
    assert class_labels(gan, data, "val") is None


# What a user types


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a folder of three classes."""
    home = tmp_path_factory.mktemp("home")
    words = ["-c", ROOT / "configs/conditional.yaml", "-c", ROOT / "configs/data/image_folder.yaml"]
    done = train(home, *words, "--data.root", folder(home / "images", 3))
    assert done.returncode == 0, done.stderr
    [run] = (home / "runs").iterdir()
    return run


def test_classes_come_from_the_data(run: Path, tmp_path: Path) -> None:
    assert zoo.load(run / "last.ckpt").num_classes == 3

    drawn = typed(tmp_path, "-m", "zoo", "sample", run / "last.ckpt", "--class", 2, "--n", 4, "-o", "two.png")
    assert (drawn.returncode, drawn.stderr) == (0, "")
    grid = typed(tmp_path, "-m", "zoo", "sample", run / "last.ckpt", "-o", "all.png")
    assert "63 samples" in grid.stdout
    assert Image.open(tmp_path / "all.png").width == 9 * 34 - 2
    wrong = typed(tmp_path, "-m", "zoo", "sample", run / "last.ckpt", "--class", 3)
    assert wrong.returncode == 2
    assert "has the classes 0 to 2, got 3" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("data", "words", "said"),
    [
        ("digits", ["--model.generator.num_classes=7"], "num_classes is 7, but Digits has 10 classes"),
        ("image_folder", [], "ImageFolder has no labels, and a conditional GAN needs them"),
    ],
)
def test_classes_that_the_data_have_not_are_one_line(data: str, words: list[str], said: str, tmp_path: Path) -> None:
    files = ["-c", ROOT / "configs/conditional.yaml", "-c", ROOT / f"configs/data/{data}.yaml"]
    root = [] if data == "digits" else ["--data.root", folder(tmp_path / "images", 1)]
    done = train(tmp_path, *files, *root, *words)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 2
    assert len(errors) == 1
    assert said in errors[0]
    assert not (tmp_path / "runs").exists()


def test_any_objective_is_made_conditional_by_an_option(tmp_path: Path) -> None:
    words = ["-c", ROOT / "configs/hinge_gan.yaml", "-c", ROOT / "configs/data/digits.yaml", "--conditional", "true"]
    done = train(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    [run] = (tmp_path / "runs").iterdir()
    gan = zoo.load(run / "last.ckpt")
    assert (gan.num_classes, gan.discriminator.num_classes) == (10, 10)


# Pictures


@pytest.mark.parametrize(
    ("n", "classes", "expected"),
    [(64, 10, (60, 10)), (64, 3, (63, 9)), (64, None, (64, None)), (8, 10, (8, None)), (99, 33, (99, None))],
)
def test_each_class_has_a_column(n: int, classes: int | None, expected: tuple) -> None:
    assert class_grid(n, classes) == expected


# Older checkpoints


def test_a_generator_with_a_dense_embedding_is_refused_by_name(run: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(run / "last.ckpt", weights_only=False)
    for name in ("generator", "generator_ema"):
        checkpoint["state_dict"][f"{name}.embed.weight"] = torch.zeros(3, 128)
        checkpoint["state_dict"][f"{name}.net.0.weight"] = torch.zeros(64, 256)
    torch.save(checkpoint, old := tmp_path / "old.ckpt")
    with pytest.raises(ValueError, match="dense label embedding, as the zoo had before"):
        zoo.load(old)
