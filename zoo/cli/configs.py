"""Configuration files: found by name, and checked before the parser reads them.

The parser names no file in its errors, and accepts an unknown key where its section is empty.
"""

import difflib
import math
import re
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice, pairwise, takewhile
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import yaml

from zoo.cli.errors import find, no_option, parameters_of, takes_any

_BITS = 1024  # of a whole number: Python writes none of more than 4,300 digits
_MOST = 100_000  # entries of a file, with those that its aliases repeat
_PACKAGE = Path(__file__).parents[1]
CONFIGS = next(path for path in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if path.is_dir())
ROOMS = ("", "data")  # folders of configs/ whose files a training reads


def find_config(name: str | Path, rooms: Sequence[str] = ROOMS) -> Path:
    """The YAML file that `name` stands for.

    Args:
        name: a path, where "configs/..." may be of the package; or the name of a file without its ending. The working
            folder's configs/ come before those of the package.
        rooms: the folders of configs/ in which names are looked up, "" for its top.

    Raises:
        ValueError: there is no such file; with close names, else with all.
    """
    path = Path(name)
    packaged = CONFIGS.joinpath(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    named = [root / room / f"{name}.yaml" for root in (Path("configs"), CONFIGS) for room in rooms]
    for file in (path, packaged, *(named if path.name == str(name) else ())):
        if file.is_file():
            return file
    known = [file.relative_to(root) for root in (Path("configs"), CONFIGS) for file in root.glob("**/*.yaml")]
    there = dict.fromkeys(file.with_suffix("") for file in sorted(known) if file.parent in map(Path, rooms))
    close = difflib.get_close_matches(path.stem, [file.name for file in there], n=2)
    if path.is_dir():
        images = f"; for a folder of images use --data image_folder --data.root {name}" if "data" in rooms else ""
        raise ValueError(f"no configuration: {name} is not a file, but a folder{images}")
    if not close:
        among = [file.name for file in there if file.name not in {"default", "demo", "wandb"}]
        place = f"at {name}" if path.name != str(name) or path.suffix else repr(str(name))
        raise ValueError(f"no configuration {place} (choose from {', '.join(among)}, or a path)")
    if path.name != str(name) or path.suffix:
        close = [Path("configs", f"{file}.yaml").as_posix() for like in close for file in there if file.name == like]
    raise ValueError(f"no configuration {str(name)!r}; did you mean {' or '.join(map(repr, close))}?")


def with_files(words: Sequence[str], commands: Container[str] = ()) -> list[str]:
    """The words of a command, with each configuration's name replaced by its file; see :func:`find_config`.

    Names stand after -c and --config; after --data, where a name in lower case is a file of configs/data/ and anything
    else a class; and before the first option, as in `fit nsgan digits`.

    Args:
        words: may begin with a command.
        commands: the commands that there are.

    Raises:
        ValueError: a name of no file.
    """
    begin = int(bool(words) and words[0] in commands)
    split = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    names = words[begin:split] if begin or not commands else ()  # the parser refuses an unknown command
    found = [*words[: split - len(names)], *(part for name in names for part in ("-c", str(find_config(name))))]
    rest = deque(words[split:])
    while rest:
        flag, equals, value = rest.popleft().partition("=")
        if flag not in {"-c", "--config", "--data"} or not (equals or rest):
            found.append(f"{flag}{equals}{value}")
            continue
        value = value if equals else rest.popleft()
        if flag != "--data":
            found += ["-c", str(find_config(value))]
        elif re.fullmatch(r"[a-z][a-z0-9_]*|.*\.ya?ml", value):
            found += ["-c", str(find_config(value, ("data",)))]
        else:
            found += ["--data", renamed(value)]
    return found


def renamed(value: Any) -> Any:
    """Replace former class paths in a configuration by the present ones.

    The loggers were once at zoo/loggers.py, and `datamodules.X` was `zoo.datamodules.X`. A package of the user's own
    that is called `datamodules` is left alone.
    """
    if isinstance(value, dict):
        return {key: renamed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [renamed(part) for part in value]
    if isinstance(value, str) and value.startswith("datamodules."):
        found, ours = find_spec("datamodules"), find_spec("zoo.datamodules")
        if found is None or (ours is not None and found.origin == ours.origin):
            return f"zoo.{value}"
    if isinstance(value, str) and value.split(".")[:2] == ["zoo", "loggers"]:
        return f"zoo.run{value.removeprefix('zoo')}"
    return value


def config_files(args: Sequence[str]) -> list[Path]:
    """The files that -c and --config name."""
    words = [part for word in args for part in (word.split("=", 1) if word.startswith("--config=") else [word])]
    return [Path(word) for flag, word in pairwise(words) if flag in {"-c", "--config"}]


def variant_first(words: Sequence[str]) -> list[str]:
    """A command line in which -c files that change a model stand behind the file that chooses its class.

    Raises:
        ValueError: nothing chooses a class for such a file.
    """
    made = list(words)
    at = [i + 1 for i, word in enumerate(made[:-1]) if word in {"-c", "--config"}]
    models = {i: model_section(Path(made[i])) for i in at}
    early = list(takewhile(lambda i: "class_path" not in models[i], at))
    waiting = [i for i in early if "init_args" in models[i]]
    if not waiting or any(word.partition("=")[0] == "--model" for word in made):
        return made
    if early == at:
        raise ValueError(f"{made[waiting[0]]}: no variant is chosen for it: add -c configs/VARIANT.yaml")
    order = [i for i in early if i not in waiting] + [at[len(early)]] + waiting + at[len(early) + 1 :]
    for i, file in zip(at, [made[i] for i in order], strict=True):
        made[i] = file
    return made


def model_section(file: Path) -> dict[str, Any]:
    """The section model of a file; empty for a file without one."""
    model = read_file(file).get("model") if file.is_file() else None
    return {"class_path": model} if isinstance(model, str) else model if isinstance(model, dict) else {}


def check_files(files: Iterable[Path], options: Iterable[str]) -> None:
    """Raise ValueError, with the file and the place, for a text that is no YAML and for a key that nothing takes.

    Args:
        files: in the order in which they are read; those that do not exist are left to the parser.
        options: what the command takes, as "trainer.max_steps" or "model".
    """
    options = set(options)
    chosen: dict[str, str] = {}
    for file in filter(Path.is_file, files):
        tree = read_file(file)
        for message in _mistakes(tree, "", options, chosen):
            raise ValueError(f"{file}: {message}")
        if not tree:
            raise ValueError(f"{file}: has no keys; leave it out")


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
    for file in filter(Path.is_file, config_files(words)):
        found += [(f"{file}: {path}", value) for path, value in entries(read_file(file), "") if _ends_with(path, key)]
    return found


def whereabouts(key: str, given: str, said: str, words: Sequence[str]) -> str:
    """The place that set `key` to `given`, or to a value that the message `said` contains; else `key` itself."""
    found = settings(key, words)
    exact = [place for place, value in found if given and _class_or_text(value) == given]
    spoken = [place for place, value in found if (text := _class_or_text(value)) and text in said]
    return [key, *(place for place, _ in found), *spoken[-1:], *exact[:1]][-1]


def refuse_impossible(value: Any, place: str) -> None:
    """Raise ValueError, with the place, for NaN, for an infinity that is no kimg, and for null where there is no None.

    Args:
        value: of plain dictionaries and lists; a class has class_path and init_args.
        place: what the value is of, as "data".
    """
    for path, part in entries(value, place):
        if isinstance(part, float) and math.isnan(part):
            raise ValueError(f"{path}: NaN is no number to build with")
        if isinstance(part, float) and math.isinf(part) and not path.endswith("kimg"):
            raise ValueError(f"{path}: is {part}; it must be finite")
        if isinstance(part, dict) and isinstance(part.get("class_path"), str):
            hints = _hints(part["class_path"])
            for name, argument in (part.get("init_args") or {}).items():
                if argument is None and name in hints and not _takes_none(hints[name]):
                    raise ValueError(f"{path}.{name}: must not be null; leave it out to have the default")


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key that stands twice in one place."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_file(file: Path) -> dict[str, Any]:
    """The keys of a YAML file; ValueError, with the file and the line, for what has none."""
    try:
        text = file.read_text("utf-8")
    except ValueError as error:
        raise ValueError(f"{file}: this is no YAML: {error}") from None
    return renamed(_parsed(text, file))


@lru_cache
def _parsed(text: str, file: Path) -> dict[str, Any]:
    try:
        tree = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{file}{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{file}: this is no YAML: {str(error).splitlines()[0]}") from None
    if tree is not None and not isinstance(tree, dict):
        raise ValueError(f"{file}: has no keys, but a {type(tree).__name__}")
    if sum(1 for _ in islice(entries(tree, ""), _MOST)) == _MOST:
        raise ValueError(f"{file}: its aliases would make more than {_MOST:,} entries")
    for place, part in entries(tree, ""):
        if isinstance(part, int) and part.bit_length() > _BITS:
            raise ValueError(f"{file}: {place}: a number of {part.bit_length()} bits, more than {_BITS}")
        if isinstance(part, str) and any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in part):
            raise ValueError(
                f"{file}: {place}: {part!r:.80} has a NUL or half of a surrogate pair, which no text may have"
            )
    return tree or {}


def entries(value: Any, place: str) -> Iterator[tuple[str, Any]]:
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
    """The type hints of a class's constructor; those that cannot be resolved are left out."""
    hints: dict[str, Any] = {}
    with suppress(ImportError, AttributeError, ValueError):
        for base in reversed(find(class_path).__mro__):
            with suppress(NameError, TypeError):
                hints |= get_type_hints(vars(base)["__init__"]) if "__init__" in vars(base) else {}
    return hints


def _takes_none(hint: Any) -> bool:
    return hint in (None, NoneType, Any) or any(map(_takes_none, get_args(hint)))


def _known(class_path: str | None) -> list[str]:
    """The arguments of a class; empty where they cannot be listed: then the parser reports the mistake."""
    try:
        found = find(class_path or "")
    except (ImportError, AttributeError, TypeError, ValueError):
        return []
    return list(parameters_of(found)) if isinstance(found, type) and not takes_any(found) else []
