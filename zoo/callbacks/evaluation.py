"""Compare samples of a GAN with real images, in a space of features."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from zoo import distributed
from zoo.metrics import mode_coverage, mode_statistics
from zoo.metrics.features import Classifier, Extractor, Features, PixelFeatures, Points
from zoo.metrics.features.memory import extract, remember
from zoo.metrics.modes import stacked_modes
from zoo.metrics.scores import check_scores, compare, score_name

if TYPE_CHECKING:
    from zoo.gan import GAN

LEAST = 6  # samples and real images: one more than coverage's fifth neighbour
Modes = Callable[[Tensor], dict[str, float]]  # samples to what is known of their modes


class Measured(NamedTuple):
    """The result of a measurement."""

    scores: dict[str, float]
    facts: dict[str, Any]  # what the scores depend on


class Evaluation:
    """Scores a GAN against real images at each call.

    Samples are `gan.sample(n, seed=seed)`, made in parts, each rank a share of them; every rank gets the same scores.
    A conditional GAN makes each class as often as it stands in `labels`.
    The features of the real images are taken once, and kept on disk for the next run (`zoo.metrics.features.memory`).

    Args:
        extractor: what makes features.
        images: real ones, (M, C, H, W) in [-1, 1] or uint8, or points (M, 2).
        split: which they are, in a word.
        n: samples, at least 6.
        labels: of the data, (L,), for a conditional GAN; without them its classes are equally frequent.
        scores: of `zoo.metrics.scores.SCORES`.
        train: all training images, which authpct needs.
        seed: of the samples.
        modes: what counts the modes of samples, where they are known.
        strict: refuse fewer images or samples than features: their covariance would be singular.
        device: where the extractor works.

    Raises:
        ValueError: for fewer than 6 images or samples, an unknown score, authpct without `train` or of training images,
            or what `strict` refuses; when called, for a generator whose images the extractor does not take.
    """

    def __init__(
        self, extractor: Extractor, images: Tensor, split: str, *, n: int, scores: Iterable[str],
        labels: Tensor | None = None, train: Tensor | None = None, seed: int = 0, modes: Modes | None = None,
        strict: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        if min(len(images), n) < LEAST:
            raise ValueError(f"there are {len(images)} {split} images and {n} samples, at least {LEAST} are needed")
        self.scores = check_scores(scores, extractor.name)
        self.n, self.seed, self.split, self.modes = n, seed, split, modes
        self.extractor, self.device = extractor, device
        self.labels = None if labels is None else spread(labels, n)
        if "authpct" in self.scores and train is None:
            raise ValueError("authpct compares samples with all training images, which are not given here")
        if "authpct" in self.scores and split == "train":
            raise ValueError(
                "authpct compares samples, and held-out images beside, with training images; not split train"
            )
        self.train = None if train is None else remember(extractor, train, device)
        self.real = remember(extractor, images, device)
        self.dim = self.real.features.shape[1]
        self.deficient = min(len(images), n) <= self.dim
        if strict and self.deficient:
            raise ValueError(
                f"{extractor.name} has {self.dim} features, more than the {len(images)} {split} images or the {n} "
                "samples; use more of both, or features of fewer dimensions"
            )

    @property
    def score_name(self) -> str:
        """The name of the Fréchet distance in these features; lower is better."""
        return score_name("fd", self.extractor.name)

    def __call__(self, gan: GAN, watch: Callable[[int], object] = lambda n: None) -> Measured:
        """Measure; `watch` is called with the size of each part of this rank's samples.

        All scores are NaN, with a warning, where a sample is not finite.
        """
        kept: list[Tensor] = []
        finite: list[Tensor] = []

        def parts() -> Iterator[Tensor]:
            labels: dict[str, Any] = {} if self.labels is None else {"labels": self.labels}
            for part in gan.stream(self.n, seed=self.seed, rows=distributed.share(self.n), **labels):
                finite.append(torch.isfinite(part).flatten(1).all(1).cpu())
                if self.modes is not None:
                    kept.append(part.cpu())
                watch(len(part))
                yield part.nan_to_num(0, 0, 0)

        fake = extract(self.extractor, parts(), self.device)
        logits = None if fake.logits is None else distributed.gather_rows(fake.logits, self.n)
        fake = Features(distributed.gather_rows(fake.features, self.n), logits)
        scores = compare(self.real, fake, self.scores, self.extractor.name, self.train)
        if self.modes is not None:
            scores |= self.modes(distributed.gather_rows(torch.cat(kept).nan_to_num(0, 0, 0), self.n))
        if not distributed.gather_rows(torch.cat(finite).float(), self.n).all():
            rank_zero_warn(f"Quality: there are samples at {gan.kimg:g} kimg that are not finite")
            scores = dict.fromkeys(scores, math.nan)
        return Measured(scores, self._facts(gan))

    def _facts(self, gan: GAN) -> dict[str, Any]:
        return {
            "kimg": gan.kimg, "extractor": self.extractor.name, "fingerprint": self.extractor.fingerprint,
            "preprocessing": self.extractor.resize, "n_real": len(self.real.features), "n_fake": self.n,
            "split": self.split, "seed": self.seed, "ema": getattr(gan, "generator_ema", None) is not None,
            **({} if self.train is None else {"n_train": len(self.train.features)}),
            "fewer_samples_than_features": self.deficient,
        }  # fmt: skip


def own_extractor(data: Any, images: Tensor) -> Extractor:
    """The extractor of a data module: its own small classifier, else pixels; points are their own features."""
    if images.ndim == 2:
        return Points()
    known = getattr(data, "classifier", None)
    return PixelFeatures() if known is None else Classifier(known)


def own_modes(data: Any) -> Modes | None:
    """The mode counter of a data module with `centres` (K, 2) and `sigma`, or with a `channel_classifier`."""
    centres, channels = getattr(data, "centres", None), getattr(data, "channel_classifier", None)
    if centres is not None:
        return lambda samples: _named(mode_coverage(samples, centres, data.sigma)._asdict())
    if channels is None:
        return None
    classifier = Classifier(channels)

    def count(samples: Tensor) -> dict[str, float]:
        modes = torch.cat([stacked_modes(part, classifier) for part in torch.split(samples, 256)])
        return _named(mode_statistics(modes, data.num_classes)._asdict())

    return count


def real_images(data: Any, split: str, n: int) -> Tensor:
    """`n` images of a split of any data module, or all it has.

    One of ours picks them itself; of another the first that its loader yields, which should be a fair sample.
    """
    if hasattr(data, "pick"):
        picked: Tensor = data.pick(split, n)
        return picked
    images: list[Tensor] = []
    for batch in getattr(data, f"{split}_dataloader")():
        images.append(batch[0])
        if sum(map(len, images)) >= n:
            break
    return torch.cat(images)[:n]


def training_images(data: Any, scores: Iterable[str]) -> Tensor | None:
    """All training images of any data module, if these scores need them."""
    return real_images(data, "train", sys.maxsize) if "authpct" in scores else None


def class_labels(gan: Any, data: Any, split: str) -> Tensor | None:
    """The labels (L,) of a split of any data module; None unless the GAN is conditional and the data are labelled."""
    if getattr(gan, "num_classes", None) is None:
        return None
    if hasattr(data, "labels"):
        known: Tensor | None = data.labels(split)
        return known
    batches = list(getattr(data, f"{split}_dataloader")())
    return torch.cat([batch[1] for batch in batches]) if len(batches[0]) > 1 else None


def spread(labels: Tensor, n: int) -> Tensor:
    """`n` labels, sorted, each class as frequent as in `labels` (L,) up to one."""
    return labels.sort()[0][torch.arange(n) * len(labels) // n]


def _named(values: dict[str, float]) -> dict[str, float]:
    return {f"modes/{name}": float(value) for name, value in values.items()}
