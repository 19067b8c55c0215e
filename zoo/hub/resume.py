"""What a run resumes from is compared with what that run would write, before Lightning or native code takes any of it.

Every entry of a checkpoint has an expected form: loops, callbacks, optimisers, generators, the place in the data. The
forms of loops and moments are not written down here, but taken from the Trainer and from the optimisers after a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer

from zoo.callbacks import Checkpoints, Diagnostics, Quality
from zoo.callbacks.record import RunRecord
from zoo.callbacks.stopping import EarlyStopping
from zoo.datamodules.base import DataModule
from zoo.diagnostics.reader import place, sketch
from zoo.gan import GAN
from zoo.run.trainer import say
from zoo.support.forms import (
    ANYTHING,
    COUNT,
    DURATION,
    FLAG,
    NUMBER,
    NUMBER_OR_FLAG,
    NUMBER_OR_NONE,
    RANK,
    STATE,
    TEXT_OR_NONE,
    VERSION,
    Rule,
    floats,
    game_form,
    misfit,
    or_none,
)  # fmt: skip
from zoo.support.moments import bring

_LOOPS = {"fit": "fit_loop", "validate": "validate_loop", "test": "test_loop", "predict": "predict_loop"}
_OF_LIGHTNING = {
    "callbacks", "epoch", "game", "global_step", "hparams_name", "hyper_parameters", "loops", "lr_schedulers",
    "optimizer_states", "pytorch-lightning_version", "state_dict",
}  # fmt: skip


def check(path: Path, checkpoint: Mapping[str, Any], gan: GAN, trainer: Trainer, data: Any, command: str) -> None:
    """ValueError, naming the key, unless `command` of this Trainer can go on from what was read at `path`."""
    loops = {_LOOPS[command]: _loop(trainer, command, data), ...: ANYTHING}
    form: dict[Any, Any] = {"pytorch-lightning_version": VERSION, "loops": loops, ...: ANYTHING}
    if command == "fit":
        if "optimizer_states" not in checkpoint:
            raise ValueError(
                f"{path} has no optimizer_states, only weights: nothing to go on from; "
                f"begin a new run from it with --model.init_from {path}"
            )
        form |= {
            "lr_schedulers": Rule("an empty list", lambda value: value == []),
            "epoch": COUNT,
            "global_step": COUNT,
        }
    if command == "fit" or "callbacks" in checkpoint:
        image_shape = getattr(data, "image_shape", None)
        known = {c.state_key: _of_callback(c, gan, image_shape) for c in trainer.callbacks}  # type: ignore[attr-defined]
        kept = checkpoint.get("callbacks")
        named = [key for key in kept if isinstance(key, str)] if isinstance(kept, dict) else []
        form["callbacks"] = {key: known.get(key, ANYTHING) for key in named}
    if "hyper_parameters" in checkpoint:
        form["hyper_parameters"] = STATE
    if type(data).__qualname__ in checkpoint and isinstance(data, LightningDataModule):
        form[type(data).__qualname__] = _place(data) if isinstance(data, DataModule) else STATE
    scaler = type(trainer.precision_plugin).__qualname__
    if scaler in checkpoint:
        form[scaler] = dict.fromkeys(trainer.precision_plugin.state_dict(), NUMBER)
    form["game"] = game_form(checkpoint["game"], gan.turns())
    if found := misfit(dict(checkpoint), form, "") or (
        _disagreement(path, checkpoint, gan, trainer, data) if command == "fit" else None
    ):
        raise ValueError(f"{path}: {found.removeprefix('.').strip()}")


def _loop(trainer: Trainer, command: str, data: Any) -> Any:
    """Every counter that the loop has; what more there is, it leaves alone."""

    def of(value: Any) -> Any:
        if isinstance(value, dict):
            return {**{key: of(part) for key, part in value.items()}, ...: ANYTHING}
        return FLAG if isinstance(value, bool) else COUNT if isinstance(value, int) else ANYTHING

    form = of(getattr(trainer, _LOOPS[command]).state_dict())
    dealt = [_place(data)] if isinstance(data, DataModule) else ANYTHING
    form["state_dict"] = {...: ANYTHING}
    form["state_dict"] = Rule("the loaders' places", partial(_is_loaders, dealt))
    return form


def _place(data: DataModule) -> dict[str, Any]:
    return dict.fromkeys(data.position, COUNT)


def _is_loaders(dealt: Any, value: Any) -> bool:
    return misfit(value, {...: dealt}, "") is None and len(value.get("combined_loader", ())) <= 1


def _of_callback(callback: Any, gan: GAN, image_shape: Any) -> Any:
    """What a callback of the zoo keeps; of others only that it has names."""
    kind = type(callback)
    if kind is RunRecord:
        return {"started": TEXT_OR_NONE, "seconds": DURATION, "wandb_id": TEXT_OR_NONE}
    if kind is EarlyStopping:
        return {"best": NUMBER, "waited": COUNT, "seen": NUMBER}
    if kind is Checkpoints:
        return {"best_kimg": NUMBER_OR_NONE}
    if kind is Quality:
        numbers = callback.state_dict().keys() - {"_best_rank"}  # which older checkpoints do not have
        return {**dict.fromkeys(numbers, NUMBER_OR_NONE), ...: or_none(RANK)}
    if kind is not Diagnostics:
        return STATE
    seen = floats(None) if image_shape is None else floats(*place(torch.zeros(2, *image_shape)).shape)
    weights = floats(*sketch(gan.generator.parameters()).shape)
    reader = {"places": [seen], "move": or_none(seen), "weights": or_none(weights), "step": or_none(weights)}
    return {
        "readings": [{"kimg": NUMBER, ...: NUMBER_OR_FLAG}],
        "reader": {**reader, "start": NUMBER, "norms": {...: NUMBER}, ...: [[COUNT]]},  # counts, which older ones lack
    }


def _disagreement(path: Path, checkpoint: Mapping[str, Any], gan: GAN, trainer: Trainer, data: Any) -> str | None:
    """What is of another optimiser, or of another moment than the rest; None where all fits."""
    if found := bring(checkpoint, gan.players(), gan.configure_optimizers()):
        return found
    kept = checkpoint["callbacks"]
    known = [c for c in trainer.callbacks if c.state_dict()]  # type: ignore[attr-defined]
    if fresh := [type(c).__name__ for c in known if c.state_key not in kept]:
        say(trainer, f"{path} holds nothing of {', '.join(fresh)}: begun anew")
    if "_class_path" not in checkpoint.get("hyper_parameters", ()):
        return None  # written by a Trainer used from Python, which may have counted from anywhere
    if RunRecord.__name__ not in kept:
        return "callbacks has no RunRecord"
    loops = checkpoint["loops"]["fit_loop"]
    counted = loops["epoch_loop.manual_optimization.optim_step_progress"]["total"]["completed"]
    counts = {"global_step": checkpoint["global_step"], "loops": counted, "game": checkpoint["game"]["steps"]}
    if len(set(counts.values())) > 1:
        return f"steps are not the same in {', '.join(f'{key} ({n})' for key, n in counts.items())}"
    here = type(data).__qualname__
    if isinstance(data, DataModule) and here not in checkpoint and not checkpoint.keys() - _OF_LIGHTNING:
        return f"it has no {here}: where in the data it stood"
    return None
