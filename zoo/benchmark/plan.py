"""From a protocol to the runs it asks for: command lines, folders, and what is there already."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule

from zoo.benchmark.file import Contender, Protocol, as_options
from zoo.benchmark.flops import flops_per_image
from zoo.benchmark.rehearsal import Rehearsal, rehearse
from zoo.cli.configs import read_file
from zoo.run.files import LAST, PREVIOUS, whole
from zoo.run.records import read_record


@dataclass(frozen=True)
class Planned:
    """One run of a benchmark.

    Its folder holds `run.log`, all that its process said, and the folder that `train.py` made.
    """

    variant: str
    seed: int
    draw: int | None  # of a search
    values: Mapping[str, Any]  # what was drawn
    folder: Path
    command: Sequence[str]
    config: Mapping[str, Any]  # as the run's config.yaml will have it, but for default_root_dir

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.variant}{'' if self.draw is None else f' draw {self.draw}'} seed {self.seed}"

    @property
    def log(self) -> Path:
        """What the process said, every time."""
        return self.folder / "run.log"

    def tries(self) -> list[Path]:
        """The run's own folders, oldest first: more than one if it died before its first checkpoint."""
        return sorted((path.parent for path in self.folder.glob("*/run.json")), key=lambda run: run.stat().st_mtime)

    def record(self) -> dict[str, Any] | None:
        """The `run.json` of the finished run, else of the last try; None before the first."""
        records = [read_record(run / "run.json") for run in self.tries()]
        finished = [record for record in records if record["status"] == "finished"]
        among = finished or records
        return among[-1] if among else None

    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        record = self.record()
        return record is not None and record["status"] == "finished"

    def checkpoint(self) -> Path | None:
        """Where to go on from: the last one, or the one before it if only that is whole."""
        last = next((run / LAST for run in reversed(self.tries()) if (run / LAST).is_file()), None)
        if last is not None and not whole(last) and whole(last.with_name(PREVIOUS)):
            return last.with_name(PREVIOUS)
        return last

    def next_command(self) -> list[str]:
        """The command for the first try, or to go on from the last one's checkpoint."""
        checkpoint = self.checkpoint()
        return [*self.command, *([f"--ckpt_path={checkpoint}"] if checkpoint else [])]

    def clear(self) -> None:
        """Take away what a try that died before its first checkpoint left; what it said stays in the log."""
        for run in self.tries():
            if not (run / LAST).is_file():
                shutil.rmtree(run)

    def check(self) -> None:
        """Refuse to go on with, or to count as done, what was run with another configuration; ValueError."""
        for run in self.tries():
            if (run / "config.yaml").is_file():
                told = read_file(run / "config.yaml")
                for place, was, wanted in _differences(told, self.config, ""):
                    raise ValueError(
                        f"{run} was run with {place} {was!r}, and the protocol now says {wanted!r}: choose another "
                        "--out, or take that folder away"
                    )


@dataclass(frozen=True)
class Plan:
    """All runs of a benchmark, in the order in which they begin."""

    runs: tuple[Planned, ...]
    data: LightningDataModule
    kimg: Mapping[str, float] = field(default_factory=dict)  # of each variant, where these follow from FLOPs


def plan(protocol: Protocol, out: Path) -> Plan:
    """What a protocol asks for, each variant looked at with the real command line.

    A search's variants are built with both ends of every range and with each of its choices. Seeds come after each
    other, so that the first results are of all variants.

    Raises:
        ValueError: in one line, for options that `train.py` would refuse, and for runs in `out` that were made with
            another configuration.
    """
    rehearsals, kimg = {}, {}
    for contender in protocol.contenders:
        try:
            rehearsals[contender.name] = told = _rehearse(protocol, contender)
            if protocol.unit == "flops":
                kimg[contender.name] = round(protocol.budget / flops_per_image(told.gan, told.data) / 1000, 3)
                told.config["budget"]["kimg"] = kimg[contender.name]
        except ValueError as error:
            raise ValueError(f"{protocol.path}: {contender.name}: {error}") from None
    runs = tuple(
        _planned(protocol, contender, rehearsals[contender.name], kimg.get(contender.name), out, seed, draw)
        for seed in protocol.seeds
        for draw in (range(protocol.search.draws) if protocol.search else (None,))
        for contender in protocol.contenders
    )
    for run in runs:
        run.check()
    return Plan(runs, next(iter(rehearsals.values())).data, kimg)


def _rehearse(protocol: Protocol, contender: Contender) -> Rehearsal:
    probes = protocol.search.probes(contender.name) if protocol.search else [{}]
    words = _words(protocol, contender, None)
    first, *_ = [rehearse([*words, *as_options(values)]) for values in probes]
    devices = first.config["trainer"]["devices"], first.config["trainer"]["num_nodes"]
    if devices not in (("auto", 1), (1, 1), ("1", 1)):
        raise ValueError("trainer.devices and trainer.num_nodes: each run of a benchmark has one device")
    return first


def _words(protocol: Protocol, contender: Contender, kimg: float | None) -> list[str]:
    """Options of `train.py` but for the seed, the draw and the folder."""
    words = ["-c", _shown(contender.config), "-c", _shown(protocol.data)]
    if contender.renamed:
        words.append(f"--variant={contender.name}")
    if protocol.unit == "minutes":
        seconds = round(timedelta(minutes=protocol.budget).total_seconds())
        hours, minutes = seconds // 3600, seconds // 60 % 60
        limit = f"{hours // 24:02}:{hours % 24:02}:{minutes:02}:{seconds % 60:02}"
        words += ["--budget.kimg=null", f"--trainer.max_time={limit}"]
    elif protocol.unit == "kimg" or kimg is not None:
        words.append(f"--budget.kimg={protocol.budget if kimg is None else kimg}")
    return [*words, *as_options(protocol.overrides), *as_options(contender.overrides)]


def _planned(
    protocol: Protocol,
    contender: Contender,
    told: Rehearsal,
    kimg: float | None,
    out: Path,
    seed: int,
    draw: int | None,
) -> Planned:
    values = protocol.search.draw(contender.name, draw) if protocol.search and draw is not None else {}
    folder = out / f"{told.variant}-{told.dataset}" / ("" if draw is None else f"draw-{draw:03}") / f"seed-{seed}"
    command = [
        sys.executable, "-m", "zoo", "train", *_words(protocol, contender, kimg), *as_options(values),
        f"--seed_everything={seed}", f"--trainer.default_root_dir={folder}",
    ]  # fmt: skip
    config = json.loads(json.dumps(told.config)) | {"seed_everything": seed}
    for option, value in values.items():
        _put(config, option, value)
    return Planned(contender.name, seed, draw, values, folder, command, config)


def _put(config: dict[str, Any], option: str, value: Any) -> None:
    """Set what an option of the command line stands for, where "init_args" may be left out."""
    *path, last = option.split(".")
    section = config
    for key in path:
        section = (section if key in section else section["init_args"])[key]
    (section if last in section else section["init_args"])[last] = value


def _shown(path: Path) -> str:
    """As short as it can be from here."""
    path, here = path.resolve(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _differences(was: Any, wanted: Any, place: str) -> Iterable[tuple[str, Any, Any]]:
    """Places with another value; what only one side knows came or went with a version of some library."""
    if isinstance(was, dict) and isinstance(wanted, dict):
        for key in (key for key in was if key in wanted and f"{place}.{key}" != "trainer.default_root_dir"):
            yield from _differences(was[key], wanted[key], f"{place}.{key}" if place else key)
    elif isinstance(was, list) and isinstance(wanted, list) and len(was) == len(wanted):
        for i, pair in enumerate(zip(was, wanted, strict=True)):
            yield from _differences(*pair, f"{place}.{i}")
    elif was != wanted:
        yield place, was, wanted
