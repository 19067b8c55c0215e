"""Runs on disk: which one a reference names, and the folder of a new one."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Literal

from lightning.pytorch.utilities import rank_zero_only

from zoo.run.files import BEST, LAST
from zoo.run.records import read_record

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LATEST = "latest"
ROOT = Path("runs")  # of the working folder, where `train.py` writes


def checkpoint_of(ref: str | Path, prefer: Literal["best", "last"] = "best") -> Path | None:
    """The checkpoint of a run on this disk; None for a reference of another kind.

    Args:
        ref: a .ckpt file; a run's folder; or "latest", the run in `runs/` that was written to last.
        prefer: which checkpoint of a folder, where it has both. A best that was measured before the first batch is not
            preferred.

    Raises:
        ValueError: there is no run in `runs/`, or no checkpoint in the folder.
    """
    path = Path(ref).expanduser()
    if path.suffix == ".ckpt":
        return path
    names = (BEST, LAST) if prefer == "best" else (LAST, BEST)
    if str(ref) == LATEST and not path.exists():
        saved = [run for run in ROOT.glob("*/run.json") if any((run.parent / name).is_file() for name in names)]
        if not saved:
            raise ValueError(f"{LATEST}: there is no run with a checkpoint in {ROOT}/")
        path = max(saved, key=lambda record: record.stat().st_mtime).parent
    if not (path / "run.json").is_file():
        if runs := sorted(path.glob("*/run.json"), key=lambda record: record.stat().st_mtime):
            raise ValueError(f"{path} is a folder of runs; name one, as {runs[-1].parent}")
        return None
    if _best_is_untrained(path / "run.json"):
        names = (LAST, BEST)
    found = next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        raise ValueError(f"{path} is a run without a checkpoint: it has no {' or '.join(names)}")
    return found


def new_folder(root: Path, stem: str) -> Path:
    """Make a folder named by `stem` and the time.

    Rank 0 makes it. Ranks that it started learn of it from the environment; all others write nothing.
    """
    stem = f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
    if rank_zero_only.rank != 0:  # type: ignore[attr-defined]
        return Path(os.environ.get("GAN_ZOO_RUN_FOLDER") or root / stem)
    root.mkdir(parents=True, exist_ok=True)
    for count in itertools.count():
        folder = root / (f"{stem}-{count}" if count else stem)
        with suppress(FileExistsError):
            folder.mkdir()
            break
    os.environ["GAN_ZOO_RUN_FOLDER"] = str(folder)
    return folder


def _best_is_untrained(record: Path) -> bool:
    with suppress(OSError, ValueError, TypeError, KeyError):
        return bool(read_record(record)["result"]["score"]["best_kimg"] == 0)
    return False


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a run's folder for this process, until the end of the block or the death of the process.

    On rank 0 only, and not on Windows.

    Raises:
        ValueError: another process trains there.
    """
    if fcntl is None or getattr(rank_zero_only, "rank", None):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    with path.open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"{folder} is being trained by another process") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
