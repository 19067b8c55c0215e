"""Facts of a training from its run's folder, fit to be published.

Paths of this machine, the data's root and whatever looks like a secret are left out of all that is read here.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from zoo.cli.configs import read_file
from zoo.metrics.scores import score_name
from zoo.run.records import decode, read_metrics, read_record
from zoo.run.secrets import HIDDEN, is_secret, redacted

_PRIVATE = {"root", "default_root_dir", "ckpt_path", "save_dir", "logger", "dirpath"}
_PLACE = re.compile(r"[/~\\]|\.\.|\w:[/\\]|file:")  # how the name of a place on a machine begins
_MACHINE = {"accelerator", "strategy", "devices", "num_nodes", "plugins", "profiler"}  # of the trainer: chosen anew


def public(value: Any) -> Any:
    """Plain values without private entries and without places of a machine."""
    if isinstance(value, Mapping):
        return {key: public(part) for key, part in value.items() if not _is_private(key) and not _is_hidden(part)}
    if isinstance(value, list | tuple):
        return [public(part) for part in value if not _is_hidden(part)]
    return value


def record(run: Path) -> dict[str, Any]:
    """The run's `run.json`, with the command cleaned; empty if there is none."""
    path = run / "run.json"
    if not path.is_file():
        return {}
    found = read_record(path)
    return {**public(found), "command": _command(str(found.get("command") or ""))}


def configuration(run: Path) -> dict[str, Any] | None:
    """The run's `config.yaml`, to repeat it elsewhere; None without one, or if it began from a file of this machine."""
    config = _configuration(run)
    if config is None:
        return None
    begun = config["model"]["init_args"].get("init_from")
    if begun and not _can_be_found(begun if isinstance(begun, str) else begun["ref"]):
        return None
    kept = {"seed_everything", "variant", "dataset", "budget", "trainer", "model", "data"}
    config = public({key: value for key, value in config.items() if key in kept})
    config["trainer"] = {k: v for k, v in config["trainer"].items() if v is not None and k not in _MACHINE}
    return config


def data(run: Path) -> dict[str, Any] | None:
    """The data of the run, their class by its short name; None if it has no `config.yaml`."""
    config = _configuration(run)
    if config is None:
        return None
    path, arguments = config["data"]["class_path"], config["data"].get("init_args") or {}
    return {"class_path": path.rpartition(".")[2], "init_args": public(arguments)}


def scores(run: Path, kimg: float) -> dict[str, Any] | None:
    """A run's measurements until `kimg`, rows of its `scores.jsonl`; None if there are none.

    Returns:
        ``name``, the score, as "fd/fashion-cnn"; ``final``, the cheap measurement at `kimg` itself; ``best``, the
        best one; and ``full``, the full measurement at `kimg`: null where there is none. ``course`` is [kimg, score]
        of every cheap one.
    """
    rows = [row for row in _rows(run / "scores.jsonl") if row["kimg"] <= kimg]
    if not rows:
        return None
    extractor = rows[-1]["extractor"]
    name = score_name("fd", extractor)
    rows = [row for row in rows if row["extractor"] == extractor]
    cheap = [row for row in rows if name in row["scores"]]
    full = [row for row in rows if f"full/{name}" in row["scores"]]
    measured = [row for row in cheap if math.isfinite(decode(row["scores"][name]))]
    lowest = min(measured, key=lambda row: row["scores"][name], default=None)
    return {
        "name": name,
        "final": _at(kimg, cheap),
        "best": next((row for row in reversed(measured) if f"best/{name}" in row["scores"]), lowest),
        "full": _at(kimg, full),
        "course": [[row["kimg"], row["scores"][name]] for row in cheap],
    }


def seeds(run: Path, others: Sequence[Path]) -> list[dict[str, Any]]:
    """How the same training ended with each seed: ``seed``, ``score`` and ``best``, in the order of seeds.

    Raises:
        ValueError: for a run without a score, two of one seed, and runs that differ in more than their seed.
    """
    if not others:
        return []
    rows = {}
    for folder in (run, *others):
        facts = record(folder)
        score = (facts.get("result") or {}).get("score")
        if not score or score["last"] is None:
            raise ValueError(f"--seeds: {folder} is no run that was measured at its end")
        _refuse_another_training(run, folder)
        if facts["seed"] in rows:
            raise ValueError(f"--seeds: {folder} has seed {facts['seed']}, as another run has")
        rows[facts["seed"]] = {"seed": facts["seed"], "score": score["last"], "best": score["best"]}
    return [rows[seed] for seed in sorted(rows)]


def training(run: Path, others: Sequence[Path] = ()) -> dict[str, Any]:
    """How the training went: its facts from `run.json`, its configuration, and the seeds of all its runs."""
    facts = record(run)
    result = facts.get("result") or {}
    return {
        **{key: facts.get(key) for key in ("seed", "device", "ranks", "versions", "git", "command", "status", "ended")},
        **{key: result.get(key) for key in ("seconds", "images_per_second")},
        "run_kimg": result.get("kimg"),
        "seeds": seeds(run, others),
        "config": configuration(run),
    }


def _configuration(run: Path) -> dict[str, Any] | None:
    path = run / "config.yaml"
    return read_file(path) if path.is_file() else None


def _refuse_another_training(run: Path, other: Path) -> None:
    mine, theirs = _conditions(run), _conditions(other)
    for key in mine.keys() | theirs.keys():
        if mine.get(key) != theirs.get(key):
            raise ValueError(f"--seeds: {other} is another training than {run}: they differ in {key}")


def _conditions(run: Path) -> dict[str, Any]:
    """All that a training depends on but its seed."""
    facts = record(run)
    config = {key: value for key, value in (configuration(run) or {}).items() if key != "seed_everything"}
    return {**config, "variant": facts["variant"], "dataset": facts["dataset"], "kimg": facts["result"]["kimg"]}


def _rows(path: Path) -> list[dict[str, Any]]:
    """The measurements of a run, without those that a resumed run has taken again."""
    rows: list[dict[str, Any]] = []
    for row in read_metrics(path) if path.is_file() else []:
        while rows and rows[-1]["kimg"] > row["kimg"]:
            rows.pop()
        rows.append(row)
    return rows


def _at(kimg: float, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    return next((row for row in reversed(rows) if row["kimg"] == kimg), None)


def _is_private(key: object) -> bool:
    return key in _PRIVATE or is_secret(key)


def _is_hidden(value: Any) -> bool:
    """A place of a machine, or what has a credential in it."""
    return _is_place(value) or (isinstance(value, str) and HIDDEN in redacted(value))


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and (_PLACE.match(value) is not None or str(Path.home()) in value)


def _can_be_found(ref: str) -> bool:
    """Whether a reference means the same on another machine."""
    return ref.startswith(("hf:", "wandb:")) or not (_is_place(ref) or "/" in ref or ref.endswith(".ckpt"))


def _command(text: str) -> str | None:
    """`python train.py ...` or `python -m zoo train ...` without its private words; None for another program.

    Also None for a resume, which says nothing but the run's folder.
    """
    words = shlex.split(text)
    for i, (before, word) in enumerate(pairwise(["", *words])):
        by_name = word == "train" and Path(before).name in ("zoo", "gan-zoo")
        if by_name or Path(word).name == "train.py":
            public = list(_public_words(words[i + 1 :]))
            program = ["-m", "zoo", "train"] if by_name else ["train.py"]
            return None if public in ([], ["fit"]) else shlex.join(["python", *program, *public])
    return None


def _public_words(words: Sequence[str]) -> Iterator[str]:
    left = list(words)
    while left:
        word = left.pop(0)
        key, equals, value = word.partition("=")
        taken = [] if equals or not key.startswith("-") or not left or left[0].startswith("--") else [left.pop(0)]
        hidden = any(_is_private(part) for part in key.lstrip("-").split("."))
        if not hidden and not any(_is_hidden(part) for part in (key, value, *taken)):
            yield from (word, *taken)
