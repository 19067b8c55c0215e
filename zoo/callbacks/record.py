"""The file `run.json`: the command, the versions and the result of a run."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from zoo import __version__
from zoo.callbacks.quality import Quality
from zoo.callbacks.stopping import EarlyStopping
from zoo.diagnostics.callback import Diagnostics
from zoo.run import slurm
from zoo.run.files import BEST, LAST, put
from zoo.run.records import KIMG, encode
from zoo.run.secrets import redacted, redacted_words
from zoo.run.trainer import find, leaves_nothing, say

if TYPE_CHECKING:
    from zoo.gan import GAN

CHECKOUT = Path(__file__).parents[2]


class RunRecord(Callback):
    """Keeps `<run_dir>/run.json`, replaced in one piece when training starts and when it ends.

    - ``variant``, ``dataset``; ``objective``, the class of the module; ``seed``
    - ``versions`` of python, torch, lightning and zoo; ``git``, {"commit", "dirty"} of the zoo's
      checkout, null outside one; ``command``, without credentials; ``job``, SLURM's id, null outside it; ``device`` and
      the number of ``ranks``
    - ``started`` (the first time, for a resumed run) and ``ended``, ISO 8601 in UTC
    - ``status``: "running", and for good if the process was killed; "finished"; "interrupted" by
      Ctrl-C, SIGHUP, SIGTERM, SIGUSR1 or SIGUSR2; or "failed", with the exception in ``error``
    - ``stopped``: why :class:`EarlyStopping` ended it, else null
    - ``wandb_id``, which is in checkpoints too, to resume W&B's run
    - ``result``: ``kimg``, ``steps``; ``seconds`` of training with all that happens in between, over
      all resumes; ``images_per_second`` of these; ``score``, see :class:`Quality`, null without one;
      ``metrics``, the last value of each; and ``checkpoints``, relative to the run's folder
    - ``diagnosis``: what :class:`Diagnostics` found, each with ``name``, ``kimg``, ``evidence`` and ``advice``; null
      without one

    NaN and infinities are written as in `metrics.jsonl`: "nan", "inf", "-inf".

    Args:
        run_dir: the run's folder.
        variant: name of the configuration.
        dataset: name of the data.
    """

    def __init__(self, run_dir: str | Path, variant: str, dataset: str) -> None:
        self.run_dir = Path(run_dir)
        self.variant, self.dataset = variant, dataset
        self._facts: dict[str, Any] = {}
        self._started: str | None = None
        self._wandb_id: str | None = None
        self._seconds = 0.0  # before the fit's last start
        self._finished = False
        self._since: float | None = None  # monotonic, while training

    def state_dict(self) -> dict[str, Any]:
        """Start, time spent and W&B's id, for a resumed run."""
        return {"started": self._started, "seconds": self._trained(), "wandb_id": self._wandb_id}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        self._started, self._seconds = state_dict["started"], state_dict["seconds"]
        self._wandb_id = state_dict["wandb_id"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the facts that are known beforehand."""
        self._started = self._started or _now()
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                self._wandb_id = logger.version
        if trainer.is_global_zero:
            self._facts = self._gather(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write them, and start the clock."""
        self._write(trainer, cast("GAN", pl_module), "running")
        self._since = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._stop()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing failed: the result can be written once all callbacks are done."""
        self._finished = True

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the result, and print where it is and how to go on, below the summaries of other callbacks."""
        if stage == "fit" and self._finished and not leaves_nothing(trainer):
            self._write(trainer, cast("GAN", pl_module), "finished")
            self._next(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Record the failure in run.json; not where a resume failed before its checkpoint was read."""
        if trainer.state.fn != TrainerFn.FITTING or (not self._facts and (self.run_dir / "run.json").is_file()):
            return
        self._stop()
        status, error = "interrupted", None
        if not isinstance(exception, KeyboardInterrupt | SIGTERMException):
            first, *_ = str(exception).splitlines() or [""]
            status, error = "failed", redacted(f"{type(exception).__name__}: {first}")
        gan = cast("GAN", pl_module)
        if status == "interrupted":
            say(trainer, f"Stopped at {gan.kimg:g} kimg.")
            self._next(trainer)
        try:
            self._write(trainer, gan, status, error)
        except OSError as full:  # let the other callbacks save what they can
            if getattr(exception, "errno", None) != full.errno:  # else it says so itself
                rank_zero_warn(f"RunRecord: could not write {full.filename}: {full.strerror}")

    def _trained(self) -> float:
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self._seconds + running

    def _stop(self) -> None:
        self._seconds, self._since = self._trained(), None

    def _gather(self, trainer: Trainer) -> dict[str, Any]:
        seed = os.environ.get("PL_GLOBAL_SEED")  # where seed_everything leaves it
        device = trainer.strategy.root_device
        return {
            "variant": self.variant, "objective": type(trainer.lightning_module).__name__, "dataset": self.dataset,
            "seed": None if seed is None else int(seed),
            "versions": {
                "python": platform.python_version(), "torch": str(torch.__version__),
                "lightning": lightning.__version__, "zoo": __version__,
            },
            "git": _git(CHECKOUT), "command": command(), "job": slurm.job(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "ranks": trainer.world_size,
        }  # fmt: skip

    def _result(self, trainer: Trainer, gan: GAN) -> dict[str, Any]:
        quality = find(trainer, Quality)
        score = quality and {
            "name": quality.score_name, "last": encode(quality.score), "last_kimg": quality.score_kimg,
            "best": quality.best_score, "best_kimg": quality.best_kimg,
        }  # fmt: skip
        seconds = self._trained()
        return {
            "kimg": gan.kimg, "steps": gan.steps, "seconds": round(seconds, 3),
            "images_per_second": round(gan.images / seconds, 1) if seconds else None, "score": score,
            "metrics": {k: encode(v) for k, v in trainer.callback_metrics.items() if k != KIMG},
            "checkpoints": [name for name in (LAST, BEST) if (self.run_dir / name).is_file()],
        }  # fmt: skip

    def _write(self, trainer: Trainer, gan: GAN, status: str, error: str | None = None) -> None:
        if not trainer.is_global_zero or leaves_nothing(trainer):
            return
        self._facts = self._facts or self._gather(trainer)
        diagnostics, stopping = find(trainer, Diagnostics), find(trainer, EarlyStopping)
        record = {
            **self._facts, "wandb_id": self._wandb_id, "started": self._started or _now(),
            "ended": None if status == "running" else _now(), "status": status, "error": error,
            "stopped": stopping and stopping.reason, "result": self._result(trainer, gan),
            "diagnosis": diagnostics and [found._asdict() for found in diagnostics.history.findings],
        }  # fmt: skip
        put(json.dumps(record, indent=2, allow_nan=False).encode(), self.run_dir / "run.json")

    def _next(self, trainer: Trainer) -> None:
        """Print where the run is, and the commands that go on from there."""
        lines = [f"Run: {self.run_dir}"]
        if pictures := sorted((self.run_dir / "samples").glob("*.png")):
            lines.append(f"Samples: {pictures[-1]}")
        if (self.run_dir / LAST).is_file():
            train = "python train.py fit" if Path(sys.argv[0]).name == "train.py" else "python -m zoo train"
            lines += [
                f"Sample:  python -m zoo sample {self.run_dir} -o grid.png",
                f"Compare: python -m zoo compare {self.run_dir.parent}",
                f"Resume:  {train} --ckpt_path {self.run_dir}",
            ]
        say(trainer, "\n".join(lines))


def command() -> str:
    """The command line of this process, without credentials."""
    return shlex.join(redacted_words(sys.orig_argv))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git(checkout: Path) -> dict[str, Any] | None:
    """The commit that is checked out, and whether there are changes on top; None outside git."""

    def ask(*command: str) -> str:
        words = ("git", "--no-optional-locks", "-C", str(checkout), *command)
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout

    try:
        if Path(ask("rev-parse", "--show-toplevel").strip()) != checkout:
            return None  # installed below somebody else's checkout
        commit = ask("rev-parse", "HEAD").strip()
        return {"commit": commit, "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
