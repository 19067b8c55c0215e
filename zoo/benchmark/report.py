"""The output of a benchmark: a line as each run ends, and a table at the end."""

import math
from collections.abc import Iterable, Sequence
from statistics import mean, stdev
from typing import Any

from zoo.benchmark.plan import PlannedRun
from zoo.run.records import decode


class Progress:
    """Prints a line as each of `runs` ends: score and time, how many runs are left, and for about how long."""

    def __init__(self, runs: Sequence[PlannedRun], jobs: int) -> None:
        self.total, self.jobs = len(runs), jobs
        self.left = sum(run.result() is None for run in runs)
        self._seconds: list[float] = []

    def __call__(self, run: PlannedRun, state: str, seconds: float) -> None:
        """Report a run whose process ended after `seconds`; `state` is finished, restarted, failed or stopped."""
        self.left -= state in ("finished", "failed")
        if state != "finished":
            print(f"{run.name}: {state}, {reason(run)} ({run.log})", flush=True)
            return
        self._seconds.append(seconds)
        left = duration(mean(self._seconds) * self.left / self.jobs)
        estimate = f"; {self.left} left, about {left}" if self.left else ""
        print(f"[{self.total - self.left}/{self.total}] {run.name}: {outcome(run)}{estimate}", flush=True)


def outcome(run: PlannedRun) -> str:
    """Score and time of a finished run."""
    result = run.result() or {}
    score = result["score"]
    scores = f"{score['name']} {_number(score['last'])}, best {_number(score['best'])}" if score else "no score"
    return f"{scores}, {result['kimg']:g} kimg in {duration(result['seconds'])}"


def reason(run: PlannedRun) -> str:
    """How a run ended that did not finish."""
    record = run.record() or {"error": None, "status": None}
    if record["error"]:
        return str(record["error"])
    if record["status"] == "interrupted":
        return f"saved at {record['result']['kimg']:g} kimg"
    lines = run.log.read_text(encoding="utf-8", errors="replace").splitlines() if run.log.is_file() else []
    lines = [line for line in lines if line.strip() and not line.startswith("$ ")]
    return lines[-1].strip() if lines else "killed before any output"


def table(runs: Sequence[PlannedRun]) -> str:
    """A row a variant: finished runs of all, scores over them as mean ± standard deviation, and the time of one."""
    rows = [("variant", "runs", "best score", "last score", "kimg", "time")]
    names = set()
    for variant in dict.fromkeys(run.variant for run in runs):
        own = [run.result() for run in runs if run.variant == variant]
        results = [result for result in own if result is not None]
        scores = [result["score"] for result in results if result["score"]]
        names |= {score["name"] for score in scores}
        rows.append((
            variant, f"{len(results)}/{len(own)}", _spread(score["best"] for score in scores),
            _spread(score["last"] for score in scores), _spread(result["kimg"] for result in results),
            duration(mean(result["seconds"] for result in results)) if results else "-",
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, *(f"score: {name}, lower is better" for name in sorted(names))])


def best_draws(runs: Sequence[PlannedRun]) -> str:
    """For each variant of a search, a line with the draw of the lowest mean best score."""
    lines = []
    for variant in dict.fromkeys(run.variant for run in runs):
        own = [run for run in runs if run.variant == variant]
        means = {draw: mean(_best(run) for run in own if run.draw == draw) for draw in {run.draw for run in own}}
        means = {draw: value for draw, value in means.items() if not math.isnan(value)}
        if not means:
            lines.append(f"{variant}: no draw has a score of every seed")
            continue
        best = min((run for run in own if run.draw in means), key=lambda run: means[run.draw])
        values = ", ".join(f"{option} {_number(value)}" for option, value in best.values.items())
        lines.append(f"{variant}: best of {len(means)} draws is {best.draw}, {means[best.draw]:.4g}: {values}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """For people."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _best(run: PlannedRun) -> float:
    score = (run.result() or {}).get("score")
    return math.nan if not score or score["best"] is None else float(score["best"])


def _spread(values: Iterable[Any]) -> str:
    numbers = [math.nan if value is None else decode(value) for value in values]
    if not numbers:
        return "-"
    several = len(set(numbers)) > 1 and all(map(math.isfinite, numbers))
    return f"{mean(numbers):.4g}" + (f" ± {stdev(numbers):.2g}" if several else "")


def _number(value: Any) -> str:
    value = decode(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
