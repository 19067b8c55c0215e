"""The runs of a benchmark: command lines, folders, and the state that is on disk."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule

from zoo.benchmark.file import Benchmark, Entry, Options
from zoo.benchmark.flops import flops_per_image
from zoo.benchmark.resolve import resolve
from zoo.cli.configs import CONFIGS, entries, find_config, read_file
from zoo.run.files import LAST, PREVIOUS, whole
from zoo.run.records import read_record

NESTED = "{...}"


@dataclass(frozen=True)
class PlannedRun:
    """One run of a benchmark; its folder has the folders that `train.py` made, one unless a try left no checkpoint."""

    variant: str
    seed: int
    draw: int | None  # of a search
    values: Options  # of the draw
    folder: Path
    command: Sequence[str]
    config: Mapping[str, Any]  # leaves of the run's config.yaml; see `leaves`

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.variant}{'' if self.draw is None else f' draw {self.draw}'} seed {self.seed}"

    @property
    def log(self) -> Path:
        """The output of all its processes."""
        return self.folder / "run.log"

    def tries(self) -> list[Path]:
        """The run's own folders, oldest first."""
        return sorted((path.parent for path in self.folder.glob("*/run.json")), key=lambda run: run.stat().st_mtime)

    def record(self) -> dict[str, Any] | None:
        """The `run.json` of the finished try, else of the last; None before the first."""
        records = [read_record(run / "run.json") for run in self.tries()]
        return next((record for record in records if record["status"] == "finished"), records[-1] if records else None)

    def result(self) -> dict[str, Any] | None:
        """The result of a finished run; None while there is something left to do."""
        record = self.record()
        return record.get("result", {}) if record is not None and record["status"] == "finished" else None

    def checkpoint(self) -> Path | None:
        """The last one, or the one before it if only that is whole."""
        last = next((run / LAST for run in reversed(self.tries()) if (run / LAST).is_file()), None)
        if last is not None and not whole(last) and whole(last.with_name(PREVIOUS)):
            return last.with_name(PREVIOUS)
        return last

    def next_command(self) -> list[str]:
        """The command that begins the run, or continues it from its checkpoint."""
        checkpoint = self.checkpoint()
        return [*self.command, *([f"--ckpt_path={checkpoint}"] if checkpoint else [])]

    def check(self) -> None:
        """Raise ValueError if there is a try with another configuration; keys of one side come from other versions."""
        for run in self.tries():
            was = leaves(read_file(run / "config.yaml")) if (run / "config.yaml").is_file() else {}
            for place in (place for place in was if was[place] != self.config.get(place, was[place])):
                raise ValueError(
                    f"{run} was run with {place} {was[place]!r}, and the benchmark now says {self.config[place]!r}: "
                    "choose another --out, or remove that folder"
                )


def plan(benchmark: Benchmark, out: Path) -> tuple[list[PlannedRun], LightningDataModule]:
    """The runs of a benchmark in the order in which they begin, seed by seed over all variants; and their data.

    Every variant is built from its real command line: a search's with both ends of every range and with each choice.

    Raises:
        ValueError: in one line, for options that `train.py` would refuse, and for runs in `out` that were made with
            another configuration.
    """
    variants, data = [], None
    for entry in benchmark.configs:
        try:
            runs, data = _plan(benchmark, entry, out)
        except ValueError as error:
            raise ValueError(f"{benchmark.path}: {entry.name}: {error}") from None
        variants.append(runs)
    ordered = [run for runs in zip(*variants, strict=True) for run in runs]
    for run in ordered:
        run.check()
    assert data is not None
    return ordered, data


def as_options(values: Mapping[str, Any]) -> list[str]:
    """Words of a command line of `train.py`, as --option=value."""
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]


def leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `train.py`, without "init_args", to their values; of a list to its length, beside its members."""
    found = {}
    for place, value in entries(config, ""):
        plain = len(value) if isinstance(value, list) else NESTED if isinstance(value, dict) else value
        found[place.replace(".init_args", "")] = plain
    return found


def _plan(benchmark: Benchmark, entry: Entry, out: Path) -> tuple[list[PlannedRun], LightningDataModule]:
    """The runs of a variant."""
    search, words = benchmark.search, _words(benchmark, entry)
    draws = search.extremes(entry.name) if search else [{}]
    resolved, *_ = [resolve([*words, *as_options(values)]) for values in draws]
    trainer = resolved.config["trainer"]
    if (str(trainer["devices"]), trainer["num_nodes"]) not in (("auto", 1), ("1", 1)):
        raise ValueError("trainer.devices and trainer.num_nodes: each run of a benchmark has one device")
    config = leaves(resolved.config)
    del config["trainer.default_root_dir"]
    if benchmark.budget.flops:
        per_image = flops_per_image(resolved.gan, resolved.data)
        config["budget.kimg"] = round(benchmark.budget.flops / per_image / 1000, 3)
        words.append(f"--budget.kimg={config['budget.kimg']}")
    runs = []
    for seed in benchmark.seeds:
        for draw in range(search.draws) if search else (None,):
            folder = out / f"{resolved.variant}-{resolved.dataset}"
            folder = folder / ("" if draw is None else f"draw-{draw:03}") / f"seed-{seed}"
            values = search.draw(entry.name, draw) if search and draw is not None else {}
            own = [*as_options(values), f"--seed_everything={seed}", f"--trainer.default_root_dir={folder}"]
            command = [sys.executable, "-m", "zoo", "train", *words, *own]
            expected = _with_options(config, {**values, "seed_everything": seed})
            runs.append(PlannedRun(entry.name, seed, draw, values, folder, command, expected))
    return runs, resolved.data


def _portable(file: Path) -> str:
    """A path that means the same on another machine, where there is one."""
    if file.is_relative_to(Path.cwd()):
        return str(file.relative_to(Path.cwd()))
    packaged = Path("configs", *file.relative_to(CONFIGS).parts) if file.is_relative_to(CONFIGS) else file
    return str(packaged if find_config(packaged) == file else file)


def _words(benchmark: Benchmark, entry: Entry) -> list[str]:
    """Options of `train.py` but for the seed, the draw, the folder, and a budget in FLOPs."""
    words = [word for file in (entry.config, benchmark.data) for word in ("-c", _portable(file.resolve()))]
    if entry.renamed:
        words.append(f"--variant={entry.name}")
    if benchmark.budget.minutes:
        minutes, seconds = divmod(round(60 * benchmark.budget.minutes), 60)
        limit = f"{minutes // 1440:02}:{minutes // 60 % 24:02}:{minutes % 60:02}:{seconds:02}"
        words += ["--budget.kimg=null", f"--trainer.max_time={limit}"]
    elif benchmark.budget.steps:
        words += ["--budget.kimg=null", f"--trainer.max_steps={benchmark.budget.steps}"]
    elif benchmark.budget.kimg:
        words.append(f"--budget.kimg={benchmark.budget.kimg}")
    return [*words, *as_options(benchmark.overrides), *as_options(entry.overrides)]


def _with_options(config: dict[str, Any], options: Options) -> dict[str, Any]:
    """Leaves with other values; the section of a class that is replaced is left out, since only the run knows it."""
    plain = {option.replace(".init_args", ""): value for option, value in options.items()}
    named = [place for place, value in plain.items() if isinstance(value, str) and config.get(place) in (NESTED, None)]
    sections = tuple(f"{place}." for place in named)
    return {place: value for place, value in (config | plain).items() if not f"{place}.".startswith(sections)}
