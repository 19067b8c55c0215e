"""The report of `python -m zoo diagnose`."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningDataModule

from zoo.diagnostics import History, Reading
from zoo.diagnostics.frozen_generator import STEPS, Retrained, retrain
from zoo.diagnostics.reader import Reader, parts, play_last_turns, uses
from zoo.run import files
from zoo.run.folders import checkpoint_of
from zoo.run.records import encode

if TYPE_CHECKING:
    from zoo.gan import GAN


@dataclass(frozen=True)
class Diagnosis:
    """Readings of a trained GAN, now and while it trained."""

    ref: str
    objective: str
    reading: Reading  # of now
    history: History | None  # of its run; None where the checkpoint has none
    retrained: Retrained | None  # the frozen-generator experiment, if it was asked for

    def __str__(self) -> str:
        return "\n".join([*self._now(), *self._then(), *self._frozen()])

    def _now(self) -> list[str]:
        now = self.reading
        samples = "samples of the same class" if now.within_classes else "samples"
        alike = f"{samples} differ {now.diversity:.2g} times as much as the data do"
        if not math.isnan(now.feature_diversity):
            alike += f", in features {now.feature_diversity:.2g} times"
        if not math.isnan(now.modes):
            alike += f", and have {now.modes:.2g} times as many modes"
        return [
            f"{self.ref}: {self.objective} at {now.kimg:g} kimg",
            f"D ranks {now.accuracy:.1%} of pairs (real, sample) rightly; the scores overlap by {now.overlap:.2f}",
            f"G's gradient has the norm {now.gradient:.3g}; its loss passes on {now.slope:.3g} of what moves a score",
            alike,
        ]

    def _then(self) -> list[str]:
        if self.history is None:
            return ["the checkpoint has no readings of its training, and a single one names nothing"]
        if not self.history.findings:
            return [f"nothing was found in {len(self.history.readings)} readings while it trained"]
        return [f"while it trained: {finding}" for finding in self.history.findings]

    def _frozen(self) -> list[str]:
        if self.retrained is None:
            return []
        return [f"against the frozen generator: {self.retrained}", self.retrained.table()]

    def as_json(self) -> str:
        """All of it; NaN as a string."""
        content = {
            "ref": self.ref,
            "objective": self.objective,
            "reading": {name: encode(value) for name, value in self.reading.as_row().items()},
            "diagnosis": None if self.history is None else [found._asdict() for found in self.history.findings],
            "retrained": None if self.retrained is None else self.retrained.as_row(),
        }
        return json.dumps(content, indent=1, allow_nan=False)


def diagnose(
    gan: GAN, ref: str | Path, data: LightningDataModule, *, n: int = 1000, seed: int = 0, retrain_d: bool = False,
    steps: int = STEPS,
) -> Diagnosis:  # fmt: skip
    """Read a trained GAN once, and its run's readings; with `retrain_d`, train a fresh D against it.

    Args:
        gan: stays as it is.
        ref: where it is from: a run, whose readings are taken, or a published GAN, which has none.
        data: whose training images; it is set up here.
        n: samples, and the fewest images to compare them with.
        seed: of all that is drawn.
        retrain_d: see `zoo.diagnostics.frozen_generator`.
        steps: of that D.

    Raises:
        ValueError: fewer than two batches of data, with `retrain_d`.
    """
    data.prepare_data()
    data.setup("fit")
    loader = map(parts, data.train_dataloader())
    first = next(loader)
    enough = [first, *islice(loader, -(-n // len(first[0])) - 1)]
    reader = Reader(n, seed)
    reader.know(data)
    game = deepcopy(gan).train()
    play_last_turns(game, [torch.cat(part) for part in zip(*enough, strict=True)])
    reading = reader(game, *first[:2])
    assert reading is not None
    retrained = retrain(gan, chain(enough, loader), steps=steps, seed=seed) if retrain_d else None
    return Diagnosis(str(ref), type(gan).__name__, reading, history_of(ref, gan), retrained)


def history_of(ref: str | Path, gan: GAN) -> History | None:
    """The readings in a run's checkpoint, diagnosed again; None where there are none."""
    checkpoint = checkpoint_of(ref, prefer="last")
    if checkpoint is None:
        return None
    callbacks = files.read(checkpoint).get("callbacks", {})
    states = [state for key, state in callbacks.items() if key.startswith("Diagnostics")]
    return History(map(Reading.of_row, states[0]["readings"]), uses(gan)) if states else None
