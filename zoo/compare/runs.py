"""What a run's folder holds, read back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from zoo.cli_files import renamed
from zoo.loggers import KIMG, read_metrics
from zoo.runs import read_record

RECORD = "run.json"


class Protocol(NamedTuple):
    """How a score was measured: two numbers compare only where all of this is the same."""

    extractor: str | None
    fingerprint: str | None
    """Of the extractor's weights."""
    preprocessing: str | None
    n_real: int | None
    n_fake: int | None
    split: str | None
    fewer_samples_than_features: bool | None


class Point(NamedTuple):
    """A logged value, and when."""

    kimg: float
    seconds: float  # since the run began
    value: float


@dataclass(frozen=True, eq=False)
class Run:
    """One run's folder.

    Attributes:
        folder: resolved.
        record: of `run.json`.
        rows: of `metrics.jsonl`, with what a resume went back on left out; none without one.
        protocols: of each score and kimg in `scores.jsonl`; none without one.
        config: of `config.yaml`, see :func:`flatten`; None without one.
        pictures: of `samples/`, by kimg.
    """

    folder: Path
    record: dict[str, Any]
    rows: list[dict[str, Any]]
    protocols: dict[tuple[str, float], Protocol]
    config: dict[str, Any] | None
    pictures: list[Path]

    @property
    def variant(self) -> str:
        """The configuration's name."""
        return str(self.record["variant"])

    @property
    def dataset(self) -> str:
        """The data's name."""
        return str(self.record["dataset"])

    @property
    def seed(self) -> int | None:
        """None for a run that was not seeded."""
        return self.record.get("seed")

    @property
    def status(self) -> str:
        """ "running", also of a run that was killed, "finished", "interrupted" or "failed"."""
        return str(self.record["status"])

    @property
    def error(self) -> str | None:
        """Of a failed run."""
        return self.record.get("error")

    @property
    def kimg(self) -> float:
        """How far it came: what it recorded when it ended, else its last row."""
        last = self.rows[-1].get(KIMG, 0.0) if self.rows else 0.0
        return float(max(self._result.get("kimg") or 0.0, last))

    @property
    def seconds(self) -> float:
        """Of training with all that happens in between."""
        last = self.rows[-1].get("time", 0.0) if self.rows else 0.0
        return float(max(self._result.get("seconds") or 0.0, last))

    @property
    def images_per_second(self) -> float | None:
        """Of :attr:`seconds`; None before any have passed."""
        return 1000 * self.kimg / self.seconds if self.seconds else None

    @property
    def pathologies(self) -> list[dict[str, Any]]:
        """What diagnostics found: each a name, with evidence, advice and kimg where they are known."""
        return list(self.record.get("diagnosis") or [])

    @cached_property
    def series(self) -> dict[str, list[Point]]:
        """Every logged number, by name, in order."""
        found: dict[str, list[Point]] = {}
        for row in self.rows:
            if KIMG in row:
                for key in row.keys() - {KIMG, "step", "time", "epoch"}:
                    if isinstance(value := row[key], int | float):
                        found.setdefault(key, []).append(Point(row[KIMG], row.get("time", math.nan), float(value)))
        return found

    @property
    def _result(self) -> dict[str, Any]:
        return self.record.get("result") or {}


def find_runs(paths: Iterable[str | Path]) -> list[Path]:
    """The folders of runs: those given, and those anywhere below a folder that is none itself; each once, resolved.

    Raises:
        ValueError: no paths, or one that is no folder, or has no run in it.
    """
    found: dict[Path, None] = {}
    for given in map(Path, paths):
        if not given.is_dir():
            raise ValueError(f"{given} is no folder: name runs, or folders of runs")
        if (given / RECORD).is_file():
            records = [given / RECORD]
        else:
            links = given.glob(f"*/{RECORD}")  # which `**` does not go through
            records = sorted({*links, *given.rglob(RECORD)})
        if not records:
            raise ValueError(f"{given} is no run and holds none: a run of train.py is a folder with a {RECORD}")
        found |= dict.fromkeys(record.parent.resolve() for record in records)
    if not found:
        raise ValueError("no runs to compare: name runs, or folders of runs")
    return list(found)


def read_run(folder: Path) -> Run:
    """Read a run's folder; of its files only `run.json` must be there.

    Raises:
        ValueError: a file does not hold what a run writes.
    """
    record = read_record(folder / RECORD)
    log = folder / "metrics.jsonl"
    return Run(
        folder=folder,
        record=record,
        rows=read_metrics(log) if log.is_file() else [],
        protocols=_protocols(folder / "scores.jsonl"),
        config=_config(folder / "config.yaml"),
        pictures=sorted((folder / "samples").glob("*.png")),
    )


def flatten(tree: Any, name: str = "") -> dict[str, Any]:
    """A configuration by the names of the command line: `model.g_optimizer.lr`.

    A class is named at its own place, and what it is built with below it. Those of a list are found by the last part of
    their class (`trainer.callbacks.Quality.n`), so that one more of them does not rename the others.
    """
    if isinstance(tree, list) and any(isinstance(part, dict) for part in tree):
        classes = [part.get("class_path", i) if isinstance(part, dict) else i for i, part in enumerate(tree)]
        names = [str(path).rpartition(".")[2] for path in classes]
        names = [name if names.count(name) == 1 else f"{name}{i}" for i, name in enumerate(names)]
        tree = dict(zip(names, tree, strict=True))
    if not isinstance(tree, dict):
        return {name: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if key == "class_path":
            flat[name] = value
        else:
            flat |= flatten(value, name if key == "init_args" else f"{name}.{key}".lstrip("."))
    return flat


def _protocols(path: Path) -> dict[tuple[str, float], Protocol]:
    found: dict[tuple[str, float], Protocol] = {}
    for row in read_metrics(path) if path.is_file() else []:
        if not isinstance(row.get("scores"), dict) or "kimg" not in row:
            raise ValueError(f"{path}: a row has no kimg and no scores: not written by a run of train.py")
        protocol = Protocol(*(row.get(field) for field in Protocol._fields))
        found |= {(key, row["kimg"]): protocol for key in row["scores"]}
    return found


def _config(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        return flatten(renamed(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
