"""From runs to the numbers of a comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

from zoo.compare.labels import OF_A_RUN, differing, frozen, length, plain, recipe, suffixes, training
from zoo.compare.runs import Point, Run, find_runs, read_run
from zoo.compare.scores import Measure, scores
from zoo.compare.statistics import Summary, bootstrap_interval, holm, permutation_p, summarise, wins

When = Literal["best", "final"]
WHENS: tuple[When, ...] = ("best", "final")

_NOT_DATA = ("data.batch_size", "data.num_workers", "data.seed")


class Pairwise(NamedTuple):
    """One variant against another, on one score."""

    wins: float
    """Pairs of seeds in which the first is better, ties counted half."""
    pairs: int
    p: float
    """See :func:`zoo.compare.statistics.permutation_p`."""
    p_holm: float
    """Raised for the number of comparisons in the same matrix."""


Matrix = dict[tuple[str, str], Pairwise]


class Difference(NamedTuple):
    """The variant of the best mean against the next."""

    first: str
    second: str
    difference: float
    """mean(first) - mean(second)."""
    interval: tuple[float, float] | None
    """Bootstrap, 95 %; None where either has one seed."""
    pairwise: Pairwise
    comparisons: int
    """Comparisons that `p_holm` is raised for."""
    seeds: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Variant:
    """Runs of one configuration on one data set, which differ in nothing but their seeds.

    Attributes:
        label: the configuration's name, with what sets it apart from others of that name.
        runs: those that count, one a seed.
        others: those whose seed another run counts for.
    """

    label: str
    runs: tuple[Run, ...]
    others: tuple[Run, ...]
    _summaries: dict[tuple[Measure, When], Summary] = field(default_factory=dict, repr=False)

    @cached_property
    def scores(self) -> list[dict[Measure, list[Point]]]:
        """Of each run that counts."""
        return [scores(run) for run in self.runs]

    @property
    def config(self) -> dict[str, Any]:
        """What its runs have in common."""
        return configuration(self.runs[0]) or {}

    def summary(self, measure: Measure, when: When) -> Summary:
        """Summary over the seeds that have this score."""
        if (measure, when) not in self._summaries:
            measured = [found[measure] for found in self.scores if measure in found]
            values = [measure.best(points) if when == "best" else points[-1].value for points in measured]
            self._summaries[measure, when] = summarise(values)
        return self._summaries[measure, when]


@dataclass(frozen=True)
class Section:
    """All that ran on one data set; variants in the order of their best score."""

    dataset: str
    variants: list[Variant]
    _matrices: dict[tuple[Measure, When], Matrix] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def measures(self) -> list[Measure]:
        """Of all runs: distances first, then by name and protocol."""
        found = {measure for variant in self.variants for scores in variant.scores for measure in scores}
        return sorted(found, key=lambda m: (not m.distance, m.key.startswith("full/"), m.key, str(m.protocol)))

    @cached_property
    def headlines(self) -> list[Measure]:
        """The measures that order variants: one, unless runs were measured in different ways.

        That of modes where every run has it, else the Fréchet distance.
        """
        modes = [measure for measure in self.measures if measure.key == "modes/score"]
        if modes and all(any(m in found for m in modes) for v in self.variants for found in v.scores):
            return modes
        return [measure for measure in self.measures if measure.distance] or self.measures[:1]

    def matrix(self, measure: Measure, when: When) -> Matrix:
        """Every variant that has this score against every other; `[a, b]` and `[b, a]` are of one comparison."""
        if (measure, when) in self._matrices:
            return self._matrices[measure, when]
        values = {v.label: v.summary(measure, when).values for v in self.variants}
        pairs = list(combinations([label for label in values if values[label]], 2))
        lower = measure.lower_is_better
        ps = [permutation_p(values[a], values[b], lower_is_better=lower) for a, b in pairs]
        found: Matrix = {}
        for (a, b), p, raised in zip(pairs, ps, holm(ps), strict=True):
            n = len(values[a]) * len(values[b])
            won = wins(values[a], values[b], lower_is_better=lower)
            found[a, b], found[b, a] = Pairwise(won, n, p, raised), Pairwise(n - won, n, p, raised)
        self._matrices[measure, when] = found
        return found

    def means(self, measure: Measure) -> dict[str, float | None]:
        """Of the best scores, by label."""
        return {v.label: v.summary(measure, "best").mean for v in self.variants}

    def best_values(self, measure: Measure) -> list[float]:
        """Of every seed of every variant."""
        return [value for v in self.variants for value in v.summary(measure, "best").values]

    def scored(self, variant: Variant) -> bool:
        """Whether a variant has any of the headlines."""
        return any(variant.summary(measure, "best").values for measure in self.headlines)

    def difference(self, measure: Measure, when: When = "best") -> Difference | None:
        """The two best means; None with fewer than two."""
        sign = 1 if measure.lower_is_better else -1
        means = [(v.label, s) for v in self.variants if (s := v.summary(measure, when)).mean is not None]
        ranked = sorted(means, key=lambda pair: sign * (pair[1].mean or 0.0))
        if len(ranked) < 2:
            return None
        (first, a), (second, b) = ranked[:2]
        x, y = ([v for v in s.values if math.isfinite(v)] for s in (a, b))
        interval = bootstrap_interval(x, y) if min(len(x), len(y)) > 1 else None
        matrix = self.matrix(measure, when)
        pairwise, sizes = matrix[first, second], (len(a.values), len(b.values))
        return Difference(first, second, sum(x) / len(x) - sum(y) / len(y), interval, pairwise, len(matrix) // 2, sizes)

    @cached_property
    def differing(self) -> dict[str, dict[str, Any]]:
        """Configuration keys that differ between variants, {key: {label: value}}; a label may lack the key."""
        return differing({v.label: v.config for v in self.variants if v.config})

    @cached_property
    def common(self) -> dict[str, Any]:
        """The configuration keys that all variants agree on."""
        known = [v.config for v in self.variants if v.config]
        return {key: value for key, value in (known or [{}])[0].items() if key not in self.differing}

    def notes(self) -> Iterator[str]:
        """What makes these runs less comparable than they look."""
        runs = [run for variant in self.variants for run in variant.runs]
        if len(self.headlines) > 1:
            yield (
                f"The distance was measured in {len(self.headlines)} ways, which differ in features, numbers of images "
                "or split: each has a table of its own, and no number of one compares with a number of another."
            )
        kimg = [run.kimg for run in runs]
        if max(kimg) > 1.05 * min(kimg):
            yield f"The runs are not equally long, {min(kimg):.4g} to {max(kimg):.4g} kimg: the longer are favoured."
        for key in self.differing:
            if key.startswith("data.") and key not in _NOT_DATA:
                yield f"The data themselves differ in {key}: scores may not be comparable."
        devices = sorted({str(run.device) for run in runs})
        if len(devices) > 1:
            yield f"Wall clock is of different devices: {', '.join(devices)}."


@dataclass(frozen=True)
class Comparison:
    """Runs, by data set.

    Attributes:
        sections: a data set each.
        never_began: runs that logged nothing and saw no image; no section has them.
        unreadable: folders whose files are not what a run writes, with the reason; no section has them either.
    """

    sections: list[Section]
    never_began: list[Run] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)

    @cached_property
    def labels(self) -> list[str]:
        """Of all variants, in the order in which they appear."""
        return list(dict.fromkeys(v.label for section in self.sections for v in section.variants))

    @property
    def runs(self) -> list[Run]:
        """All runs of the sections, also those that do not count."""
        return [r for section in self.sections for v in section.variants for r in (*v.runs, *v.others)]


def compare(paths: Iterable[str | Path]) -> Comparison:
    """Read runs, and folders of runs, and put them side by side.

    A run that cannot be read, or never began, is left out and listed.

    Raises:
        ValueError: a path is no run and holds none, or none of the runs can be compared.
    """
    unreadable: dict[Path, str] = {}
    never_began: list[Run] = []
    by_data: dict[str, dict[str, list[Run]]] = {}
    for folder in find_runs(paths):
        try:
            run = read_run(folder)
        except (ValueError, OSError) as error:
            unreadable[folder] = str(error)
            continue
        if run.began:
            by_data.setdefault(run.dataset, {}).setdefault(run.variant, []).append(run)
        else:
            never_began.append(run)
    if not by_data:
        run_errors = [f"{run.folder} never began: {run.error or run.status}" for run in never_began]
        first, *more = [*unreadable.values(), *run_errors]
        raise ValueError(f"{first}; {len(more)} more runs cannot be compared either" if more else first)
    sections = []
    for dataset, by_name in sorted(by_data.items()):
        section = Section(dataset, [v for name, runs in sorted(by_name.items()) for v in _variants(name, runs)])
        sections.append(Section(dataset, sorted(section.variants, key=lambda v: (*_rank(section, v), v.label))))
    return Comparison(sections, never_began, unreadable)


def problems(run: Run) -> Iterator[str]:
    """Warnings about a run's numbers."""
    if run.status == "running":
        yield f"still running, or killed, at {run.kimg:.4g} kimg"
    elif run.status != "finished":
        yield f"{run.status} at {run.kimg:.4g} kimg" + (f": {run.error}" if run.error else "")
    if not run.rows:
        yield "nothing was logged"
    measured = scores(run)
    if not measured:
        yield "no scores"
    for measure, points in measured.items():
        lost = sum(not math.isfinite(point.value) for point in points)
        if measure.distance and lost:
            end = "" if math.isfinite(points[-1].value) else ", the last too"
            yield f"{measure.key} is NaN or infinite in {lost} of {len(points)} measurements{end}"
        if measure.distance and measure.protocol.fewer_samples_than_features:
            yield f"{measure.key} was taken of fewer samples than features, and means little"
    if run.config is None:
        yield "no config.yaml: its configuration cannot be compared with the others'"


def configuration(run: Run) -> dict[str, Any] | None:
    """A run's configuration without the keys that differ from run to run."""
    if run.config is None:
        return None
    return {key: value for key, value in run.config.items() if not key.startswith(OF_A_RUN)}


def _variants(name: str, runs: Sequence[Run]) -> Iterator[Variant]:
    """Split the runs of one name by configuration, and by length where they were meant to be of different lengths."""
    unknown = [run for run in runs if run.config is None]
    by_training: dict[str, list[Run]] = {}
    for run in runs:
        if run.config is not None:
            by_training.setdefault(frozen(training(run.config)), []).append(run)
    configs = [training(alike[0].config or {}) for alike in by_training.values()]
    groups: list[tuple[list[str], list[Run]]] = [(["no config.yaml"], unknown)] if unknown else []
    for suffix, alike in zip(suffixes(configs, recipe(name, runs[0].dataset)), by_training.values(), strict=True):
        groups += [([suffix, reached], part) for reached, part in _by_length(alike).items()]
    for words, part in groups:
        label = " · ".join([name, ", ".join(filter(None, words))]) if len(groups) > 1 and any(words) else name
        yield Variant(label, *_one_a_seed(part))


def _by_length(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by their budget, or what the longest of it reached of it; all under "" where the budgets are the same."""
    by_budget: dict[str, list[Run]] = {}
    for run in runs:
        by_budget.setdefault(frozen(length(run.config or {})), []).append(run)
    found: dict[str, list[Run]] = {}
    for alike in by_budget.values():
        budget = plain((alike[0].config or {}).get("budget.kimg"))
        reached = max(run.kimg for run in alike)
        kimg = min(reached, budget) if isinstance(budget, float) else reached  # the last batch goes beyond it
        found.setdefault(f"kimg={kimg:.4g}", []).extend(alike)
    return found if len(found) > 1 else {"": list(runs)}


def _one_a_seed(runs: Sequence[Run]) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Of the runs of one seed the newest counts, and a finished one before any other."""
    chosen: dict[Any, Run] = {}
    for run in sorted(runs, key=lambda r: (r.status == "finished", str(r.started))):
        data_seed = (run.config or {}).get("data.seed")
        chosen[run.folder if run.seed is None else (run.seed, data_seed)] = run
    counting = tuple(run for run in runs if run in chosen.values())
    return counting, tuple(run for run in runs if run not in counting)


def _rank(section: Section, variant: Variant) -> tuple[float, ...]:
    """Best means first, by the first headline that the variant has."""
    for i, measure in enumerate(section.headlines):
        mean = variant.summary(measure, "best").mean
        if mean is not None:
            return i, mean if measure.lower_is_better else -mean
    return len(section.headlines), 0.0
