"""Look at configuration files before the parser does, to say in which file and line a mistake stands.

The parser names no file, and takes an unknown key without complaint where its section is empty.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import yaml

from zoo.cli_errors import find, no_option, parameters_of

_MOST = 100_000  # entries of a file, with those that its aliases repeat


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
            for message in _mistakes(read_file(file), "", options, chosen):
                raise ValueError(f"{file}: {message}")


def settings(key: str, words: Sequence[str]) -> list[tuple[str, Any]]:
    """Where the words of a command line, and the files that they name, set `key`, and what to.

    Args:
        key: all of it, or its last part, as "trainer.max_steps" or "width"; "init_args" may be left out.
        words: the command line.
    """
    found: list[tuple[str, Any]] = []
    for word, after in pairwise([*words, ""]):
        option, equals, value = word.partition("=")
        if word.startswith("--") and _ends_with(option.lstrip("-"), key):
            found.append((option.lstrip("-"), value if equals else after))
    for file in config_files(words):
        if file.is_file():
            tree = read_file(file)
            found += [(f"{file}: {path}", value) for path, value in _entries(tree, "") if _ends_with(path, key)]
    return found


def whereabouts(key: str, given: str, said: str, words: Sequence[str]) -> str:
    """Where `key` was set to `given`, or to what is spoken of in `said`; by itself where it was not; see `settings`."""
    found = settings(key, words)
    exact = [place for place, value in found if str(value) == given]
    spoken = [place for place, value in found if (text := _class_or_text(value)) and text in said]
    return [key, *(place for place, _ in found), *spoken[-1:], *exact[:1]][-1]


def refuse_impossible(value: Any, place: str) -> None:
    """Raise ValueError, with the place, for NaN, and for null where a class takes no None.

    Args:
        value: of plain dictionaries and lists; a class has class_path and init_args.
        place: what the value is of, as "data".
    """
    for path, part in _entries(value, place):
        if isinstance(part, float) and math.isnan(part):
            raise ValueError(f"{path}: NaN is no number to build with")
        if isinstance(part, dict) and isinstance(part.get("class_path"), str):
            hints = _hints(part["class_path"])
            for name, argument in (part.get("init_args") or {}).items():
                if argument is None and name in hints and not _takes_none(hints[name]):
                    raise ValueError(f"{path}.{name}: must not be null; leave it out to have the default")


def read_file(file: Path) -> dict[str, Any]:
    """The keys of a YAML file; ValueError, with the file and the line, for what has none."""
    try:
        tree = yaml.safe_load(file.read_text("utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{file}{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{file}: this is no YAML: {str(error).splitlines()[0]}") from None
    if tree is not None and not isinstance(tree, dict):
        raise ValueError(f"{file}: has no keys, but a {type(tree).__name__}")
    if sum(1 for _ in islice(_entries(tree, ""), _MOST)) == _MOST:
        raise ValueError(f"{file}: its aliases would make more than {_MOST:,} entries")
    return tree or {}


def _entries(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """All that is in a tree, each with its place, nearest to the root first; without end for one that holds itself."""
    left = deque([(place, value)])
    while left:
        place, value = left.popleft()
        yield place, value
        if isinstance(value, dict):
            left += [(f"{place}.{key}" if place else str(key), part) for key, part in value.items()]
        elif isinstance(value, list):
            left += [(f"{place}[{i}]", part) for i, part in enumerate(value)]


def _ends_with(path: str, key: str) -> bool:
    path, key = path.replace(".init_args", ""), key.replace(".init_args", "")
    return path == key or path.endswith(f".{key}")


def _class_or_text(value: Any) -> str:
    return str(value.get("class_path", "")) if isinstance(value, dict) else str(value)


def _mistakes(section: Mapping[str, Any], place: str, options: set[str], chosen: dict[str, str]) -> Iterator[str]:
    """In a section that is a group of options; `chosen` remembers each place's class from file to file."""
    for key, value in section.items():
        path = f"{place}{key}"
        if any(option.startswith(f"{path}.") and option != f"{path}.help" for option in options):
            if isinstance(value, dict):
                yield from _mistakes(value, f"{path}.", options, chosen)
            else:
                got = "nothing" if value is None else repr(value)
                yield f"{path}: has options of its own, as {path}.{_first_below(path, options)}; got {got}"
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
        if not isinstance(value["class_path"], str):
            yield f"{place}.class_path: must be the name of a class, got {value['class_path']!r}"
            return
        chosen[place] = value["class_path"]
    if not isinstance(value.get("init_args") or {}, dict):
        yield f"{place}.init_args: must be arguments and their values, got {value['init_args']!r}"
        return
    known = _known(chosen.get(place))
    if known or "init_args" in value:
        for key in value.keys() - {"class_path", "init_args", "dict_kwargs", *known}:
            yield f"{place}.{key}: a class has class_path, init_args and dict_kwargs"
    for key, argument in (value.get("init_args") or {}).items():
        if known and key not in known:
            yield no_option(key, f"{place}.init_args: ", known, chosen[place].rpartition(".")[2])
        yield from _mistakes_in_value(argument, f"{place}.{key}", chosen)


def _first_below(path: str, options: set[str]) -> str:
    return min(option.removeprefix(f"{path}.") for option in options if option.startswith(f"{path}."))


def _hints(class_path: str) -> dict[str, Any]:
    """What a class says of the types of its arguments; nothing of those that cannot be known."""
    hints: dict[str, Any] = {}
    with suppress(ImportError, AttributeError, ValueError):
        for base in reversed(find(class_path).__mro__):
            with suppress(NameError, TypeError):
                hints |= get_type_hints(vars(base)["__init__"]) if "__init__" in vars(base) else {}
    return hints


def _takes_none(hint: Any) -> bool:
    return hint in (None, NoneType, Any) or any(map(_takes_none, get_args(hint)))


def _known(class_path: str | None) -> list[str]:
    """The arguments of a class; none, if it is not known, which the parser then says."""
    try:
        found = find(class_path or "")
    except (ImportError, AttributeError, TypeError, ValueError):
        return []
    return parameters_of(found) if isinstance(found, type) else []
