"""A protocol's YAML file: what is compared, on what data, with which seeds and for how long."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.benchmark.search import Search
from zoo.cli.arguments import folder_name
from zoo.cli.configs import find_config, read_file
from zoo.cli.errors import no_option

Unit = Literal["kimg", "minutes", "flops"]
UNITS: tuple[Unit, ...] = ("kimg", "minutes", "flops")

OWN = {  # options that the protocol sets, and where
    "seed_everything": "seeds",
    "budget": "budget",
    "trainer.max_time": "budget",
    "trainer.max_steps": "budget",
    "trainer.max_epochs": "budget",
    "trainer.default_root_dir": "the command's --out",
    "variant": "a name in configs",
    "ckpt_path": "nothing: a run that was cut goes on by itself",
    "config": "configs and data",
}


@dataclass(frozen=True)
class Contender:
    """A configuration under a name, and what is set for it alone."""

    name: str
    config: Path
    overrides: Mapping[str, Any]
    renamed: bool  # whether the file calls itself otherwise


@dataclass(frozen=True)
class Protocol:
    """What a benchmark is; see :func:`read`."""

    path: Path
    name: str
    contenders: tuple[Contender, ...]
    data: Path
    seeds: tuple[int, ...]
    unit: Unit
    budget: float  # in units, for every run alike
    overrides: Mapping[str, Any]
    search: Search | None


def read(name: str | Path) -> Protocol:
    """The protocol in a file: a path, or the name of one of configs/benchmarks/ and configs/sweeps/.

    - ``name``: of the benchmark, a folder's name; the file's own if left out
    - ``configs``: a list; each is the name of a `configs/<name>.yaml`, or a path, or a mapping of ``config``, ``name``
      (the variant's, if it is not the file's) and ``overrides`` for it alone
    - ``data``: the name of a `configs/data/<name>.yaml`, or a path
    - ``seeds``: a list of integers
    - ``budget``: of each run, one of ``kimg``; ``minutes`` of training with all that happens in between; ``flops``, of
      which follow the kimg of each variant (see :mod:`zoo.benchmark.flops`)
    - ``overrides``: options of `train.py` to values, for every run
    - ``search``: see :class:`zoo.benchmark.search.Search`

    Raises:
        ValueError: in one line, for the first mistake; :mod:`zoo.benchmark.plan` checks options of `train.py`.
    """
    path = find_config(name, ("benchmarks", "sweeps"))
    tree = _load(path)
    try:
        return _protocol(path, tree)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def as_options(values: Mapping[str, Any]) -> list[str]:
    """Words of a command line of `train.py`, as --option=value."""
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]


def _load(path: Path) -> dict[str, Any]:
    tree = read_file(path)
    if not tree:
        raise ValueError(f"{path}: has no keys")
    return tree


def _protocol(path: Path, tree: dict[str, Any]) -> Protocol:
    _check_keys(tree, ("name", "configs", "data", "seeds", "budget", "overrides", "search"), "")
    for key in ("configs", "data", "seeds", "budget"):
        if not tree.get(key):
            raise ValueError(f"{key} is missing")
    contenders = tuple(_contender(entry) for entry in _listed(tree["configs"], "configs"))
    names = [contender.name for contender in contenders]
    if twice := _twice(names):
        raise ValueError(f"configs: {twice} is there twice; give one of them another name: {{config: ..., name: ...}}")
    seeds = _listed(tree["seeds"], "seeds")
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ValueError(f"seeds: {seed!r} is no integer from 0 up")
    if (twice := _twice(seeds)) is not None:
        raise ValueError(f"seeds: {twice} is there twice")
    unit, budget = _budget(tree["budget"])
    search = None if tree.get("search") is None else Search.read(tree["search"], names)
    if search is not None and unit == "flops":
        raise ValueError("budget: draws of a search can cost more or less than each other; use kimg or minutes")
    for ranges in search.ranges.values() if search else ():
        _overrides(ranges, "search.ranges")
    return Protocol(
        path, folder_name(tree.get("name", path.stem), "name"), contenders,
        _config(tree["data"], "data", "data"), tuple(seeds), unit, budget,
        _overrides(tree.get("overrides"), "overrides"), search,
    )  # fmt: skip


def _contender(entry: Any) -> Contender:
    given = entry if isinstance(entry, dict) else {"config": entry}
    _check_keys(given, ("config", "name", "overrides"), "configs: ")
    config = _config(given.get("config"), "configs", "")
    own = read_file(config).get("variant", config.stem)
    name = folder_name(given.get("name", own), "configs")
    return Contender(name, config, _overrides(given.get("overrides"), f"configs: {name}: overrides"), name != own)


def _config(name: Any, key: str, room: str) -> Path:
    """The file that a name or a path stands for."""
    try:
        return find_config(str(name), (room,))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _budget(given: Any) -> tuple[Unit, float]:
    if not isinstance(given, dict):
        raise ValueError("budget: must be one of {kimg: ...}, {minutes: ...} or {flops: ...}")
    _check_keys(given, UNITS, "budget: ")
    if len(given) != 1:
        raise ValueError(f"budget: must be one of {', '.join(UNITS)}, got {', '.join(given)}")
    ((unit, amount),) = given.items()
    try:
        value = float(amount)  # YAML takes 1e15 for a string
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(amount, bool) or not 0 < value < math.inf:
        raise ValueError(f"budget: {unit} must be a positive number, got {amount!r}")
    return unit, value


def _overrides(given: Any, where: str) -> Mapping[str, Any]:
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"{where}: must be options of train.py and their values, as in model.generator.width: 16")
    for option in given or {}:
        parts = str(option).split(".")
        for set_here in {".".join(parts[:n]) for n in range(1, len(parts) + 1)} & OWN.keys():
            raise ValueError(f"{where}: {option} is not for overrides; it comes from {OWN[set_here]}")
    return given or {}


def _check_keys(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in known:
            raise ValueError(no_option(str(key), where, known))


def _listed(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{key}: must be a list, got {value!r}")
    return value


def _twice(values: Sequence[Any]) -> Any:
    """One that is there more than once, or None."""
    return next((value for value in values if values.count(value) > 1), None)
