"""Train from Python as `train.py` does: the same callbacks, and the same folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_info

from zoo.callbacks import Budget, RunRecord
from zoo.cli.configs import CONFIGS
from zoo.cli.main import DEFAULT_CALLBACKS, keep_recipe, snake_case
from zoo.cli.quiet import hush
from zoo.gan import GAN
from zoo.hub.load import refuse_others
from zoo.run.files import put
from zoo.run.folders import checkpoint_of, held, new_folder
from zoo.run.loggers import MetricsLog, WandbLogger
from zoo.run.records import read_record
from zoo.run.secrets import redacted
from zoo.support.described import description


def fit(
    gan: GAN, data: LightningDataModule, *, kimg: float | None = None, folder: str | Path = "runs",
    callbacks: Iterable[Callback] = (), without: Iterable[str] = (), logger: bool | Iterable[Logger] = True,
    resume: str | Path | None = None, **trainer: Any,
) -> Path:  # fmt: skip
    """Train `gan` on `data`, with samples, scores, diagnosis and checkpoints in a folder; return that folder.

    Defaults are those of `configs/default.yaml`. Afterwards `gan` is in evaluation mode.

    Args:
        gan: a game; where all parts are of the zoo's classes, or derived from them, `zoo.load(folder)` rebuilds it.
        data: as those of `zoo.datamodules`: batches (x, labels) or (x,) with images in [-1, 1] or points.
        kimg: thousands of real images, over all resumes; None is the default budget.
        folder: where the run's own folder is made.
        callbacks: further ones.
        without: names of default callbacks to leave out: progress, samples, quality, diagnostics, checkpoints.
        logger: beside the run's `metrics.jsonl`: W&B as configured in the environment, none, or these.
        resume: a run, as for `zoo.load`; it goes on in its folder.
        **trainer: of `lightning.pytorch.Trainer`, as `devices=2` or `max_steps=100`.

    Raises:
        ValueError: for an unknown name in `without`; for a checkpoint to resume that does not fit; and as the callbacks
            say.
    """
    left_out = set(without)
    if unknown := left_out - set(DEFAULT_CALLBACKS):
        raise ValueError(f"fit: no default callback {min(unknown)!r}; choose from {', '.join(DEFAULT_CALLBACKS)}")
    hush()
    defaults = yaml.safe_load((CONFIGS / "default.yaml").read_text(encoding="utf-8"))
    kimg = defaults["budget"]["kimg"] if kimg is None else kimg
    checkpoint = None if resume is None else checkpoint_of(resume, prefer="last") or Path(resume)
    if checkpoint is None:
        variant, dataset = _variant(gan), snake_case(type(data).__name__)
        run = new_folder(Path(folder), f"{variant}-{dataset}")
    else:
        run = checkpoint.parent
        record = read_record(run / "run.json")
        variant, dataset = record["variant"], record["dataset"]
    _describe(gan, data, run, {"variant": variant, "dataset": dataset, "budget": {"kimg": kimg}})
    loggers: list[Logger]
    if isinstance(logger, bool):
        loggers = [WandbLogger(save_dir=run, name=run.name, group=f"{variant}-{dataset}")] if logger else []
    else:
        loggers = list(logger)
    if trainer.get("enable_progress_bar") is False:
        left_out.add("progress")
    bar, *others = [None if name in left_out else kind(**defaults[name]) for name, kind in DEFAULT_CALLBACKS.items()]
    listed = [*callbacks, bar, RunRecord(run, variant, dataset), *others, Budget(kimg)]
    usual = {key: value for key, value in defaults["trainer"].items() if key not in {"logger", "default_root_dir"}}
    options = {"limit_val_batches": 0, **usual, **trainer}
    fitting = Trainer(
        default_root_dir=run, logger=[MetricsLog(run), *loggers],
        callbacks=[callback for callback in listed if callback is not None], **options,
    )  # fmt: skip
    if checkpoint is not None:
        refuse_others(checkpoint, gan, fitting, data, "fit")
    with held(run):
        fitting.fit(gan, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    gan.eval()
    return run


def _variant(gan: GAN) -> str:
    """The name of the variant's configuration: that of its module in `zoo.variants`, else of its class."""
    room, _, module = type(gan).__module__.rpartition(".")
    return module if room == "zoo.variants" else snake_case(type(gan).__name__)


def _describe(gan: GAN, data: LightningDataModule, run: Path, facts: Mapping[str, Any]) -> None:
    """Write how to build both again into checkpoints and the run's `config.yaml`, as far as it is known."""
    parts: dict[str, Any] = dict(facts)
    try:
        model = redacted(description(gan, type(gan).__name__))
        keep_recipe(gan, model)
        parts["model"] = model
    except ValueError as error:
        rank_zero_info(f"{error}: read this run with {type(gan).__name__}.load_from_checkpoint, not with zoo.load")
    try:
        parts["data"] = redacted(description(data, type(data).__name__))
    except ValueError as error:
        rank_zero_info(f"{error}: name the data of this run to `evaluate` and `diagnose`")
    if not (run / "config.yaml").exists():  # a resumed run has its own, which may say more
        put(yaml.safe_dump(parts, sort_keys=False).encode(), run / "config.yaml")
