"""What a benchmark says: a line as each run ends, and a table at the end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from zoo.benchmark.plan import Planned
from zoo.run.records import decode


class Progress:
    """Prints a line as each run ends: its score, its minutes, how many are left, and for about how long.

    Args:
        runs: all of the plan.
        jobs: how many play at a time.
    """

    def __init__(self, runs: Sequence[Planned], jobs: int) -> None:
        self.total, self.jobs = len(runs), jobs
        self.left = sum(not run.finished() for run in runs)
        self._seconds: list[float] = []

    def __call__(self, run: Planned, state: str, seconds: float) -> None:
        """See `Runner.heard`."""
        if state in ("finished", "failed"):
            self.left -= 1
        if state == "finished":
            self._seconds.append(seconds)
            print(f"[{self.total - self.left}/{self.total}] {run.name}: {outcome(run)}{self._estimate()}", flush=True)
        else:
            print(f"{run.name}: {state}, {why(run)} ({run.log})", flush=True)

    def _estimate(self) -> str:
        if not self.left:
            return ""
        return f"; {self.left} left, about {duration(mean(self._seconds) * self.left / self.jobs)}"


def outcome(run: Planned) -> str:
    """Score and time of a finished run."""
    result = (run.record() or {})["result"]
    score = result["score"]
    told = f"{score['name']} {_number(score['last'])}, best {_number(score['best'])}" if score else "no score"
    return f"{told}, {result['kimg']:g} kimg in {duration(result['seconds'])}"


def why(run: Planned) -> str:
    """What a run that did not finish ended with."""
    record = run.record()
    if record is not None and record["error"]:
        return str(record["error"])
    if record is not None and record["status"] == "interrupted":
        return f"saved at {record['result']['kimg']:g} kimg"
    lines = [line for line in _tail(run.log) if line.strip() and not line.startswith("$ ")]
    return lines[-1].strip() if lines else "killed before it said anything"


def table(runs: Sequence[Planned]) -> str:
    """A row a variant: finished runs of all, scores over them as mean ± standard deviation, and the time of one."""
    rows = [("variant", "runs", "best score", "last score", "kimg", "time")]
    names = set()
    for variant in dict.fromkeys(run.variant for run in runs):
        mine = [run for run in runs if run.variant == variant]
        results = [run.record()["result"] for run in mine if run.finished()]  # type: ignore[index]
        scores = [result["score"] for result in results if result["score"]]
        names |= {score["name"] for score in scores}
        rows.append((
            variant, f"{len(results)}/{len(mine)}", _spread(score["best"] for score in scores),
            _spread(score["last"] for score in scores), _spread(result["kimg"] for result in results),
            duration(mean(result["seconds"] for result in results)) if results else "-",
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *(f"score: {name}, lower is better" for name in sorted(names))])


def best_draws(runs: Sequence[Planned]) -> str:
    """Of a search, for each variant the draw whose mean best score is lowest, a line each."""
    lines = []
    for variant in dict.fromkeys(run.variant for run in runs):
        means: dict[int, float] = {}
        drawn = {run.draw: run.values for run in runs if run.variant == variant and run.draw is not None}
        for draw in drawn:
            scores = [_best(run) for run in runs if (run.variant, run.draw) == (variant, draw)]
            if not any(map(math.isnan, scores)):
                means[draw] = mean(scores)
        if means:
            draw = min(means, key=lambda number: means[number])
            values = ", ".join(f"{option} {_number(value)}" for option, value in drawn[draw].items())
            lines.append(f"{variant}: best of {len(means)} draws is {draw}, {means[draw]:.4g}: {values}")
        else:
            lines.append(f"{variant}: no draw has a score of every seed")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """For people."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _best(run: Planned) -> float:
    """The best score; NaN if there is none, or the run is not finished."""
    record = run.record()
    if record is None or record["status"] != "finished" or not record["result"]["score"]:
        return math.nan
    best = record["result"]["score"]["best"]
    return math.nan if best is None else float(best)


def _spread(values: Iterable[Any]) -> str:
    numbers = [math.nan if value is None else decode(value) for value in values]
    if not numbers:
        return "-"
    spread = ""
    if len(set(numbers)) > 1 and all(map(math.isfinite, numbers)):
        spread = f" ± {stdev(numbers):.2g}"
    return f"{mean(numbers):.4g}{spread}"


def _number(value: Any) -> str:
    value = decode(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tail(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:] if log.is_file() else []
