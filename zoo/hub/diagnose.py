"""What is wrong with a trained GAN, as `python -m zoo diagnose` tells."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from zoo.callbacks.readings import Reader, last_turns, mode_teller, uses
from zoo.callbacks.retraining import STEPS, Retrained, retrain
from zoo.diagnosis import History, Reading
from zoo.gan import GAN
from zoo.hub.evaluate import refuse_other_images
from zoo.hub.pretrained import trained
from zoo.metrics.features import Classifier
from zoo.run import files
from zoo.run.folders import checkpoint_of
from zoo.run.records import encode
from zoo.types import Data, total


@dataclass(frozen=True)
class Diagnosis:
    """What was read of a trained GAN, now and while it trained."""

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
    ref: str | Path,
    data: LightningDataModule,
    *,
    n: int = 1000,
    seed: int = 0,
    retrain_d: bool = False,
    steps: int = STEPS,
    trust: Sequence[str] = (),
) -> Diagnosis:
    """Read a trained GAN once, and its run's readings; with `retrain_d`, train a fresh D against it.

    Args:
        ref: a run, whose last.ckpt is taken, as for `zoo.load`; or a published GAN as for `zoo.from_pretrained`.
        data: whose training images; it is set up here.
        n: samples, and the fewest images to compare them with.
        seed: of all that is drawn.
        retrain_d: see `zoo.callbacks.retraining`.
        steps: of that D.
        trust: as for `zoo.load`.

    Raises:
        ValueError: for a checkpoint that cannot be loaded or makes other images than the data's, and fewer than two
            batches of data.
    """
    gan = trained(ref, trust=trust, prefer="last")
    refuse_other_images(ref, gan, data)
    data.prepare_data()
    data.setup("fit")
    loader = iter(data.train_dataloader())
    first = _parts(next(loader))
    enough = [first, *map(_parts, islice(loader, -(-n // len(first[0])) - 1))]
    known: Any = getattr(data, "classifier", None)
    reader = Reader(n, seed, None if known is None else Classifier(known), mode_teller(data))
    reading = reader(in_play(gan, [torch.cat(part) for part in zip(*enough, strict=True)]), *enough[0][:2])
    assert reading is not None
    batches = chain(enough, map(_parts, loader))
    retrained = retrain(gan, batches, steps=steps, seed=seed) if retrain_d else None
    return Diagnosis(str(ref), type(gan).__name__, reading, history_of(ref, gan), retrained)


def in_play(gan: GAN, data: Data) -> GAN:
    """A copy whose last scores, losses and gradients are those of a batch; nobody has moved."""
    game = deepcopy(gan).train()
    for turn in last_turns(game).values():
        terms = game.gradients(turn, partial(game.terms, turn, data))
        game.latest[f"loss/{turn.name}"] = total(terms).detach()
    return game


def history_of(ref: str | Path, gan: GAN) -> History | None:
    """The readings in a run's checkpoint, judged anew; None where there are none."""
    checkpoint = checkpoint_of(ref, prefer="last")
    if checkpoint is None:
        return None
    callbacks = files.read(checkpoint).get("callbacks", {})
    states = [state for key, state in callbacks.items() if key.startswith("Diagnostics")]
    return History(map(Reading.of_row, states[0]["readings"]), uses(gan)) if states else None


def _parts(batch: Any) -> list[Tensor]:
    return [batch] if isinstance(batch, Tensor) else list(batch)
