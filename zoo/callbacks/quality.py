"""A first, cheap and honest measure of sample quality, taken while a GAN trains."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.callbacks.schedule import Every
from zoo.metrics import frechet_distance, mode_coverage, precision_recall

if TYPE_CHECKING:
    from zoo.gan import GAN

_K = 3  # neighbours in precision and recall
_CHUNK = 256  # images whose features are taken at once


class PixelFeatures(nn.Module):
    """Images (N, C, H, W) averaged down to at most 8 x 8 pixels: (N, 64 C), or fewer.

    It sees layout, brightness and colour, and no detail finer than an eighth of the picture.
    """

    name = "pixels8"

    def forward(self, images: Tensor) -> Tensor:
        """Average, then flatten."""
        height, width = images.shape[-2:]
        return F.adaptive_avg_pool2d(images, (min(height, 8), min(width, 8))).flatten(1)


class Points(nn.Identity):
    """Points (N, 2) are their own features."""

    name = "points"


class Quality(Callback):
    """Compares `n` generated samples with `n` held-out images, in a space of features.

    It does so before the first batch, every `every_kimg`, at the end of ``fit``, and on
    ``validate`` (against the validation images) and ``test`` (against the test images). With S the
    name of the features ("pixels8" for images, "points" for points in the plane):

    - ``fd/S``: the Fréchet distance, the *score*; lower is better. It is no FID, which is this in
      the space of Inception v3, and only means something beside others at the same S and n.
    - ``fd/S_real``: the same of `n` training images, logged once: what a perfect generator gets.
    - ``precision/S``, ``recall/S``: in [0, 1], k = 3.
    - ``modes/covered``, ``modes/high_quality``, ``modes/kl``: only where the data module has
      ``centres`` (K, 2) and ``sigma``; see :func:`zoo.metrics.mode_coverage`.
    - ``best/fd/S``: the lowest score of the run, logged when it falls.

    All are in ``trainer.callback_metrics``, to be monitored from the first batch on; between two
    measurements they stand still, which the patience of ``EarlyStopping`` counts as no progress.
    Samples that are not finite make every value NaN, with a warning; NaN is never the best.

    Neither the global random states nor the module are touched: samples come from
    ``gan.sample(n, seed=seed)`` and are the same latents every time, and the real images are the
    first that the loaders deal, which should be a fair sample: not one sorted by class. With
    several ranks every rank measures, against the real images that it is dealt, and rank zero's
    values are everybody's.

    Args:
        every_kimg: thousands of real images between measurements.
        n: samples and real images, at least 4; fewer real images if the set has fewer.
        seed: of the samples.
        features: images (N, C, H, W) or points (N, 2) to (N, ...), frozen here; S is its attribute
            `name`, else its class in snake case. None takes :class:`PixelFeatures` or points.

    Attributes:
        score: the last score of a ``fit``, ``validate`` or ``test``; None before the first.
        score_name: its key, ``fd/S``.
        score_kimg: when it was taken.
        best_score: the lowest of a ``fit``, kept in checkpoints.
        best_kimg: when that was taken.

    Raises:
        ValueError: `every_kimg` <= 0 or `n` < 4; before training, without a data module or with
            fewer than 4 images to compare.
    """

    def __init__(
        self,
        every_kimg: float = 20,
        n: int = 1000,
        seed: int = 0,
        features: nn.Module | None = None,
    ) -> None:
        if n <= _K:
            raise ValueError(f"Quality: n must be at least {_K + 1}, got {n}")
        self.n, self.seed = n, seed
        self.features = features.eval().requires_grad_(False) if features is not None else None
        self.score: float | None = None
        self.score_kimg: float | None = None
        self.best_score: float | None = None
        self.best_kimg: float | None = None
        self._every = Every(every_kimg)
        self._use(self.features or PixelFeatures())

    # What it shows.

    @property
    def state_key(self) -> str:
        """Scores at another n or in another space are no scores of this one."""
        own = None if self.features is None else self._space
        return self._generate_state_key(n=self.n, features=own)

    def state_dict(self) -> dict[str, Any]:
        """The best score and when it was."""
        return {"best_score": self.best_score, "best_kimg": self.best_kimg}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.best_score, self.best_kimg = state_dict["best_score"], state_dict["best_kimg"]

    def summary(self) -> str:
        """One line: the score beside the best one and that of real images."""
        if self.score is None:
            return f"{self.score_name}: not measured yet"
        line = f"{self.score_name} {self.score:.4g} at {self.score_kimg:g} kimg"
        if self.best_score is not None:
            line += f", best {self.best_score:.4g} at {self.best_kimg:g} kimg"
        return f"{line}; real images score {self._floor:.4g} ({self.n} samples)"

    # When it measures.

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the real images, and refuse too few, before anything is trained."""
        self._prepare(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure where training starts or resumes, so that there is a value to monitor."""
        gan = cast("GAN", pl_module)
        self._every.start(gan.kimg)
        self._record(trainer, gan, once={f"{self.score_name}_real": self._floor})

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Measure when it is due."""
        gan = cast("GAN", pl_module)
        if self._every.due(gan.kimg):
            self._record(trainer, gan)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure what came out, unless that was just done."""
        gan = cast("GAN", pl_module)
        if self.score_kimg != gan.kimg:
            self._record(trainer, gan)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the summary."""
        rank_zero_info(self.summary())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure for ``validate``; a validation inside ``fit`` has a clock of its own."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._evaluate(trainer, pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure for ``test``."""
        self._evaluate(trainer, pl_module)

    # How it measures.

    def _use(self, extractor: nn.Module) -> None:
        self._extractor = extractor
        self._space = str(getattr(extractor, "name", _snake_case(type(extractor).__name__)))
        self.score_name = f"fd/{self._space}"

    @isolate_rng()
    def _prepare(self, trainer: Trainer, module: LightningModule) -> None:
        """Take the features of the real images, and the score that real images get."""
        data = getattr(trainer, "datamodule", None)
        if data is None:
            raise ValueError("Quality: has no images to compare with; give the trainer datamodule=")
        testing = trainer.state.fn == TrainerFn.TESTING
        held_out = _first(self.n, data.test_dataloader() if testing else data.val_dataloader())
        training = _first(self.n, data.train_dataloader())
        for name, images in (("held-out", held_out), ("training", training)):
            if len(images) <= _K:
                raise ValueError(
                    f"Quality: the data have {len(images)} {name} images, at least {_K + 1} are "
                    "needed; hold out more or leave Quality out of the callbacks"
                )
        if self.features is None:
            self._use(Points() if held_out.ndim == 2 else PixelFeatures())
        self._centres: Tensor | None = getattr(data, "centres", None)
        self._sigma: float = getattr(data, "sigma", math.nan)
        self._real = self._features_of(held_out, module)
        floor = frechet_distance(self._features_of(training, module), self._real).item()
        self._floor: float = trainer.strategy.broadcast(floor)

    @torch.no_grad()
    def _features_of(self, samples: Tensor, module: LightningModule) -> Tensor:
        """(N, D), in float64 and therefore on the CPU, as not every device has that."""
        extractor = self._extractor.to(module.device)
        chunks = torch.split(samples.to(module.device), _CHUNK)
        return torch.cat([extractor(chunk).flatten(1).cpu() for chunk in chunks]).double()

    def _measure(self, trainer: Trainer, gan: GAN) -> dict[str, float]:
        """What there is to log now, the same on every rank."""
        values: dict[str, float] = trainer.strategy.broadcast(self._values(gan))
        self.score, self.score_kimg = values[self.score_name], gan.kimg
        return {"progress/kimg": gan.kimg, **values}

    @isolate_rng()
    def _values(self, gan: GAN) -> dict[str, float]:
        samples = gan.sample(self.n, seed=self.seed)
        made = self._features_of(samples, gan)
        names = [self.score_name, f"precision/{self._space}", f"recall/{self._space}"]
        if self._centres is not None:
            names += ["modes/covered", "modes/high_quality", "modes/kl"]
        if not torch.isfinite(made).all():
            rank_zero_warn(f"Quality: there are samples at {gan.kimg:g} kimg that are not finite")
            return dict.fromkeys(names, math.nan)
        values: list[Tensor | float] = [frechet_distance(made, self._real)]
        values += precision_recall(self._real, made, k=_K)
        if self._centres is not None:
            modes = mode_coverage(samples.cpu(), self._centres, self._sigma)
            values += [modes.covered, modes.high_quality, modes.kl]
        return {name: float(value) for name, value in zip(names, values, strict=True)}

    def _record(self, trainer: Trainer, gan: GAN, once: dict[str, float] | None = None) -> None:
        """Measure during ``fit``: log, publish, and keep the best."""
        values = self._measure(trainer, gan) | (once or {})
        score = values[self.score_name]
        if score < (math.inf if self.best_score is None else self.best_score):
            self.best_score, self.best_kimg = score, gan.kimg
            values[f"best/{self.score_name}"] = score
        device = trainer.strategy.root_device
        trainer.callback_metrics.update({name: torch.tensor(value, device=device) for name, value in values.items()})
        for logger in trainer.loggers:
            # Lightning's own count, from zero, of the batch just played.
            logger.log_metrics(values, step=max(gan.steps - 1, 0))

    def _evaluate(self, trainer: Trainer, module: LightningModule) -> None:
        """Measure outside ``fit``, as part of what ``validate`` and ``test`` return."""
        self._prepare(trainer, module)
        values = self._measure(trainer, cast("GAN", module))
        module.log_dict(values | {f"{self.score_name}_real": self._floor}, sync_dist=True)


def _first(n: int, loader: Iterable[Sequence[Tensor]]) -> Tensor:
    """The first `n` images that the loader deals, or all it has."""
    images: list[Tensor] = []
    for batch in loader:
        images.append(batch[0])
        if sum(map(len, images)) >= n:
            break
    return torch.cat(images)[:n]


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
