"""Turn the parser's nested reports into one line: the culprit, its place, and the choices."""

import difflib
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

_NOISE = re.compile(
    r"Does not validate against|Subtypes:|Errors:|Given value|Expected a <class 'NoneType'>|Expected a path but"
)
_KEY = re.compile(r'Parser key "([^"]+)":?\s*(.*)')
_CLASS = re.compile(r"Problem with given class_path '([^']+)':$")
_LINK = re.compile(r"Call to compute_fn of link .*? failed: (.*)")
_GIVEN = re.compile(r"Given value: (?:NestedArg\(key='[^']*', val='(.*)'\)|(\S+))$")
_GOT = re.compile(r"Got value: ((.{1,80}))$")
_UNKNOWN_ARGUMENT = re.compile(r"unrecognized arguments: (?:--)?([\w.]+)")
_UNKNOWN_OPTION = re.compile(r"(?:Option|does not accept option) '([^']+)'")
_NO_ATTRIBUTE = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'")
_NOT_A_CLASS = re.compile(r"(?:dot import path string|No module named|Unable to import module)\W+([\w.]+)")
_LITERAL = re.compile(r"Expected a (?:typing\.)?Literal\[(.+)\](?:\. Got value: (.*))?$")
_TYPE = re.compile(r"Expected a <class '([\w.]+)'>(?:\. Got value: (.*))?$")
_MEMORY = re.compile(r"(?:tried to allocate|Tried to allocate|Unable to allocate) ([\d.]+ \w+)")
_BUILT = re.compile(r"Given value: Namespace\(class_path='[\w.]*?(\w+)'")


def explain(
    message: str,
    choices: Mapping[str, Iterable[str]],
    options: Iterable[str],
    arguments: Iterable[str] = (),
    locate: Callable[[str, str, str], str] = lambda key, *_: key,
) -> str:
    """One line for a parser's message.

    Args:
        message: what jsonargparse says.
        choices: for a top-level key that takes a class, the names of the known classes.
        options: the options of the parser that complains, the command's or a class's.
        arguments: the words of the command line, to name the one at fault.
        locate: where a key was set, by its name or the last part of it, its value and what is said of that.
    """
    place, owner, leaves = _unnest(message)
    leaf = leaves[0]
    given = _given(message)
    where = f"{locate('.'.join(place), given, leaf)}: " if place else ""
    if match := _UNKNOWN_ARGUMENT.match(leaf):
        return no_option(match[1], "", options)
    if match := _UNKNOWN_OPTION.search(leaf):
        if owner is None:
            return no_option(match[1], where or _argument_with(match[1], arguments), options)
        return no_option(match[1], where, parameters_of(find(owner)), owner.rpartition(".")[2])
    if match := _NO_ATTRIBUTE.search(leaf):
        return _no_class(match[2], where, _classes(match[1]))
    if match := _NOT_A_CLASS.search(leaf):
        return _no_class(match[1], where, choices.get(place[0] if place else "", ()))
    if _LITERAL.search(leaf):
        among = ", ".join(match[1].replace("'", "") for match in map(_LITERAL.search, leaves) if match)
        return f"{where}{given!r} is not one of {among}"
    if _TYPE.search(leaf):
        kinds = " or ".join(match[1].rpartition(".")[2] for match in map(_TYPE.search, leaves) if match)
        return f"{where}expected {kinds}" + (f", got {given!r}" if given else "")
    if lacking := no_memory(leaf):
        built = _BUILT.search(message)
        return f"{where}{built[1] + ': ' if built else ''}{lacking}"
    return where + leaf


def no_memory(error: object) -> str | None:
    """One line for an error that says that memory is too small for what was asked for; None for any other."""
    match = _MEMORY.search(str(error))
    if match is None and not isinstance(error, MemoryError):
        return None
    asked = f" for {match[1]} at once" if match else ""
    return f"there is no memory{asked}: choose smaller sizes"


def first_line(error: BaseException) -> str:
    """What went wrong, and with which file, in one line."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _unnest(message: str) -> tuple[list[str], str | None, list[str]]:
    """The path of keys, the innermost class, and what is left to say, at least a line."""
    place: list[str] = []
    owner = None
    leaves: list[str] = []
    for line in message.splitlines():
        line = line.strip().removeprefix("- ")
        if match := _KEY.match(line):
            place.append(match[1])
            line = match[2]
        elif match := _CLASS.match(line):
            owner, line = match[1], ""
        elif match := _LINK.match(line):
            line = match[1]
        if line and not _NOISE.match(line):
            leaves.append(line)
    return place, owner, leaves or [next(iter(message.strip().splitlines()), "")]


def _given(message: str) -> str:
    """The refused value, where the message has it and it is short."""
    for line in message.splitlines():
        if match := _GIVEN.match(line.strip()) or _GOT.search(line):
            return match[1] or match[2]
    return ""


def _argument_with(name: str, arguments: Iterable[str]) -> str:
    for argument in arguments:
        key = argument.lstrip("-").partition("=")[0]
        if key.rpartition(".")[2] == name:
            return f"{key}: "
    return ""


def no_option(name: str, where: str, known: Iterable[str], owner: str = "") -> str:
    """One line for an option, or an argument of the class `owner`, that does not exist."""
    known = [option for option in known if option.rpartition(".")[2] not in {"h", "help", "print_shtab"}]
    listed = f" (choose from {', '.join(known)})" if len(known) <= 30 else ""
    return f"{where}{owner and owner + ' has '}no option {name!r}{_hint(name, known)}{listed}"


def _no_class(name: str, where: str, known: Iterable[str]) -> str:
    known = list(known)
    listed = f" (choose from {', '.join(known)})" if known else ""
    return f"{where}unknown class {name!r}{_hint(name.rpartition('.')[2], known)}{listed}"


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _classes(module: str) -> list[str]:
    """The public classes that a package defines, and does not only import."""
    found = vars(import_module(module)).items()
    return sorted(n for n, v in found if isinstance(v, type) and n[0] != "_" and v.__module__.startswith(module))


def parameters_of(cls: type[Any]) -> list[str]:
    """Names that a class's constructor takes, through **kwargs of its bases too."""
    return _parameters(cls)[0]


def takes_any(cls: type[Any]) -> bool:
    """Whether the last of these constructors has **kwargs itself, so that other names are possible."""
    return _parameters(cls)[1]


def _parameters(cls: type[Any]) -> tuple[list[str], bool]:
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names |= {p.name: None for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return list(names), False
    return list(names), True


def find(class_path: str) -> Any:
    """What a class path names; ImportError, AttributeError or ValueError where there is nothing."""
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)
