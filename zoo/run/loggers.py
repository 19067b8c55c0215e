"""Where the numbers of a run go: a file of rows in the run's folder, and W&B beside it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger as LightningCSVLogger
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers import TensorBoardLogger as LightningTensorBoardLogger
from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn

from zoo.metrics.features.memory import cache_folder
from zoo.run.records import KIMG, append_row, encode, names_of, read_metrics
from zoo.run.secrets import redacted, redacted_words

if TYPE_CHECKING:
    from wandb import Run


class MetricsLog(Logger):
    """Writes `<run_dir>/metrics.jsonl`: a JSON object a row, {"step": ..., "time": ..., **metrics}.

    `step` is the logger's step, `time` the seconds since the run began, not counting the time
    between a kill and a resume. NaN and infinities are strings; :func:`read_metrics` turns them
    back. Rows are appended, and a killed run loses at most the row that was being written.
    """

    def __init__(self, run_dir: str | Path) -> None:
        super().__init__()
        self.path = Path(run_dir) / "metrics.jsonl"
        self._epoch: float | None = None  # monotonic clock at time 0; None before the first row

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.parent.name

    @property
    def version(self) -> None:
        """None: a folder holds one run."""
        return

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.path.parent)

    @property
    def log_dir(self) -> str:
        """The run's folder."""
        return self.save_dir

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Append one row."""
        if self._epoch is None:
            self._epoch = time.monotonic() - self._begin()
        row = {"step": step, "time": round(time.monotonic() - self._epoch, 3), **metrics}
        append_row(self.path, {key: encode(value) for key, value in row.items()})

    @rank_zero_only
    def complete(self, metrics: Mapping[str, Any], step: int) -> None:
        """Append a row unless it is there: a kill may come between a checkpoint and the row of its step."""
        rows = read_metrics(self.path) if self.path.is_file() else []
        if not any(row.get(KIMG) == metrics[KIMG] and names_of(metrics) <= row.keys() for row in rows):
            self.log_metrics(metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kw: Any) -> None:
        """Nothing: the run's config.yaml and run.json hold them."""

    def _begin(self) -> float:
        """Make the folder, and return the last row's time."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = read_metrics(self.path) if self.path.is_file() else []
        return float(rows[-1]["time"]) if rows else 0.0


RunMode = Literal["online", "offline", "disabled"]
Mode = Literal["auto"] | RunMode
_SHOWN = ("config", "group", "job_type", "name", "notes", "tags")  # what W&B shows of a run
_MODES: dict[str, Mode] = {
    "auto": "auto",
    "online": "online",
    "offline": "offline",
    "disabled": "disabled",
    "run": "online",  # W&B's old names for two of them
    "dryrun": "offline",
}


class WandbLogger(LightningWandbLogger):
    """Lightning's W&B logger, made unable to stop a run.

    It goes online when there are credentials, and otherwise, or when the server cannot be reached
    or refuses them, writes an offline run to `<save_dir>/wandb` for a later `wandb sync`. It never
    asks anything. If W&B breaks down later, training goes on without it, and if the server does, the
    run's folder has it all for `wandb sync`: either is said once. Every chart's x axis is
    `progress/kimg`. The run is finished when a fit ends; logging again reopens it under its id.

    Args:
        project: W&B's project.
        mode: "auto" is `WANDB_MODE` if set, else "online"; "online" falls back to "offline".
        save_dir: the run's folder; None is the current one.
        init_timeout: seconds to wait for the server at the start; W&B may add 15 of its own.
        finish_timeout: seconds to wait for uploads at the end; `wandb sync` can send the rest.
        kwargs: Lightning's and `wandb.init`'s: `name`, `group`, `tags`, or an `id` to resume.

    Raises:
        ValueError: an unknown mode, an id that W&B does not take, or `offline` or `log_model`, which have other names
            here.
    """

    def __init__(
        self, project: str = "gan-zoo", mode: Mode = "auto", save_dir: str | Path | None = None,
        init_timeout: float = 20.0, finish_timeout: float = 60.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        if kwargs.pop("offline", False):
            raise ValueError('WandbLogger: instead of offline=True, write mode="offline"')
        if kwargs.pop("log_model", False):
            raise ValueError(
                "WandbLogger: log_model would upload pickled training checkpoints; "
                "publish a model with `python -m zoo publish` instead"
            )
        if forbidden := set(kwargs.get("id") or "") & set(":;,#?/'"):
            raise ValueError(f"WandbLogger: an id cannot have {' '.join(sorted(forbidden))}, got {kwargs['id']!r}")
        self._mode = _known_mode(mode, "mode")
        self._settings = {"init_timeout": init_timeout, "finish_timeout": finish_timeout}
        self._ours = self._broken = False
        super().__init__(project=project, save_dir=save_dir or "", **kwargs)
        self._wandb_init["resume"] = self._wandb_init.get("resume") or "allow"
        self._wandb_init.pop("anonymous")  # wandb warns about it, whatever its value

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """W&B's run; opened when first asked for."""
        import_wandb()
        import wandb

        if self._experiment is None and wandb.run is None and not hasattr(self, "_attach_id"):
            self._experiment = self._open()
            self._ours = True
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log one row."""
        self._attempt(super().log_metrics, metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kw: Any) -> None:
        """Add to the run's config."""
        self._attempt(super().log_hyperparams, params)

    @rank_zero_only
    def log_picture(self, key: str, picture: np.ndarray, kimg: float) -> None:
        """Log a picture, (H, W, 3) uint8, at `kimg` on the x axis."""

        def log() -> None:
            import wandb

            self.experiment.log({key: wandb.Image(picture), KIMG: kimg})

        self._attempt(log)

    @rank_zero_only
    def log_alert(self, title: str, text: str) -> None:
        """Send a warning as a W&B alert."""
        self._attempt(lambda: self.experiment.alert(title=title, text=text, level="WARN"))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Finish the run, waiting at most `finish_timeout` seconds for uploads."""
        if not self._ours or self._experiment is None:
            return
        self._id = self._wandb_init["id"] = self._experiment.id
        self._attempt(self._experiment.finish, exit_code=0 if status == "success" else 1)
        self._attempt(_relay, None)
        self._experiment = None

    def _open(self) -> Run:
        import wandb

        folder = Path(self._wandb_init["dir"] or ".")
        folder.mkdir(parents=True, exist_ok=True)  # else wandb would write to a temporary folder
        os.environ.setdefault("WANDB_DATA_DIR", str((folder / "wandb" / "data").resolve()))
        os.environ.setdefault("WANDB_SILENT", "true")  # read once, when wandb's service starts
        shown = {key: redacted(self._wandb_init[key]) for key in _SHOWN if self._wandb_init.get(key)}
        arguments = {"settings": self._settings, **self._wandb_init, **shown}
        mode = self._run_mode()
        with _arguments_redacted():
            try:
                run = wandb.init(**arguments, mode=mode)
            except (wandb.Error, OSError) as error:
                if mode != "online":
                    raise
                _warn_offline(f"could not be reached ({_first_line(error)})")
                run = wandb.init(**arguments, mode="offline")
        if run.url:
            rank_zero_info(f"W&B: {run.url}")
        elif not run.disabled:
            rank_zero_info(f"W&B: offline; send it with `wandb sync {Path(run.dir).parent}`")
        if not run.offline and not run.disabled:
            _relay(_Relay(run))
        run.define_metric(KIMG, hidden=True)
        run.define_metric("*", step_metric=KIMG)
        return run

    def _run_mode(self) -> RunMode:
        import wandb

        mode = self._mode
        if mode == "auto":
            mode = _known_mode(os.environ.get("WANDB_MODE") or "auto", "WANDB_MODE")
        if mode == "offline" or mode == "disabled":
            return mode
        try:
            if wandb.login(prompt=False, verify=False):
                return "online"
            if mode == "online":
                _warn_offline("has no credentials here")
        except (wandb.Error, ValueError) as error:
            _warn_offline(f"cannot use the credentials it found ({_first_line(error)})")
        return "offline"

    def _attempt(self, call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Call W&B; its first failure is a warning, and ends all further calls."""
        if self._broken:
            return
        try:
            call(*args, **kwargs)
        except Exception as error:
            self._broken = True
            rank_zero_warn(f"W&B failed ({_first_line(error)}): the run goes on without it")


class _Relay:
    """Forwards W&B's first warning about its uploads, which WANDB_SILENT would hide."""

    def __init__(self, run: Run) -> None:
        self._folder: Path | None = Path(run.dir).parent  # None once it has spoken

    def info(self, message: str) -> None:
        """Nothing."""

    def warning(self, message: str) -> None:
        """Forward the first one."""
        if self._folder is not None:
            what = message.removeprefix("wandb: ").removeprefix("WARNING ").removeprefix("ERROR ").partition(". ")[0]
            rank_zero_warn(f"W&B: {what.rstrip('.')}; `wandb sync {self._folder}` sends what it lacks")
            self._folder = None

    error = warning


def _relay(relay: _Relay | None) -> None:
    """Where W&B's own messages go."""
    import wandb

    wandb.termsetup(wandb.setup().settings, relay)


def import_wandb() -> None:
    """Import W&B with its temporary folders in our cache, one a process; delete those of ended processes.

    It makes them in the system's folder otherwise, where a killed process leaves them for good.
    """
    if "wandb" in sys.modules:
        return
    root = cache_folder() / "tmp"
    for folder in root.glob("[0-9]*"):
        if not _runs(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
    before = tempfile.tempdir
    try:
        (root / str(os.getpid())).mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = str(root / str(os.getpid()))
        import wandb  # noqa: F401
    except OSError:  # a cache that cannot be written
        pass
    finally:
        tempfile.tempdir = before


def _runs(process: int) -> bool:
    """Whether a process is there; elsewhere than on POSIX it is taken for granted."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def _arguments_redacted() -> Iterator[None]:
    """Hide credentials in `sys.argv` from W&B, which records it."""
    words = sys.argv[1:]
    sys.argv[1:] = redacted_words(words)
    try:
        yield
    finally:
        sys.argv[1:] = words


class TensorBoardLogger(LightningTensorBoardLogger):
    """Lightning's, in `<save_dir>/tensorboard`, with the run's pictures; `pip install 'gan-zoo[tensorboard]'`.

    Args:
        save_dir: the run's folder.
        kwargs: the rest of Lightning's.
    """

    def __init__(self, save_dir: str | Path | None = None, **kwargs: Any) -> None:
        super().__init__(save_dir or ".", **{"name": "tensorboard", "version": "", **kwargs})

    @rank_zero_only
    def log_picture(self, key: str, picture: np.ndarray, kimg: float) -> None:
        """Log a picture, (H, W, 3) uint8, at step `kimg`."""
        self.experiment.add_image(key, picture, round(kimg), dataformats="HWC")


class CSVLogger(LightningCSVLogger):
    """Lightning's, in `<save_dir>/csv`.

    Args:
        save_dir: the run's folder.
        kwargs: the rest of Lightning's.
    """

    def __init__(self, save_dir: str | Path | None = None, **kwargs: Any) -> None:
        super().__init__(save_dir or ".", **{"name": "csv", "version": "", **kwargs})


def log_picture(loggers: Iterable[Logger], key: str, picture: np.ndarray, kimg: float) -> None:
    """Show a picture, (H, W, 3) uint8, in every logger that can show one."""
    for logger in loggers:
        if isinstance(logger, WandbLogger | TensorBoardLogger):
            logger.log_picture(key, picture, kimg)
        elif hasattr(logger, "log_image"):
            logger.log_image(key=key, images=[picture])


def log_alert(loggers: Iterable[Logger], title: str, text: str) -> None:
    """Send an alert by every logger that can."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_alert(title, text)


def _known_mode(mode: str, source: str) -> Mode:
    if mode not in _MODES:
        raise ValueError(f"{source}={mode!r} is no W&B mode: choose from {', '.join(_MODES)}")
    return _MODES[mode]


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _warn_offline(why: str) -> None:
    rank_zero_warn(f"W&B {why}: logging offline, send it later with `wandb sync`")
