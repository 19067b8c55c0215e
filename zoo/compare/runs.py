"""Read run folders, and check that every file is as a run writes it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from zoo.cli.configs import read_file
from zoo.run.records import KIMG, read_metrics, read_record

RECORD = "run.json"
_MOST = {RECORD: 16e6, "config.yaml": 4e6, "metrics.jsonl": 256e6, "scores.jsonl": 256e6}  # bytes of a file


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
        variant: the configuration's name.
        dataset: the data's name.
        seed: None for a run that was not seeded.
        status: "running", also of a run that was killed, "finished", "interrupted" or "failed".
        error: of a failed run.
        device: as it names itself.
        started: ISO 8601.
        commit: of the code, 8 digits, with " + changes" where there were any.
        kimg: thousands of images seen: as recorded at the end, else of the last row.
        seconds: of training with all that happens in between.
        pathologies: findings of the diagnostics: each a name, with evidence, advice and kimg where they are known.
        rows: of `metrics.jsonl`, without the rows that a resume went back on; none without one.
        protocols: of each score and kimg in `scores.jsonl`; none without one.
        config: of `config.yaml`, see :func:`flatten`; None without one.
        pictures: of `samples/`, by kimg.
    """

    folder: Path
    variant: str
    dataset: str
    seed: int | None
    status: str
    error: str | None
    device: str | None
    started: str | None
    commit: str
    kimg: float
    seconds: float
    pathologies: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    protocols: dict[tuple[str, float], Protocol]
    config: dict[str, Any] | None
    pictures: list[Path]

    @property
    def began(self) -> bool:
        """Whether anything was logged, or any image used."""
        return bool(self.rows) or self.kimg > 0

    @property
    def minutes(self) -> float:
        """:attr:`seconds` in minutes."""
        return self.seconds / 60

    @property
    def images_per_second(self) -> float | None:
        """Of :attr:`seconds`; None before any have passed."""
        return 1000 * self.kimg / self.seconds if self.seconds else None

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


def find_runs(paths: Iterable[str | Path]) -> list[Path]:
    """The folders of runs: those given, or all below a folder that is no run; each once, resolved.

    Raises:
        ValueError: no paths, or one that is no folder, or has no run in it.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            raise ValueError(f"{path} is no folder: name runs, or folders of runs")
        if (path / RECORD).is_file():
            records = [path / RECORD]
        else:
            links = path.glob(f"*/{RECORD}")  # `**` does not follow them
            records = sorted(record for record in {*links, *path.rglob(RECORD)} if record.is_file())
        if not records:
            raise ValueError(f"{path} is no run and holds none: a run of train.py is a folder with a {RECORD}")
        found |= dict.fromkeys(record.parent.resolve() for record in records)
    if not found:
        raise ValueError("no runs to compare: name runs, or folders of runs")
    return list(found)


def read_run(folder: Path) -> Run:
    """Read a run's folder; of its files only `run.json` must be there.

    Raises:
        ValueError: a file is too large, or does not hold what a run writes.
        OSError: a file cannot be read.
    """
    for name, most in _MOST.items():
        path = folder / name
        if path.is_file() and path.stat().st_size > most:
            raise ValueError(f"{path} has more than {most / 1e6:.0f} MB")
    record, rows, config = _record(folder / RECORD), _rows(folder / "metrics.jsonl"), folder / "config.yaml"
    result, git, last = record.get("result") or {}, record.get("git") or {}, rows[-1] if rows else {}
    names = ("variant", "dataset", "seed", "status", "error", "device", "started")
    facts: dict[str, Any] = {name: record.get(name) for name in names}
    return Run(
        **facts, folder=folder, commit=str(git.get("commit") or "–")[:8] + (" + changes" if git.get("dirty") else ""),
        kimg=float(max(result.get("kimg") or 0.0, last.get(KIMG, 0.0))),
        seconds=float(max(result.get("seconds") or 0.0, last.get("time", 0.0))),
        pathologies=record.get("diagnosis") or [], rows=rows, protocols=_protocols(folder / "scores.jsonl"),
        config=flatten(read_file(config)) if config.is_file() else None,
        pictures=sorted((folder / "samples").glob("*.png")),
    )  # fmt: skip


def flatten(tree: Any, name: str = "") -> dict[str, Any]:
    """A configuration by the names of the command line: `model.g_optimizer.lr`.

    A class is named at its own place, its arguments below it. Those of a list are found by the last part of
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


def _record(path: Path) -> dict[str, Any]:
    record = read_record(path)
    result, findings = record.get("result") or {}, record.get("diagnosis") or []
    texts = [record.get(key) for key in ("error", "started", "device")]
    sound = {
        "seed": record.get("seed") is None or _is_number(record["seed"]),
        "result": all(_is_number(result.get(key) or 0) and (result.get(key) or 0) >= 0 for key in ("kimg", "seconds")),
        "diagnosis": isinstance(findings, list) and all(isinstance(found, dict) for found in findings),
        "git": isinstance(record.get("git") or {}, dict),
        "error, started or device": all(text is None or isinstance(text, str) for text in texts),
    }
    for key, good in sound.items():
        if not good:
            raise ValueError(f"{path}: its {key} is not as a run writes it")
    return record


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        rows = read_metrics(path)
        for i, row in enumerate(rows, 1):
            if not all(_is_number(row.get(key, 0.0)) and row.get(key, 0.0) >= 0 for key in (KIMG, "kimg", "time")):
                raise ValueError(f"{path}: row {i} has a kimg or time that is no number")
            for key, value in row.items():
                if isinstance(value, int):
                    row[key] = float(value) if key != "step" and not isinstance(value, bool) else value
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} is not what a run writes: {error}") from None
    return rows


def _protocols(path: Path) -> dict[tuple[str, float], Protocol]:
    found: dict[tuple[str, float], Protocol] = {}
    for row in _rows(path):
        if not isinstance(row.get("scores"), dict) or "kimg" not in row:
            raise ValueError(f"{path}: a row has no kimg and no scores: not written by a run of train.py")
        facts = [row.get(field) for field in Protocol._fields]
        if not all(fact is None or isinstance(fact, str | int | float) for fact in facts):
            raise ValueError(f"{path}: a row does not say how it was measured as a run does")
        sizes = (int(fact) if isinstance(fact, float) and fact.is_integer() else fact for fact in facts)
        protocol = Protocol(*sizes)  # type: ignore[arg-type]  # checked above
        found |= {(key, row["kimg"]): protocol for key in row["scores"]}
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
