"""Turn the parser's nested reports into one line: the culprit, its place, and the choices."""

import inspect
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from typing import Any

from zoo.cli.choices import find_class, hint, listed, no_class

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
_NO_SUBCLASS = re.compile(r"(?:Import path (\S+) )?does not correspond to a subclass of (\w+)$")
_LITERAL = re.compile(r"Expected a (?:typing\.)?Literal\[(.+)\](?:\. Got value: (.*))?$")
_TYPE = re.compile(r"Expected a <class '([\w.]+)'>(?:\. Got value: (.*))?$")
_MEMORY = re.compile(r"(?:tried to allocate|Tried to allocate|Unable to allocate) ([\d.]+ \w+)")
_OVERFLOW = "Overflow when unpacking long"
_BUILT = re.compile(r"Given value: Namespace\(class_path='([\w.]+)'")
_NO_VALUE = re.compile(r"argument (--\S+): expected one argument")
_REQUIRED = re.compile(r"the following arguments are required: (.+)")
_HALVES = {"model": ("variant", "-c configs/VARIANT.yaml"), "data": ("data set", "-c configs/data/DATA.yaml")}
_OTHER_NAMES = {
    "lr": ("model.g_optimizer.lr", "model.d_optimizer.lr"),
    "learning_rate": ("model.g_optimizer.lr", "model.d_optimizer.lr"),
    "epochs": ("budget.kimg", "trainer.max_epochs"), "kimg": ("budget.kimg",), "steps": ("trainer.max_steps",),
    "batch": ("data.batch_size",), "batch_size": ("data.batch_size",), "image_size": ("data.image_size",),
    "root": ("data.root",), "dataroot": ("data.root",), "data_dir": ("data.root",), "gpus": ("trainer.devices",),
    "devices": ("trainer.devices",), "precision": ("trainer.precision",), "seed": ("seed_everything",),
    "latent_dim": ("model.generator.latent_dim",), "nz": ("model.generator.latent_dim",),
    "width": ("model.generator.width", "model.discriminator.width"), "resume": ("ckpt_path",), "ckpt": ("ckpt_path",),
    "checkpoint": ("ckpt_path",), "output": ("trainer.default_root_dir",), "logger": ("trainer.logger",),
    "lr_scheduler": ("model.g_scheduler", "model.d_scheduler"), "scheduler": ("model.g_scheduler", "model.d_scheduler"),
    "optimizer": ("model.g_optimizer", "model.d_optimizer"),
    "d_steps": ("model.dynamics.d_steps",), "n_critic": ("model.dynamics.d_steps",),
}  # fmt: skip


def explain(
    message: str, options: Iterable[str], arguments: Sequence[str] = (),
    locate: Callable[[str, str, str], str] = lambda key, *_: key,
) -> str:  # fmt: skip
    """One line for a parser's message.

    Args:
        message: what jsonargparse says.
        options: the options of the parser that complains, the command's or a class's.
        arguments: the words of the command line, to name the one at fault.
        locate: where a key was set, by its name or the last part of it, its value and what is said of that.
    """
    place, owner, leaves = _unnest(message)
    leaf = leaves[0]
    given = _given(message)
    where = f"{locate('.'.join(place), given, leaf)}: " if place else ""
    if match := _UNKNOWN_ARGUMENT.match(leaf):
        return no_option(match[1], "", options, also=_OTHER_NAMES.get(match[1], ()))
    if match := _UNKNOWN_OPTION.search(leaf):
        if owner is None:
            where = where or _argument_with(match[1], arguments)
            others = [name for name in _OTHER_NAMES.get(match[1], ()) if name != where.removesuffix(": ")]
            return no_option(match[1], where, options, also=others)
        where = _argument_with(match[1], arguments) or where
        return no_option(match[1], where, parameters_of(find(owner)), owner.rpartition(".")[2])
    if match := _NO_VALUE.match(leaf):
        return f"{next((w for w in reversed(arguments) if w.startswith(match[1])), match[1])}: expected a value"
    if match := _REQUIRED.match(leaf):
        return _required(match[1].split(", "), arguments)
    if _NO_ATTRIBUTE.search(leaf) or (match := _NOT_A_CLASS.search(leaf)):
        name = given or owner or (match[1] if match else "")
        return where + no_class(name, ".".join(place))
    if match := _NO_SUBCLASS.search(leaf):
        return f"{where}{given or match[1] or 'this'} is no {match[2]}{listed('.'.join(place))}"
    if any(map(_LITERAL.search, leaves)):
        among = ", ".join(match[1].replace("'", "") for match in map(_LITERAL.search, leaves) if match)
        return f"{where}{given!r} is not one of {among}"
    if _TYPE.search(leaf):
        kinds = " or ".join(match[1].rpartition(".")[2] for match in map(_TYPE.search, leaves) if match)
        return f"{where}expected {kinds}" + (f", got {given!r}" if given else "") + _as_list(kinds, given, where, place)
    if lacking := no_memory(leaf):
        built = _BUILT.search(message)
        return f"{where}{built[1].rpartition('.')[2] + ': ' if built else ''}{lacking}"
    return where + leaf


def no_memory(error: object) -> str | None:
    """One line for a size beyond memory, or beyond 64 bits; None for any other error."""
    if _OVERFLOW in str(error):
        return "a size is 2^63 or more: choose smaller sizes"
    match = _MEMORY.search(str(error))
    if match is None and not isinstance(error, MemoryError):
        return None
    amount = f" for {match[1]} at once" if match else ""
    return f"there is no memory{amount}: choose smaller sizes"


def first_line(error: BaseException) -> str:
    """What went wrong, and with which file, in one line."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _unnest(message: str) -> tuple[list[str], str | None, list[str]]:
    """The path of keys, the innermost class, and the remaining lines, at least one."""
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
    """The refused value if the message has it and it is short; a class by its path; else empty."""
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    for line in lines:
        if match := _GIVEN.match(line) or _GOT.search(line):
            return match[1] or match[2]
    classes = [match[1] for line in lines if (match := _CLASS.match(line) or _BUILT.match(line))]
    return classes[-1] if classes else ""


def _required(names: Sequence[str], arguments: Sequence[str]) -> str:
    """One line for arguments that are missing: of the command, or of a class that the command line names."""
    missing = [name.rpartition(".")[2] for name in names]
    if halves := [_HALVES[half] for half in ("model", "data") if half in missing]:
        nouns, files = zip(*halves, strict=True)
        return f"choose a {' and a '.join(nouns)}: add {' '.join(files)}; --help lists them"
    for option, value in pairwise(" ".join(arguments).replace("=", " ").split(" ")):
        key = option.lstrip("-").rstrip("+")
        cls = _found(value, [key]) if option.startswith("--") else None
        if cls is not None and set(missing) <= set(parameters_of(cls)):
            added = " ".join(f"--{key}.{name} VALUE" for name in missing)
            return f"{key}: {cls.__name__} needs {', '.join(missing)}: add {added}"
    return f"the following arguments are required: {', '.join(names)}"


def _found(name: str, place: Sequence[str]) -> type[Any] | None:
    """The class of this name for an option; None where there is none."""
    with suppress(ValueError):
        return find_class(name, ".".join(place))
    return None


def _as_list(kinds: str, given: str, where: str, place: Sequence[str]) -> str:
    """How a class is added to a list of them, where it was given alone."""
    if not kinds.startswith(("Sequence", "list")) or _found(given, place) is None:
        return ""
    return f"; a list of classes: [{given}]" if ".yaml" in where else f"; use --{where.removesuffix(': ')}+ {given}"


def _argument_with(name: str, arguments: Iterable[str]) -> str:
    for argument in arguments:
        key = argument.lstrip("-").partition("=")[0]
        if key.rpartition(".")[2] == name:
            return f"{key}: "
    return ""


def no_option(name: str, where: str, known: Iterable[str], owner: str = "", also: Sequence[str] = ()) -> str:
    """One line for an option, or an argument of the class `owner`, that does not exist; `also` are its other names."""
    known = [option for option in known if option.rpartition(".")[2] not in {"h", "help", "print_shtab"}]
    first, dot, rest = name.partition(".")
    sections = [f"{option.partition('.')[0]}{dot}{rest}" for option in known if option.partition(".")[0] != first]
    meant = f"; did you mean {' or '.join(map(repr, also))}?" if also else hint(name, known) or hint(name, sections)
    among = f" (choose from {', '.join(known)})" if len(known) <= 30 and not also else ""
    return f"{where}{owner and owner + ' has '}no option {name!r}{meant}{among}"


def parameters_of(cls: type[Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a class's constructor by name, with those of its bases that **kwargs reaches."""
    return _parameters(cls)[0]


def takes_any(cls: type[Any]) -> bool:
    """Whether the last of these constructors has **kwargs itself, so that other names are possible."""
    return _parameters(cls)[1]


def _parameters(cls: type[Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__[:-1]:
        if "__init__" in vars(base):
            own = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            named = {p.name: p for p in own if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
            found = {**named, **found}
            if not any(p.kind is p.VAR_KEYWORD for p in own):
                return found, False
    return found, True


def find(class_path: str) -> Any:
    """Import a class by its path; ImportError, AttributeError or ValueError if there is none."""
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)
