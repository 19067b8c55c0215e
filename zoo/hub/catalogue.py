"""The published checkpoints that come with the package: a folder each in `catalogue_data`, under its name.

A wheel has the descriptions of all and the weights of some; the others' are the distribution gan-zoo-catalogue.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.hub.bundle import CONFIG, WEIGHTS
from zoo.hub.recipe import close
from zoo.run.records import decode

DATA = Path(__file__).parent / "catalogue_data"
MORE = "in a checkout of the zoo: pip install ./zoo/hub/catalogue_data"  # the weights that a wheel leaves out


@dataclass(frozen=True)
class Entry:
    """A published checkpoint, read from its `config.json`."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """All of it; see `zoo.hub.export`."""
        config: dict[str, Any] = json.loads((self.folder / CONFIG).read_text("utf-8"))
        return config

    def facts(self) -> dict[str, Any]:
        """What a row of the catalogue shows, as JSON can hold it; null where it was not measured.

        ``width`` is the generator's; ``score`` is what ``final``, ``best`` (at ``best_kimg``) and ``full`` measure,
        with ``n`` samples and ``full_n`` for the third; ``seeds`` are {"seed", "score", "best"} of all runs of this
        training; ``minutes`` are those of the whole run, ``megabytes`` those of all files.
        """
        training, scores = self.config["training"], self.config["scores"] or {}
        name = scores.get("name")
        final, best, full = (scores.get(key) or {} for key in ("final", "best", "full"))
        seconds = training["seconds"]
        return {
            **{key: self.config[key] for key in ("name", "version", "variant", "objective")},
            "width": (self.config["init_args"]["generator"].get("init_args") or {}).get("width"),
            "kimg": training["kimg"],
            "score": name,
            "n": (final or best).get("n_fake"),
            "final": final.get("scores", {}).get(name),
            "best": best.get("scores", {}).get(name),
            "best_kimg": best.get("kimg"),
            "full": full.get("scores", {}).get(f"full/{name}"),
            "full_n": full.get("n_fake"),
            "seeds": training["seeds"],
            "minutes": None if seconds is None else round(seconds / 60, 1),
            "megabytes": round(sum(file.stat().st_size for file in self.folder.iterdir()) / 1e6, 2),
        }


def names() -> list[str]:
    """The catalogue, in alphabetical order."""
    return sorted(path.parent.name for path in DATA.glob(f"*/{CONFIG}"))


def entries() -> list[Entry]:
    """The catalogue's entries, in alphabetical order."""
    return [Entry(DATA / name) for name in names()]


def find(name: str, version: str | None = None) -> Path:
    """The folder of a name, of this version if one is given.

    Raises:
        ValueError: for a name or a version that is not there, or whose weights are not.
    """
    if name not in names():
        hint = close(name, names()) if names() else ": it is empty"
        raise ValueError(f"the catalogue has no {name!r}{hint}")
    folder = DATA / name
    there = Entry(folder).config["version"]
    if version not in (None, there):
        raise ValueError(f"the catalogue has version {there} of {name}, not {version!r}: write {name}@{there}")
    if name in without_weights():
        raise ValueError(f"the weights of {name} are not installed; {MORE}")
    return folder


def without_weights() -> list[str]:
    """Names whose weights this installation does not have."""
    return [name for name in names() if not (DATA / name / WEIGHTS).is_file()]


HEADS = ("name", "objective", "width", "kimg", "score", "final", "best", "full", "seeds", "minutes", "MB")


def rows(chosen: Sequence[Entry]) -> list[tuple[str, ...]]:
    """A row of words for each, under :data:`HEADS`."""
    return [_row(entry.facts()) for entry in chosen]


def _row(facts: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        facts["name"],
        facts["objective"],
        _number(facts["width"]),
        f"{facts['kimg']:g}",
        facts["score"] or "-",
        _with(_number(facts["final"]), "n", facts["n"]),
        _with(_number(facts["best"]), "at", facts["best_kimg"], " kimg"),
        _with(_number(facts["full"]), "n", facts["full_n"]),
        _spread(facts["seeds"]),
        _number(facts["minutes"]),
        f"{facts['megabytes']:.2f}",
    )


def table(chosen: Sequence[Entry]) -> str:
    """The rows, in columns."""
    lines = [HEADS, *rows(chosen)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def markdown(chosen: Sequence[Entry]) -> str:
    """The rows, as a table of Markdown."""
    lines = [HEADS, ("---",) * len(HEADS), *rows(chosen)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _spread(seeds: Sequence[dict[str, Any]]) -> str:
    """How many runs, with mean and standard deviation of their last scores."""
    if not seeds:
        return "1"
    last = [float(decode(row["score"])) for row in seeds]
    return f"{len(last)}: {statistics.fmean(last):.4g} ± {statistics.stdev(last):.2g}"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _with(text: str, word: str, value: Any, unit: str = "") -> str:
    return text if text == "-" else f"{text} ({word} {value:g}{unit})"
