"""Measure sample quality: a cheap proxy while a GAN trains, the full scores at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from zoo.callbacks.evaluation import (
    LEAST,
    Evaluation,
    Measured,
    class_labels,
    own_extractor,
    own_modes,
    real_images,
    training_images,
)
from zoo.metrics import frechet_distance
from zoo.metrics.features import PixelFeatures, as_extractor
from zoo.metrics.features.memory import remember
from zoo.metrics.scores import INCEPTION, USUAL, check_scores, score_name
from zoo.run.records import append_row, encode
from zoo.run.schedule import Every
from zoo.run.trainer import leaves_nothing, say

if TYPE_CHECKING:
    from zoo.gan import GAN

_SHOWN = ("precision", "recall")  # beside the distance, in the line of a proxy
_KEPT = ("score", "score_kimg", "best_score", "best_kimg", "_full_kimg", "_best_rank")  # in checkpoints
_MODES = "modes/score"
_CHOICES = ("fd", "precision", "recall", "density", "coverage", _MODES)


class Quality(Callback):
    """Compares generated samples with held-out images, in a space of features.

    A *proxy*, of `n` samples and `n` validation images, is taken before a run's first batch and every `every_kimg`.
    With S the name of the features it has:

    - ``fd/S``: the Fréchet distance, the *score*; lower is better. Scores compare only at the same S and n. In the
      features of Inception v3 it is an FID and called ``fid``.
    - ``fd/S_real``: the same of `n` training images, logged once: what a perfect generator gets.
    - ``precision/S``, ``recall/S``, ``density/S``, ``coverage/S``: see :mod:`zoo.metrics`.
    - ``modes/...``: only where the data module knows its modes.
    - ``best/fd/S``: the score of the best proxy so far, by `best_by`, logged when there is a better one.

    The *full* measure, under ``full/``, is taken at the end of a run of at least `full_n` images, and on ``validate``
    and ``test``: all of `scores`, of up to `full_n` validation (test: test) images and as many samples, at least `n`.
    With fewer images than features a ``fit`` goes without it and says so; ``validate`` and ``test`` refuse. With fewer
    than 6 held-out or training images a ``fit`` measures nothing, and says so.

    Every measurement and its conditions are a line of `scores.jsonl` in the run's folder, and all values are in
    ``trainer.callback_metrics`` from the first batch on. Samples that are not finite make every value NaN, with a
    warning; NaN is never the best. The latents are those of ``gan.sample(n, seed=seed)``; a conditional GAN makes each
    class as often as the compared split holds it. Ranks share the samples. The averaged generator is measured where
    there is one. Neither the global random states nor the module change.

    Args:
        every_kimg: thousands of real images between proxies.
        n: samples and images of a proxy, at least 6; fewer images if the set has fewer.
        full_n: those of the full measure; 0 leaves it out at the end of a ``fit``.
        scores: of the full measure: fd, fd_inf, kd, is, prdc, authpct.
        seed: of the samples.
        best_by: what the best proxy, and with it `best.ckpt`, is chosen by: fd (the lowest), or precision, recall,
            density, coverage or modes/score (the highest; of equals the lowest fd). None is modes/score for points
            whose modes are known, since fd sees only their mean and covariance, else fd.
        features: see `zoo.metrics.features`; any module that maps images (N, C, H, W) to (N, ...) will do, and gives S
            its attribute `name`, else its class in snake case. None takes the small classifier of the data, else
            pixels averaged to 8x8; points are their own features.

    Attributes:
        score: the last score; None before the first.
        score_name: its key, ``fd/S``.
        score_kimg: when it was taken.
        recall: taken with it, of this ``fit``.
        chosen_name: the key of what `best_by` names.
        best_score: that of the best proxy of a run; it and the last score are kept in checkpoints.
        best_kimg: when that was taken.
        measured: whether this ``fit`` measured anything.
        seconds: spent in measuring, of this ``fit``.

    Raises:
        ValueError: `every_kimg` <= 0, `n` < 6, an unknown score or `best_by`; before training, modes/score for data
            whose modes are not known, or without a data module; on ``validate`` and ``test``, with fewer than 6 images
            or fewer than features.
    """

    def __init__(
        self, every_kimg: float = 20, n: int = 1000, full_n: int = 10_000, scores: Sequence[str] = USUAL,
        seed: int = 0, features: nn.Module | None = None, best_by: str | None = None,
    ) -> None:  # fmt: skip
        if n < LEAST:
            raise ValueError(f"Quality: n must be at least {LEAST}, got {n}")
        if best_by not in (None, *_CHOICES):
            raise ValueError(f"Quality: best_by: {best_by!r} is not one of {', '.join(_CHOICES)}")
        self.best_by = best_by
        self.n, self.full_n, self.scores, self.seed = n, full_n, tuple(scores), seed
        self.features = None if features is None else as_extractor(features)
        own = (self.features or PixelFeatures()).name
        check_scores(self.scores, own if self.features is not None else INCEPTION)
        self.score_name = self.chosen_name = score_name("fd", own)
        self.score: float | None = None
        self.score_kimg: float | None = None
        self.recall: float | None = None
        self.best_score: float | None = None
        self.best_kimg: float | None = None
        self._full_kimg: float | None = None
        self._best_rank: tuple[str, float, float] | None = None  # what it is chosen by; the lowest is the best
        self._scores: dict[str, float] = {}  # the last
        self._modes_of = 0  # how many modes the data are known to have
        self.seconds, self.measured = 0.0, False
        self._floor = math.nan
        self._in_full = False
        self._every = Every(every_kimg)
        self._proxy: Evaluation | None = None  # until a fit has images to compare

    # What it shows.

    @cached_property
    def state_key(self) -> str:
        """Scores at another n or in another space are no scores of this one."""
        own = None if self.features is None else self.features.name
        return self._generate_state_key(n=self.n, features=own)

    def state_dict(self) -> dict[str, Any]:
        """The last and the best score, and when they and the full measure were taken."""
        return {name: getattr(self, name) for name in _KEPT}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        for name in _KEPT:
            setattr(self, name, state_dict.get(name))

    def summary(self) -> str:
        """One line: the score beside the best one, recall, and the score of real images."""
        if self.score is None:
            return f"{self.score_name}: not measured yet"
        line = f"{self.score_name} {self.score:.4g} at {self.score_kimg:g} kimg"
        if self._modes_of:
            line += f", {', '.join(self._mode_words())}"
        if self._best_rank is not None and self.chosen_name != self.score_name:
            line += f", best by {self.chosen_name} {-self._best_rank[1]:.4g} at {self.best_kimg:g} kimg"
        elif self.best_score is not None:
            line += f", best {self.best_score:.4g} at {self.best_kimg:g} kimg"
        if self.recall is not None:
            line += f", recall {self.recall:.2f} (1 is best: the share of real images among the samples)"
        return f"{line}; real images score {self._floor:.4g} ({self.n} samples)"

    # When it measures.

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the real images, and refuse too few, before anything is trained."""
        self.seconds, self.measured, self._started = 0.0, False, time.monotonic()
        with self._clock():
            self._prepare(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure where training starts, so that there is a value to monitor; a resumed run has brought its own."""
        gan = cast("GAN", pl_module)
        self._every.start(gan.kimg)
        if self._proxy is not None and (self.score is None or self.score_name not in trainer.callback_metrics):
            self._record(trainer, gan, once={f"{self.score_name}_real": self._floor})

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Measure when it is due."""
        gan = cast("GAN", pl_module)
        if self._proxy is not None and self._every.due(gan.kimg):
            self._record(trainer, gan)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the trained GAN unless that was just done; in full after a run of at least `full_n` images."""
        gan = cast("GAN", pl_module)
        if self._proxy is None:
            return
        if self.score_kimg != gan.kimg:
            self._record(trainer, gan)
        if self._in_full and 1000 * gan.kimg >= self.full_n and self._full_kimg != gan.kimg:
            self._full_kimg = gan.kimg
            with self._clock():
                full = self._evaluation_in_full(trainer, pl_module, "val")
                self._publish(trainer, gan, self._measure(trainer, gan, full), "full/")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the summary, and the share of time spent here; first measure what a killed run had still to."""
        if self._proxy is None:
            return
        if cast("GAN", pl_module).steps:
            self.on_train_end(trainer, pl_module)  # which Lightning leaves out where there is nothing left to train
        share = self.seconds / (time.monotonic() - self._started)
        say(trainer, f"Quality: {self.summary()}; measuring took {share:.1%} of the time")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure for ``validate``; inside ``fit`` `every_kimg` decides."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._evaluate(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure for ``test``."""
        self._evaluate(trainer, pl_module, "test")

    # How it measures.

    @isolate_rng()
    def _prepare(self, trainer: Trainer, module: LightningModule) -> None:
        """Take the features of the real images, and the score that real images get."""
        held_out, training = (self._images(trainer, split, self.n) for split in ("val", "train"))
        if min(len(held_out), len(training)) < LEAST:
            say(
                trainer,
                f"Quality: no scores and no best.ckpt: there are {len(training)} train and {len(held_out)} val images, "
                f"and at least {LEAST} of each are needed",
            )
            return
        self._proxy = self._evaluation(trainer, module, held_out, "val", self.n, ("fd", "prdc"))
        self.score_name = self._proxy.score_name
        self._choose(_modes_of(trainer))
        if self._proxy.deficient:
            say(
                trainer,
                f"Quality: few val images, {len(held_out)} for {self._proxy.dim} features: {self.score_name} is biased "
                f"upwards and compares only with the same of as many images; recall and coverage are multiples of "
                f"1/{len(held_out)}",
            )
        available = len(self._images(trainer, "val", self.full_n)) if self.full_n else 0
        self._in_full = available > self._proxy.dim
        if self.full_n and not self._in_full:
            say(
                trainer,
                f"Quality: no full measure at the end: {self._proxy.extractor.name} has {self._proxy.dim} features, "
                f"more than the {available} val images",
            )
        seen = remember(self._proxy.extractor, training, module.device)
        floor = frechet_distance(seen.features, self._proxy.real.features).item()
        self._floor = trainer.strategy.broadcast(floor)

    @contextmanager
    def _clock(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds += time.monotonic() - began

    def _images(self, trainer: Trainer, split: str, n: int) -> Tensor:
        data = getattr(trainer, "datamodule", None)
        if data is None:
            raise ValueError("Quality: has no images to compare with; give the trainer datamodule=")
        return real_images(data, split, n)

    def _evaluation_in_full(self, trainer: Trainer, module: LightningModule, split: str) -> Evaluation:
        images = self._images(trainer, split, self.full_n or self.n)
        return self._evaluation(trainer, module, images, split, max(len(images), self.n), self.scores, strict=True)

    def _evaluation(
        self, trainer: Trainer, module: LightningModule, images: Tensor, split: str, n: int, scores: Sequence[str],
        strict: bool = False,
    ) -> Evaluation:  # fmt: skip
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        extractor = self.features or own_extractor(data, images)
        try:
            return Evaluation(
                extractor, images, split, n=n, scores=scores, labels=class_labels(module, data, split), seed=self.seed,
                train=training_images(data, scores),
                modes=own_modes(data), strict=strict, device=module.device,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(f"Quality: {error}") from None

    @isolate_rng()
    def _measure(self, trainer: Trainer, gan: GAN, evaluation: Evaluation) -> Measured:
        """The same on every rank."""
        measured: Measured = trainer.strategy.broadcast(evaluation(gan))
        self.measured = True
        return measured

    def _record(self, trainer: Trainer, gan: GAN, once: dict[str, float] | None = None) -> None:
        """Take a proxy during ``fit``: log, publish, and keep the best."""
        assert self._proxy is not None
        with self._clock():
            measured = self._measure(trainer, gan, self._proxy)
            measured.scores.update(once or {})
            self.score, self.score_kimg = measured.scores[self.score_name], gan.kimg
            self.recall = measured.scores.get(self._key("recall"))
            self._scores = measured.scores
            rank = (self.chosen_name, self.to_minimise, self.score)
            if rank < (self._best_rank or (self.chosen_name, math.inf, math.inf)):
                self._best_rank, self.best_score, self.best_kimg = rank, self.score, gan.kimg
                measured.scores[f"best/{self.score_name}"] = self.score
            self._publish(trainer, gan, measured, "")
            say(trainer, self._row(gan.kimg, _SHOWN) + ("  (best)" if self.best_kimg == gan.kimg else ""))

    @property
    def to_minimise(self) -> float:
        """The last value of what `best_by` names, negated where higher is better."""
        if self.chosen_name == self.score_name:
            return math.nan if self.score is None else self.score
        return -self._scores.get(self.chosen_name, math.nan)

    def _choose(self, modes: int) -> None:
        """What the best is chosen by on data of so many modes; one that was chosen by something else is forgotten."""
        self._modes_of = modes
        by = self.best_by or (_MODES if self._modes_of else "fd")
        if by == _MODES and not self._modes_of:
            raise ValueError(
                f"Quality: best_by: {_MODES} needs points whose modes are known, as those of ring and grid"
            )
        self.chosen_name = by if by == _MODES else self.score_name if by == "fd" else self._key(by)
        if self.best_score is not None and self._best_rank is None:  # of a checkpoint that has no rank
            self._best_rank = (self.score_name, self.best_score, self.best_score)
        if self._best_rank is not None and self._best_rank[0] != self.chosen_name:
            self._best_rank = self.best_score = self.best_kimg = None

    def _mode_words(self) -> list[str]:
        """Modes that are populated, and the share of good samples, in the last proxy; nothing where none are known."""
        if not self._modes_of or "modes/populated" not in self._scores:
            return []
        populated, good = (self._scores[f"modes/{name}"] for name in ("populated", "high_quality"))
        return [f"modes {populated:g} of {self._modes_of}", f"good samples {good:.0%}"]

    def _row(self, kimg: float, shown: Iterable[str]) -> str:
        """The last scores in one line: the Fréchet distance, what is shown beside it, and modes."""
        names = {self.score_name: self.score_name} | {name: self._key(name) for name in shown}
        words = [f"{word} {self._scores[name]:.4g}" for word, name in names.items() if name in self._scores]
        return f"{kimg:>9g} kimg  {'  '.join([*words, *self._mode_words()])}"

    def _key(self, score: str) -> str:
        """What a score is logged as in the features of this one."""
        return score_name(score, self.score_name.partition("/")[2] or INCEPTION)

    def _publish(self, trainer: Trainer, gan: GAN, measured: Measured, prefix: str) -> None:
        values = {f"{prefix}{name}": value for name, value in measured.scores.items()}
        values["progress/kimg"] = gan.kimg
        device = trainer.strategy.root_device
        trainer.callback_metrics.update({name: torch.tensor(value, device=device) for name, value in values.items()})
        for logger in trainer.loggers:
            # Lightning's own count, from zero, of the batch just played.
            logger.log_metrics(values, step=max(gan.steps - 1, 0))
        folder = trainer.log_dir
        if trainer.is_global_zero and folder is not None and not leaves_nothing(trainer):
            row = {**measured.facts, "scores": {name: encode(value) for name, value in values.items()}}
            append_row(Path(folder, "scores.jsonl"), row)

    def _evaluate(self, trainer: Trainer, module: LightningModule, split: str) -> None:
        """Measure in full outside ``fit``, as what ``validate`` and ``test`` return."""
        gan = cast("GAN", module)
        evaluation = self._evaluation_in_full(trainer, module, split)
        measured = self._measure(trainer, gan, evaluation)
        self.score_name, self._scores = evaluation.score_name, measured.scores
        self.score, self.score_kimg = measured.scores.get(self.score_name), gan.kimg
        self._modes_of = _modes_of(trainer)
        say(trainer, self._row(gan.kimg, ("kd", "is", *_SHOWN, "density", "coverage")) + f"  ({split}, {evaluation.n})")
        values = {f"full/{name}": value for name, value in measured.scores.items()}
        module.log_dict({"progress/kimg": gan.kimg, **values}, sync_dist=False)


def _modes_of(trainer: Trainer) -> int:
    """How many modes the data are known to have, 0 if none are known."""
    centres = getattr(trainer.datamodule, "centres", None)  # type: ignore[attr-defined]
    return 0 if centres is None else len(centres)
