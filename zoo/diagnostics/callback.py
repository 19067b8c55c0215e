"""Diagnosis during training."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from zoo.diagnostics import History, Reading
from zoo.diagnostics.frozen_generator import retrain
from zoo.diagnostics.reader import Reader, parts, uses
from zoo.run.files import put
from zoo.run.loggers import log_alert
from zoo.run.records import KIMG
from zoo.run.schedule import Every
from zoo.run.trainer import leaves_nothing, say, wrapped

if TYPE_CHECKING:
    from zoo.gan import GAN


class Diagnostics(Callback):
    """Takes a `Reading` every `every_kimg`, and reports each pathology that the readings show, with its evidence.

    Readings are logged as ``diagnosis/...``, with the norms of G's gradient in at most six of its layers as
    ``diagnosis/gradient/<layer>``. A finding is printed above the progress bar, is an alert where there is a W&B
    logger, and an entry of `diagnosis` in run.json; a pathology is reported again only after it was away.

    Diversity is that of `gan.sample()`, hence of the averaged generator where there is one, and within classes for a
    conditional GAN; all else is of the networks that play. Features and classes are those of the data module's own
    classifier, where it has one. Gradients are those of G's last step, after clipping. Neither the global random states
    nor the module change. All ranks have the same readings; checkpoints keep them.

    Args:
        every_kimg: thousands of real images between two readings. Windows are counted in readings: a larger value
            makes a pathology take longer to be seen.
        n: samples a reading, at least 2.
        seed: of the samples.
        retrain_d: at the end of training, train a fresh discriminator against the final generator, report the outcome,
            and write `frozen_generator.json` to the run's folder: see `zoo.diagnostics.frozen_generator`. It takes as
            long as some 300 moves of D.

    Attributes:
        history: all readings and findings.
        seconds: spent here in this ``fit``.

    Raises:
        ValueError: `every_kimg` is not positive and finite, or `n` < 2.
    """

    def __init__(self, every_kimg: float = 10, n: int = 128, seed: int = 0, retrain_d: bool = False) -> None:
        if n < 2:
            raise ValueError(f"Diagnostics: n must be at least 2, got {n}")
        self.n, self.seed, self.retrain_d = n, seed, retrain_d
        self.history = History()
        self.seconds = 0.0
        self._reader = Reader(n, seed)
        self._every = Every(every_kimg)

    # What it keeps.

    def state_dict(self) -> dict[str, Any]:
        """The readings, and where the generator was at the last one."""
        return {"readings": [r.as_row() for r in self.history.readings], "reader": self._reader.state_dict()}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep how large G's gradient is, too."""
        checkpoint["callbacks"][self.state_key]["reader"]["norms"] = self._reader.gradients(cast("GAN", pl_module))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the readings; `on_fit_start` diagnoses them again."""
        self.history.readings = [Reading.of_row(row) for row in state_dict["readings"]]
        self._reader.load_state_dict(state_dict["reader"])

    # When it reads.

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the classifier or the modes of the data."""
        self.seconds, self._started = 0.0, time.monotonic()
        self._reader.know(getattr(trainer, "datamodule", None))
        self.history = History(self.history.readings, uses(cast("GAN", pl_module)))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock where training starts or resumes; see how large the weights are."""
        gan = cast("GAN", pl_module)
        self._every.start(gan.kimg)
        self._reader.start(gan)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Read when it is due."""
        gan = cast("GAN", pl_module)
        if self._every.due(gan.kimg):
            with self._clock():
                self._read(trainer, gan, *parts(batch)[:2])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report a divergence if a move that was not finite ended the run."""
        gan = cast("GAN", pl_module)
        if gan.failure:
            self._judge(trainer, gan, Reading(kimg=gan.kimg, finite=False))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the findings and the time spent; run the frozen-generator experiment if asked."""
        share = self.seconds / (time.monotonic() - self._started)
        found = ", ".join(dict.fromkeys(f.name for f in self.history.findings)) or "nothing"
        count = len(self.history.readings)
        say(trainer, f"Diagnosis: {found} found in {count} readings, which took {share:.1%} of the time")
        if self.retrain_d:
            self._retrain(trainer, cast("GAN", pl_module))

    # How it reads.

    @contextmanager
    def _clock(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds += time.monotonic() - began

    @isolate_rng()
    def _read(self, trainer: Trainer, gan: GAN, real: Tensor, labels: Tensor | None = None) -> None:
        reading: Reading | None = trainer.strategy.broadcast(self._reader(gan, real, labels))
        if reading is None:
            return
        values = {f"diagnosis/{name}": float(value) for name, value in reading.as_row().items() if name != "kimg"}
        values |= {f"diagnosis/gradient/{name}": value for name, value in self._reader.layers.items()}
        row = {name: value for name, value in values.items() if value == value or not reading.finite}
        for logger in trainer.loggers:
            logger.log_metrics({**row, KIMG: gan.kimg}, step=max(gan.steps - 1, 0))
        self._judge(trainer, gan, reading)

    @isolate_rng()
    def _retrain(self, trainer: Trainer, gan: GAN) -> None:
        """Run the experiment on every rank's own data; report rank 0's."""
        shown = retrain(gan, cast("Iterable[Any]", trainer.train_dataloader), seed=self.seed)
        say(trainer, wrapped(f"{type(gan).__name__}, against the frozen generator: {shown}", "    "))
        folder = trainer.log_dir  # a broadcast, so on every rank
        if trainer.is_global_zero and folder is not None and not leaves_nothing(trainer):
            put(json.dumps(shown.as_row(), indent=1).encode(), Path(folder) / "frozen_generator.json")

    def _judge(self, trainer: Trainer, gan: GAN, reading: Reading) -> None:
        """Add a reading to the history; report new findings."""
        for finding in self.history.add(reading):
            say(trainer, wrapped(f"{type(gan).__name__}: {finding}", "    "))
            log_alert(trainer.loggers, finding.name, str(finding))
