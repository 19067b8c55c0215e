"""Look at configuration files before the parser does, to say in which file and line a mistake stands.

The parser names no file, and takes an unknown key without complaint where its section is empty.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from zoo.cli_errors import find, no_option, parameters_of


def config_files(args: Sequence[str]) -> list[Path]:
    """The files that -c and --config name."""
    words = [part for word in args for part in (word.split("=", 1) if word.startswith("--config=") else [word])]
    return [Path(word) for flag, word in pairwise(words) if flag in {"-c", "--config"}]


def check_files(files: Iterable[Path], options: Iterable[str]) -> None:
    """Raise ValueError, with the file and the place, for a text that is no YAML and for a key that nothing takes.

    Args:
        files: in the order in which they are read; those that do not exist are left to the parser.
        options: what the command takes, as "trainer.max_steps" or "model".
    """
    options = set(options)
    chosen: dict[str, str] = {}
    for file in files:
        if file.is_file():
            for message in _mistakes(_read(file), "", options, chosen):
                raise ValueError(f"{file}: {message}")


def _read(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{file}{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: this is no YAML: {str(error).splitlines()[0]}") from None
    if tree is not None and not isinstance(tree, dict):
        raise ValueError(f"{file}: has no keys, but a {type(tree).__name__}")
    return tree or {}


def _mistakes(section: Mapping[str, Any], place: str, options: set[str], chosen: dict[str, str]) -> Iterator[str]:
    """In a section that is a group of options; `chosen` remembers each place's class from file to file."""
    for key, value in section.items():
        path = f"{place}{key}"
        if any(option.startswith(f"{path}.") and option != f"{path}.help" for option in options):
            if isinstance(value, dict):
                yield from _mistakes(value, f"{path}.", options, chosen)
        elif path in options:
            yield from _mistakes_in_value(value, path, chosen)
        else:
            yield no_option(path, "", [o for o in options if o.startswith(place)])


def _mistakes_in_value(value: Any, place: str, chosen: dict[str, str]) -> Iterator[str]:
    """In what an option is set to: a class with its arguments, several of them, or anything else."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _mistakes_in_value(item, f"{place}[{i}]", {})
    if isinstance(value, str) and "." in value:
        chosen[place] = value
    if not isinstance(value, dict):
        return
    if "class_path" in value:
        chosen[place] = value["class_path"]
    known = _known(chosen.get(place))
    if known or "init_args" in value:
        for key in value.keys() - {"class_path", "init_args", "dict_kwargs", *known}:
            yield f"{place}.{key}: a class has class_path, init_args and dict_kwargs"
    for key, argument in (value.get("init_args") or {}).items():
        if known and key not in known:
            yield no_option(key, f"{place}.init_args: ", known, chosen[place].rpartition(".")[2])
        yield from _mistakes_in_value(argument, f"{place}.{key}", chosen)


def _known(class_path: str | None) -> list[str]:
    """The arguments of a class; none, if it is not known, which the parser then says."""
    try:
        found = find(class_path or "")
    except (ImportError, AttributeError, TypeError, ValueError):
        return []
    return parameters_of(found) if isinstance(found, type) else []
