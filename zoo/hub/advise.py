"""Which recipe, for how long, and what to expect: read off the catalogue, for a set of images and some minutes."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import torch.nn.functional as F
import yaml
from lightning.pytorch import Callback, LightningDataModule, Trainer

from zoo.cli.configs import CONFIGS
from zoo.cli.errors import find
from zoo.cli.quiet import silence
from zoo.diagnostics.reader import scaled
from zoo.gan import GAN
from zoo.hub.catalogue import Entry
from zoo.hub.recipe import classes, make, objective
from zoo.run.records import decode

FEW = 2000  # images, below which a recipe for many overfits: docs/few_shot.md
TRAINING = 0.9  # of a run's time; scores, pictures and readings take the rest
WARM_UP, TIMED = 3, 10  # steps


class Facts(NamedTuple):
    """Of the training images of a data set."""

    name: str  # of the data module's class
    number: int  # of images
    shape: tuple[int, ...]  # (C, H, W)
    classes: int  # 0 without labels
    diversity: float  # root mean square difference of two images a pixel, of images in [-1, 1]

    def __str__(self) -> str:
        labels = f"{self.classes} classes" if self.classes else "no labels"
        size = "x".join(map(str, self.shape))
        return f"{self.name}: {self.number:,} images of {size}, {labels}; two differ by {self.diversity:.2f} a pixel"


def facts(data: Any) -> Facts:
    """Of a data module that is set up.

    Raises:
        ValueError: it has no images in memory.
    """
    name = type(data).__name__
    if not getattr(data, "splits", None) or len(data.image_shape) != 3:
        raise ValueError(f"advise: {name} has no images in memory; for points see docs/ring.md")
    labels, images = data.labels("train"), scaled(data.pick("train", 500))
    apart = F.pdist(images.flatten(1)).square().mean() / images[0].numel()
    classes = 0 if labels is None else len(labels.unique())
    return Facts(name, len(data.splits["train"].data), tuple(data.image_shape), classes, math.sqrt(apart))


def nearest(here: Facts, entries: Iterable[Entry]) -> list[Entry]:
    """The scored GANs of the same data set, else of that which is nearest in channels and then in size; best first."""
    scored = [entry for entry in entries if entry.facts()["final"] is not None]

    def distance(entry: Entry) -> tuple[bool, bool, float, str]:
        channels, *sides = shape_of(entry)
        name = entry.config["data"]["class_path"]
        ratio = math.prod(sides) / math.prod(here.shape[1:])
        return name != here.name, channels != here.shape[0], abs(math.log(ratio)), name

    least = min(map(distance, scored))
    return sorted((e for e in scored if distance(e) == least), key=lambda e: e.facts()["final"])


def shape_of(entry: Entry) -> tuple[int, ...]:
    """(C, H, W) of an entry's samples."""
    return tuple(entry.config["init_args"]["generator"]["init_args"]["image_shape"])


def game(kind: type[GAN], init_args: Mapping[str, Any], shape: Sequence[int]) -> GAN:
    """A GAN as described, for images of this shape."""
    arguments = dict(init_args)
    for name, part in init_args.items():
        own = part.get("init_args", {}) if isinstance(part, dict) else {}
        if "image_shape" in own or name in ("generator", "discriminator"):
            arguments[name] = {**part, "init_args": {**own, "image_shape": list(shape)}}
    return make(kind, arguments, lambda name, _: classes()[name.rpartition(".")[2]])


def seconds_a_step(gan: GAN, data: LightningDataModule) -> float:
    """The median of 10 steps here, as `zoo train` makes them."""
    ends: list[float] = []

    class Clock(Callback):
        def on_train_batch_end(self, *_: object) -> None:
            ends.append(time.perf_counter())

    with silence():
        Trainer(
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, devices=1,
            max_epochs=-1, max_steps=WARM_UP + TIMED, limit_val_batches=0, callbacks=[Clock()],
        ).fit(gan, datamodule=data)  # fmt: skip
    return median(later - sooner for sooner, later in zip(ends[WARM_UP - 1 :], ends[WARM_UP:], strict=False))


def advise(data: Any, words: Sequence[str], minutes: float, entries: Sequence[Entry]) -> str:
    """The advice, a line a statement, each with the row of the catalogue or the measurement that it rests on.

    Args:
        data: is prepared and set up here.
        words: of the command line, which chose it.
        minutes: that the training may take.
        entries: the record.
    """
    data.prepare_data()
    data.setup("fit")
    here = facts(data)
    best, *others = nearest(here, entries)
    row, name = best.facts(), best.config["data"]["class_path"]
    same = name == here.name
    if here.number < FEW and not same:
        config = yaml.safe_load((CONFIGS / "few_shot.yaml").read_text(encoding="utf-8"))["model"]
        gan = game(find(config["class_path"]), config["init_args"], here.shape)
        recipe = f"few_shot, as {here.number:,} are fewer than {FEW:,} images: docs/few_shot.md"
        command = "train few_shot"
        expected = "not known: no row of the catalogue has so few images"
    else:
        gan = game(objective(best.config["objective"]), best.config["init_args"], here.shape)
        among = f"the best of {1 + len(others)} trained on {name}"
        recipe = f"that of {row['name']}, {among}: {row['score']} {row['final']:.4g}"
        command = f"reproduce {row['name']}"
        expected = (
            f"about that at {row['kimg']:g} kimg" if same else f"not known: no row of the catalogue has {here.name}"
        )
    seconds = seconds_a_step(gan, data)
    kimg = 60 * minutes * TRAINING / seconds * data.batch_size / 1000
    if same and kimg < row["kimg"]:
        course = best.config["scores"].get("course", [])
        at, score = max((point for point in course if point[0] <= kimg), default=(0, None))
        there = f"it had {decode(score):.4g} at {at:g} kimg" if at else f"it had {row['kimg']:g} kimg"
        expected = f"worse than that: {there}"
    budget = float(f"{kimg:.2g}")
    return "\n".join(
        [
            f"data      {here}",
            f"recipe    {recipe}",
            f"step      {1000 * seconds:.3g} ms here, the median of {TIMED} on {data.batch_size} images",
            f"budget    {minutes:g} minutes are {budget:g} kimg, with {1 - TRAINING:.0%} for scores and pictures",
            f"expected  {expected}",
            f"run       python -m zoo {command} {shlex.join(words)} --budget.kimg {budget:g}",
        ]
    )
