"""A benchmark's YAML file, as dataclasses whose values jsonargparse checks."""

import math
import random
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser
from jsonargparse.typing import NonNegativeInt, PositiveInt

from zoo.cli.arguments import folder_name
from zoo.cli.configs import find_config, read_file
from zoo.cli.errors import explain, no_option

Options = dict[str, Any]  # of train.py to their values, as model.generator.width: 16
SET_BY = {  # options that a benchmark sets itself, and from where
    "seed_everything": "seeds", "budget": "budget", "trainer.max_time": "budget", "trainer.max_steps": "budget",
    "trainer.max_epochs": "budget", "trainer.default_root_dir": "the command's --out", "variant": "a name in configs",
    "ckpt_path": "nothing: an interrupted run continues by itself", "config": "configs and data",
}  # fmt: skip


class _OneOf:
    @property
    def chosen(self) -> tuple[str, Any]:
        """Name and value of the one field that is set."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) != 1:
            raise ValueError(f"must be one of {', '.join(vars(self))}, got {', '.join(given) or 'none'}")
        return next(iter(given.items()))


@dataclass
class Budget(_OneOf):
    """The length of every run, in one unit."""

    kimg: float | None = None  # thousands of real images
    minutes: float | None = None  # of training and all that happens in between
    steps: PositiveInt | None = None  # batches, of whatever size
    flops: float | None = None  # of training; the kimg of each variant follow, see zoo.benchmark.flops

    def __post_init__(self) -> None:
        unit, amount = self.chosen
        if not 0 < amount < math.inf:
            raise ValueError(f"{unit} must be a positive number, got {amount:g}")


@dataclass
class Range(_OneOf):
    """The values that a search draws for an option, in one of four ways."""

    uniform: tuple[float, float] | None = None
    log_uniform: tuple[float, float] | None = None  # the logarithm of the value is uniform
    choice: list | None = None  # numbers or words, each as likely as the others
    same_as: str | None = None  # another option, which has the same value

    def __post_init__(self) -> None:
        kind, value = self.chosen
        if kind == "choice" and (not value or any(isinstance(member, list | dict) for member in value)):
            raise ValueError(f"choice: must be a list of values, numbers or words, got {value}")
        if kind.endswith("uniform") and not -math.inf < value[0] < value[1] < math.inf:
            raise ValueError(f"{kind}: low must be below high, and both finite, got {list(value)}")
        if kind == "log_uniform" and value[0] <= 0:
            raise ValueError(f"{kind}: low must be positive, got {list(value)}")

    def quantile(self, u: float) -> Any:
        """The value at u in [0, 1)."""
        kind, value = self.chosen
        if kind == "choice":
            return value[int(u * len(value))]
        low, high = value
        return low + u * (high - low) if kind == "uniform" else min(max(low * (high / low) ** u, low), high)


@dataclass
class Search:
    """A random search over each variant's own options, as in Lucic et al. 2018, "Are GANs Created Equal?".

    A draw is a function of (seed, variant, option, number of the draw): a longer search begins with the draws of a
    shorter one, and another range or option leaves the others alone. `sklearn.model_selection.ParameterSampler` draws
    all options from one stream, which another option shifts.
    """

    draws: PositiveInt  # of each variant; each is trained with every seed of the benchmark
    ranges: dict[str, dict[str, Range]]  # of each variant's options
    seed: int = 0  # of the draws

    def __post_init__(self) -> None:
        for variant, ranges in self.ranges.items():
            _check_options(ranges, "ranges")
            for option, source in self._sources(variant).items():
                if source not in ranges or ranges[source].same_as:
                    raise ValueError(f"ranges: {variant}: {option}: there is no range for {source}")

    def draw(self, variant: str, number: int) -> Options:
        """Draw `number`, from 0, of a variant."""

        def value(option: str) -> Any:
            u = random.Random(f"{self.seed}/{variant}/{option}/{number}").random()
            return self.ranges[variant][option].quantile(u)

        return {option: value(source) for option, source in self._sources(variant).items()}

    def extremes(self, variant: str) -> list[Options]:
        """Draws that have both ends of every range, and every choice, among them."""
        ranges = self.ranges[variant]
        values = {option: ranges[source].chosen[1] for option, source in self._sources(variant).items()}
        return [
            {o: among[i % len(among)] for o, among in values.items()} for i in range(max(map(len, values.values())))
        ]

    def _sources(self, variant: str) -> dict[str, str]:
        return {option: among.same_as or option for option, among in self.ranges[variant].items()}


@dataclass
class Entry:
    """A configuration to compare; a name alone is its `config`."""

    config: Path  # the name of a configs/<name>.yaml, or a path
    name: str = ""  # of the variant, if not that of the configuration
    overrides: Options = field(default_factory=dict)  # for this entry alone

    def __post_init__(self) -> None:
        self.config = find_config(self.config, ("",))
        own = read_file(self.config).get("variant", self.config.stem)
        self.name = folder_name(self.name or own, "name")
        self.renamed = self.name != own
        _check_options(self.overrides, f"{self.name}: overrides")


@dataclass
class Benchmark:
    """Variants × seeds, and × draws where there is a search."""

    configs: list[Entry]
    data: Path  # the name of a configs/data/<name>.yaml, or a path
    seeds: list[NonNegativeInt]
    budget: Budget
    name: str = ""  # of the folder of results; the file's own if left out
    overrides: Options = field(default_factory=dict)  # for every run
    search: Search | None = None
    path: Path = field(init=False)  # of the file

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.configs]
        for place, values in {"configs": names, "seeds": self.seeds}.items():
            for value in (value for value in values if values.count(value) > 1):
                hint = "; give one another name: {config: ..., name: ...}" if values is names else ""
                raise ValueError(f"{place}: {value} is there twice{hint}")
        _check_options(self.overrides, "overrides")
        try:
            self.data = find_config(self.data, ("data",))
        except ValueError as error:
            raise ValueError(f"data: {error}") from None
        if self.search is None:
            return
        if self.budget.flops:
            raise ValueError("budget: draws of a search can cost more or less than each other; use kimg or minutes")
        for name in self.search.ranges.keys() - set(names):
            raise ValueError(no_option(str(name), "search.ranges: ", names))
        for name in names:
            if not self.search.ranges.get(name):
                raise ValueError(f"search.ranges: there are none for {name}")


def read(name: str | Path) -> Benchmark:
    """The benchmark in a file: a path, or the name of one of configs/benchmarks/ and configs/sweeps/.

    Raises:
        ValueError: in one line, for the first mistake; :mod:`zoo.benchmark.plan` checks options of `train.py`.
    """
    path = find_config(name, ("benchmarks", "sweeps"))
    tree = read_file(path)
    if not tree:
        raise ValueError(f"{path}: has no keys")
    try:
        benchmark = _build(Benchmark, tree)
        benchmark.path, benchmark.name = path, folder_name(benchmark.name or path.stem, "name")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return benchmark


def _build(kind: Any, value: Any, where: str = "") -> Any:
    """The dataclasses of a type, from a part of the file at the key `where`, which ends in a dot.

    Raises:
        ValueError: with the key, for the first unknown, missing or wrong value.
    """
    inner = get_args(kind)
    if get_origin(kind) is list and isinstance(value, list):
        return [_build(inner[0], part, where) for part in value]
    if get_origin(kind) is dict and isinstance(value, dict):
        return {key: _build(inner[1], part, f"{where}{key}.") for key, part in value.items()}
    if NoneType in inner:
        return _build(inner[0], value, where)
    if kind not in (Benchmark, Entry, Budget, Search, Range):
        return value
    place = f"{where[:-1]}: " if where else ""
    members = {member.name: member for member in fields(kind) if member.init}
    tree = {"config": value} if kind is Entry and isinstance(value, str) else value
    if not isinstance(tree, dict):
        raise ValueError(f"{place}must be {{{': ..., '.join(members)}: ...}} or a part of it, got {value!r}")
    for key in tree:
        if key not in members:
            raise ValueError(no_option(str(key), place, members))
    given = {key: _build(members[key].type, part, f"{where}{key}.") for key, part in tree.items() if part is not None}
    for name, member in members.items():
        if member.default is member.default_factory is MISSING and given.get(name) in (None, [], {}):
            raise ValueError(f"{where}{name} is missing")
    overrides = {"overrides": given.pop("overrides")} if "overrides" in given else {}
    try:
        values = vars(_parser(kind).parse_object(given))
    except (ArgumentError, TypeError, ValueError) as error:
        raise ValueError(where + explain(str(error), members)) from None
    try:
        return kind(**values, **overrides)
    except ValueError as error:
        raise ValueError(f"{place}{error}") from None


@cache
def _parser(kind: type[Any]) -> ArgumentParser:
    """A parser of all fields but `overrides`, which train.py parses: here their classes would gain all defaults."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, skip={"overrides"})
    return parser


def _check_options(options: Any, where: str) -> None:
    if not isinstance(options, dict):
        raise ValueError(f"{where}: must be options of train.py and their values, as in model.generator.width: 16")
    for option in options:
        parts = str(option).split(".")
        for own in {".".join(parts[:n]) for n in range(1, len(parts) + 1)} & SET_BY.keys():
            raise ValueError(f"{where}: {option} is not for overrides; it comes from {SET_BY[own]}")
