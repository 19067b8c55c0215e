"""Advice for a data set: what it rests on, and the command that it ends in."""

import json
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.processes import typed
from zoo.datamodules import Digits, ImageFolder
from zoo.hub import catalogue
from zoo.hub.advise import Facts, advise, facts, nearest

ROW = partial(Facts, number=60_000, classes=10, diversity=0.5)


@pytest.mark.parametrize(
    ("here", "data"),
    [
        (ROW("FashionMNIST", shape=(1, 64, 64)), "FashionMNIST"),  # the same, whatever the size
        (ROW("Digits", shape=(1, 32, 32)), "Digits"),
        (ROW("MNIST", shape=(1, 32, 32)), "FashionMNIST"),
        (ROW("ImageFolder", shape=(3, 16, 16)), "Digits"),  # none has colours, so the size decides
    ],
)
def test_the_nearest_rows_of_the_catalogue_best_first(here: Facts, data: str) -> None:
    rows = nearest(here, catalogue.entries())
    assert {row.config["data"]["class_path"] for row in rows} == {data}
    scores = [row.facts()["final"] for row in rows]
    assert scores == sorted(scores)
    assert data == "Digits" or rows[0].facts()["name"] == "nsgan-fashion_mnist"


def folder(tmp_path: Path, count: int) -> ImageFolder:
    for i in range(count):
        Image.fromarray(np.full((8, 8), 255 * (i % 2), np.uint8)).save(tmp_path / f"{i}.png")
    data = ImageFolder(root=tmp_path, image_size=8, channels=1, batch_size=2, cache=False)
    data.prepare_data()
    data.setup("fit")
    return data


def test_what_is_measured_of_images(tmp_path) -> None:
    """Black and white images: of the pairs, those of one of each are 2 apart in every pixel."""
    data = folder(tmp_path, 20)
    found = facts(data)
    assert (found.number, found.shape, found.classes) == (18, (1, 8, 8), 0)
    white = int((data.pick("train", 18)[:, 0, 0, 0] > 0).sum())
    assert found.diversity == pytest.approx((4 * white * (18 - white) / (18 * 17 / 2)) ** 0.5)
    assert "18 images of 1x8x8, no labels; two differ by" in str(found)
    with pytest.raises(ValueError, match=r"advise: SimpleNamespace has no images in memory"):
        facts(SimpleNamespace(splits=None))


def test_few_images_get_the_recipe_for_few(tmp_path) -> None:
    entries = [entry for entry in catalogue.entries() if "digits" not in entry.folder.name]
    text = advise(folder(tmp_path, 20), ["--data.root", "my images"], 1, entries)
    assert "few_shot, as 18 are fewer than 2,000 images" in text
    assert "python -m zoo train few_shot --data.root 'my images' --budget.kimg" in text


def test_a_shorter_budget_expects_what_the_row_had_by_then(tmp_path) -> None:
    config = catalogue.Entry(catalogue.find("wgan_gp-digits")).config
    config["training"]["kimg"] = 1e9
    config["scores"]["course"] = [[0, 400.0], [0.5, 91.5], [1e8, 5.0]]
    (tmp_path / "config.json").write_text(json.dumps(config))
    text = advise(Digits(batch_size=32), ["--data", "digits"], 1, [catalogue.Entry(tmp_path)])
    assert "expected  worse than that: it had 91.5 at 0.5 kimg" in text


def test_the_advice_as_it_is_typed(tmp_path) -> None:
    """The budget is that of the time a step takes, and the command that is printed trains."""
    done = typed(tmp_path, "-m", "zoo", "advise", "--data", "digits", "--data.batch_size", "32", "--minutes", "2")
    assert done.returncode == 0, done.stderr
    said = dict(re.findall(r"^(\w+) +(.+)$", done.stdout, re.M))
    assert said["data"].startswith("Digits: 1,433 images of 1x16x16, 10 classes")
    assert said["recipe"].startswith("that of wgan_gp-digits, the best of 1 trained on Digits: fd/digits-cnn 5.146")
    step, budget = float(said["step"].split()[0]), float(re.search(r"are (\S+) kimg", said["budget"])[1])
    assert budget == pytest.approx(2 * 60 * 0.9 / (step / 1000) * 32 / 1000, rel=0.06)
    words = said["run"].split()
    assert words[:5] == ["python", "-m", "zoo", "reproduce", "wgan_gp-digits"]
    assert float(words[-1]) == budget
    done = typed(tmp_path, *words[1:-1], "0.1", "--trainer.logger=false")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("runs/wgan_gp-digits-*/last.ckpt"))
