"""A module that only counts, and a fit of it, for the tests of callbacks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from zoo.callbacks import Checkpoints, Progress, Quality
from zoo.callbacks.evaluation import Measured
from zoo.run.loggers import MetricsLog

BATCH, BATCHES = 100, 10  # an epoch is 1 kimg, a batch 0.1


class Counter(LightningModule):
    """What callbacks see of a GAN; its one weight is the number of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.steps = self.images = 0
        self.latest: dict[str, Tensor] = {}
        self.places: list[tuple[int, int]] = []  # (epoch, batch) of every step
        self.fail_at: int | None = None

    @property
    def kimg(self) -> float:
        return self.images / 1000

    def players(self) -> dict[str, torch.nn.Module]:
        return {"d": self}

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        if self.steps == self.fail_at:
            raise RuntimeError("no luck\nat all")
        self.steps += 1
        self.images += len(batch[0])
        self.weight.data += 1
        self.places.append((self.current_epoch, batch_idx))
        self.latest = {"loss/d": torch.tensor(0.5), "loss/g": torch.tensor(2.25)}
        self.latest["loss/d/penalty"] = torch.tensor(7.0)
        counter = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        counter.increment_ready()
        counter.increment_completed()
        self.log_dict({"progress/kimg": self.kimg, **self.latest})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["game"] = (self.steps, self.images)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.steps, self.images = checkpoint["game"]

    def sample(self, n: int, *, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(n, 1, 4, 4, generator=generator) * 0 + self.weight.item() / 100


class Scores(Quality):
    """A Quality whose scores are given: {kimg: score}."""

    def __init__(self, scores: dict[float, float]) -> None:
        super().__init__(every_kimg=0.1)
        self.told = scores

    def _prepare(self, trainer: Trainer, module: LightningModule) -> None:
        self._floor = 0.0
        self._proxy = lambda gan: Measured({self.score_name: self.told.get(round(gan.kimg, 3), 99.0)}, {})


class When(Callback):
    """Does something after a batch."""

    def __init__(self, steps: int, do: Callable[[], object]) -> None:
        self.steps, self.do = steps, do

    def on_train_batch_end(self, trainer: Trainer, module: Counter, *args: Any) -> None:
        if module.steps == self.steps:
            self.do()


def stop(error: BaseException) -> Callable[[], None]:
    def do() -> None:
        raise error

    return do


def fit(
    folder: Path,
    *callbacks: Callback,
    module: Counter | None = None,
    resume: str | None = None,
    epochs: int = 1,
    data: bool = False,
    **options: Any,
) -> tuple[Counter, Trainer]:
    module = module or Counter()
    bare = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    if not any(isinstance(c, Checkpoints) for c in callbacks):
        bare["enable_checkpointing"] = False
    if any(isinstance(c, Progress) for c in callbacks):
        del bare["enable_progress_bar"]
    trainer = Trainer(
        **bare,
        logger=options.pop("logger", MetricsLog(folder)),
        callbacks=list(callbacks),
        max_epochs=epochs,
        log_every_n_steps=1,
        **options,
    )
    loader = DataLoader(TensorDataset(torch.zeros(BATCH * BATCHES, 2)), batch_size=BATCH)
    trainer.fit(module, loader, ckpt_path=None if resume is None else str(folder / resume))
    return module, trainer


def steps_in(path: Path) -> float:
    return torch.load(path, weights_only=True)["state_dict"]["weight"].item()
