"""Names of logged values that a dashboard shows."""

from __future__ import annotations

from typing import Any

import torch

from zoo.callbacks.evaluation import own_extractor
from zoo.cli.configs import CONFIGS
from zoo.cli.data import data_module
from zoo.metrics.scores import score_name
from zoo.run.records import KIMG

DATA = CONFIGS / "data"


class Keys:
    """The metrics and pictures that any two-player run logs, where quality is measured in the features S.

    This is the only list of them: panels take every name from here, and a test looks for every one in a short run.

    Args:
        features: the name S of these, as in ``fd/S``.
    """

    kimg = KIMG
    samples = "samples/grid"
    d_loss, g_loss = "loss/d", "loss/g"
    d_rate, g_rate = "lr/d", "lr/g"

    def __init__(self, features: str) -> None:
        self.score = score_name("fd", features)
        self.best = f"best/{self.score}"
        self.precision, self.recall, self.coverage = (
            score_name(name, features) for name in ("precision", "recall", "coverage")
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that are numbers."""
        quality = (self.score, self.best, self.precision, self.recall, self.coverage)
        return (self.kimg, *quality, self.d_loss, self.g_loss, self.d_rate, self.g_rate)


class Settings:
    """Places in a run's configuration, as W&B has it."""

    variant, dataset, seed = "variant", "dataset", "seed_everything"
    batch_size = "data.init_args.batch_size"
    d_rate, g_rate = (f"model.init_args.{player}_optimizer.init_args.lr" for player in "dg")


def features_of(data: str) -> str:
    """The name of the features in which `zoo.callbacks.Quality` measures runs on a data set, if it is given none.

    Args:
        data: the name of a file of configs/data/, without its ending.

    Raises:
        ValueError: there is no such file.
    """
    path = DATA / f"{data}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in DATA.glob("*.yaml")))
        raise ValueError(
            f"--data {data}: the features of its runs are not known: choose from {known}, or add --features"
        )
    module: Any = data_module(["-c", str(path)])
    return own_extractor(module, torch.empty(0, *module.image_shape)).name
