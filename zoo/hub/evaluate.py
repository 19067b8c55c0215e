"""Score a trained GAN against a data set, as `python -m zoo evaluate` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule
from tqdm import tqdm

from zoo.callbacks.evaluation import (
    Evaluation,
    Measured,
    class_labels,
    own_extractor,
    own_modes,
    real_images,
    training_images,
)
from zoo.gan import GAN
from zoo.hub.pretrained import trained
from zoo.metrics import memorises
from zoo.metrics.features import named
from zoo.metrics.scores import INCEPTION
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
    if features is None and {"fid", "fid_inf", "kid"} & set(scores):
        features = INCEPTION
    extractor = None if features is None else named(features)
    data.prepare_data()
    data.setup("validate")
    images = real_images(data, split, n)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    evaluation = Evaluation(
        extractor or own_extractor(data, images), images, split, n=n, scores=scores,
        labels=class_labels(gan, data, split), train=training_images(data, scores), seed=seed, modes=own_modes(data),
        strict=True, device=device,
    )  # fmt: skip
    with tqdm(total=n, unit="sample", disable=None) as bar:
        return evaluation(gan.to(device), bar.update)


def refuse_other_images(ref: str | Path, gan: GAN, data: LightningDataModule) -> None:
    """ValueError where samples and data have two shapes; either may have no `image_shape`."""
    samples, images = (getattr(part, "image_shape", None) for part in (gan.generator, data))
    if samples is not None and images is not None and tuple(samples) != tuple(images):
        raise ValueError(f"{ref} makes samples of shape {tuple(samples)}, the data has {tuple(images)}")


def table(measured: Measured) -> str:
    """The scores, a line each, and a line of their conditions."""
    width = max(map(len, measured.scores))
    facts = measured.facts
    conditions = (
        f"{facts['n_fake']} samples (seed {facts['seed']}, {'averaged' if facts['ema'] else 'plain'} generator, "
        f"{facts['kimg']:g} kimg) against {facts['n_real']} {facts['split']} images, in {facts['extractor']} "
        f"({facts['fingerprint']}; {facts['preprocessing']})"
    )
    lines = [*(f"{name:{width}}  {value:.6g}" for name, value in measured.scores.items()), conditions]
    return "\n".join(lines + overfitting(measured))


def overfitting(measured: Measured) -> list[str]:
    """A line where samples lie closer to the training images than held-out images do; else none."""
    name = next((name for name in measured.scores if name.startswith("authpct") and not name.endswith("_real")), "")
    if not name:
        return []
    samples, held_out = measured.scores[name], measured.scores[f"{name}_real"]
    facts = measured.facts
    if not memorises(samples, held_out, facts["n_fake"], facts["n_real"]):
        return []
    return [
        f"Overfitting: {samples:.1f} % of the samples are authentic, {held_out:.1f} % of the {facts['split']} images: "
        f"samples lie closer to the {facts['n_train']} training images than new images do; add augmentation, or stop "
        "earlier"
    ]


def as_json(measured: Measured) -> str:
    """Scores and facts; NaN as a string."""
    scores = {name: encode(value) for name, value in measured.scores.items()}
    return json.dumps({"scores": scores, **measured.facts}, indent=1)
