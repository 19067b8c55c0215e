"""Score a trained GAN against a data set, as `python -m zoo evaluate` does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from tqdm import tqdm

from zoo.callbacks.evaluation import Evaluation, Measured, class_labels, own_extractor, own_modes, real_images
from zoo.cli.configs import read_file, whereabouts, with_files
from zoo.cli.errors import explain
from zoo.gan import GAN
from zoo.hub.pretrained import trained
from zoo.metrics.features import named
from zoo.metrics.scores import INCEPTION
from zoo.run.folders import checkpoint_of
from zoo.run.records import encode


def evaluate(
    ref: str | Path, data: LightningDataModule, *, scores: Sequence[str], n: int, split: str = "val",
    features: str | None = None, seed: int = 0, trust: Sequence[str] = (),
) -> Measured:  # fmt: skip
    """The scores of a trained GAN in full: up to `n` images of a split, and `n` samples.

    Args:
        ref: a run as for `zoo.load`, or a published GAN as for `zoo.from_pretrained`.
        data: whose images; it is set up here.
        scores: of `zoo.metrics.scores`; fid and kid ask for Inception v3.
        n: images, all if the split has fewer, and samples.
        split: "train", "val" or "test".
        features: see `zoo.metrics.features.named`; None is Inception v3 for fid and kid, else what suits the data.
        seed: of the samples.
        trust: as for `zoo.load`.

    Raises:
        ValueError: for a checkpoint that cannot be loaded or makes other images than the data's, an unknown score or
            extractor, weights that cannot be had, and fewer images or samples than features.
    """
    gan = trained(ref, trust=trust)
    refuse_other_images(ref, gan, data)
    if features is None and {"fid", "kid"} & set(scores):
        features = INCEPTION
    extractor = None if features is None else named(features)
    data.prepare_data()
    data.setup("validate")
    images = real_images(data, split, n)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    evaluation = Evaluation(
        extractor or own_extractor(data, images), images, split, n=n, scores=scores,
        labels=class_labels(gan, data, split), seed=seed, modes=own_modes(data), strict=True, device=device,
    )  # fmt: skip
    with tqdm(total=n, unit="sample", disable=None) as bar:
        return evaluation(gan.to(device), bar.update)


def refuse_other_images(ref: str | Path, gan: GAN, data: LightningDataModule) -> None:
    """ValueError where samples and data have two shapes; either may have no `image_shape`."""
    samples, images = (getattr(part, "image_shape", None) for part in (gan.generator, data))
    if samples is not None and images is not None and tuple(samples) != tuple(images):
        raise ValueError(f"{ref} makes samples of shape {tuple(samples)}, the data has {tuple(images)}")


def data_module(arguments: Iterable[str], ref: str | Path | None = None) -> LightningDataModule:
    """The data of `-c` files and `--data...` options, as `train.py` reads them; files' other sections are left.

    Without a file they are those of the run that `ref` names, if it is one on this disk.
    """
    from jsonargparse import ArgumentParser

    from zoo import datamodules  # noqa: F401 - lets short class names be used

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data", required=True)
    words, given_words = [], with_files(list(arguments))
    checkpoint = None if ref is None or {"-c", "--config"} & set(given_words) else checkpoint_of(ref)
    if checkpoint is not None and (config := checkpoint.with_name("config.yaml")).is_file():
        given_words = ["-c", str(config), *given_words]
    given = list(given_words)
    while given:
        word = given.pop(0)
        if word == "-c" and given:
            path = Path(given.pop(0))
            section = read_file(path).get("data")
            if section is None:
                raise ValueError(f"{path} has no section data; use a file of configs/data/")
            words.append(f"--data={json.dumps(section)}")
        elif word.startswith("--data"):
            words.append(word if "=" in word or not given else f"{word}={given.pop(0)}")
        else:
            raise ValueError(f"unknown argument {word!r}")
    if not words:
        raise ValueError("no data is chosen: add -c with a file of configs/data/")
    try:
        made: Any = parser.instantiate_classes(parser.parse_args(words)).data
    except Exception as error:  # the parser's own, and whatever a constructor given something strange raises
        why = explain(str(error), ["data"], given_words, partial(whereabouts, words=given_words))
        raise ValueError(why) from None
    assert isinstance(made, LightningDataModule)
    return made


def table(measured: Measured) -> str:
    """The scores, a line each, and a line of their conditions."""
    width = max(map(len, measured.scores))
    facts = measured.facts
    conditions = (
        f"{facts['n_fake']} samples (seed {facts['seed']}, {'averaged' if facts['ema'] else 'plain'} generator, "
        f"{facts['kimg']:g} kimg) against {facts['n_real']} {facts['split']} images, in {facts['extractor']} "
        f"({facts['fingerprint']}; {facts['preprocessing']})"
    )
    return "\n".join([*(f"{name:{width}}  {value:.6g}" for name, value in measured.scores.items()), conditions])


def as_json(measured: Measured) -> str:
    """Scores and facts; NaN as a string."""
    scores = {name: encode(value) for name, value in measured.scores.items()}
    return json.dumps({"scores": scores, **measured.facts}, indent=1)
