"""Classes that an option can be set to, by name."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROLES = {
    "model": "zoo.variants", "data": "zoo.datamodules", "generator": "zoo.backbones", "discriminator": "zoo.backbones",
    "encoder": "zoo.backbones", "dynamics": "zoo.dynamics", "stabilizers": "zoo.stabilizers",
    "optimizer": "zoo.optim", "scheduler": "zoo.schedules", "callbacks": "zoo.callbacks", "logger": "zoo.run.loggers",
}  # fmt: skip

LIBRARIES = {
    "callbacks": "lightning.pytorch.callbacks", "logger": "lightning.pytorch.loggers", "optimizer": "torch.optim",
}  # fmt: skip


def choices_for(key: str) -> list[type[Any]]:
    """Classes of the zoo for an option, as "model.generator" or "trainer.callbacks[0]"; none for other options."""
    role = _role(key)
    if role is None:
        return []
    module = import_module(ROLES[role])
    if role == "model":
        return list(module.variants().values())
    found = [value for name, value in sorted(vars(module).items()) if isinstance(value, type) and name[0] != "_"]
    found = [cls for cls in found if cls.__module__.startswith(ROLES[role]) and not inspect.isabstract(cls)]
    found = [cls for cls in found if not cls.__module__.endswith(".base")]
    if role == "data":
        from lightning.pytorch import LightningDataModule

        return [cls for cls in found if issubclass(cls, LightningDataModule)]
    if ROLES[role] == "zoo.backbones":
        from zoo.backbones import Encoder, Generator

        kinds = {"generator": Generator, "encoder": Encoder}
        others = tuple(kinds.values())
        return [c for c in found if (issubclass(c, kinds[role]) if role in kinds else not issubclass(c, others))]
    if role == "callbacks":
        from lightning.pytorch import Callback

        return [cls for cls in found if issubclass(cls, Callback)]
    return found


def find_class(name: str, key: str) -> type[Any]:
    """The class of this path, or of this name among the choices for an option.

    Raises:
        ValueError: there is none; with close names and the choices.
    """
    module, _, last = name.rpartition(".")
    if name.startswith("."):
        raise ValueError(f"{key}: {name!r} is no class")
    if not module:
        for cls in [*choices_for(key), *_libraries(key)]:
            if cls.__name__ == name:
                return cls
        raise ValueError(f"{key}: {no_class(name, key)}")
    try:
        found = getattr(import_module(module), last)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"{key}: {no_class(name, key)}") from None
    if not isinstance(found, type):
        raise ValueError(f"{key}: {name} is no class")
    return found


def no_class(name: str, key: str) -> str:
    """One line for a class that does not exist: whether its module does, a close name, and the choices."""
    module, _, last = name.rpartition(".")
    first = module.partition(".")[0]
    names = [cls.__name__ for cls in choices_for(key)]
    if first and find_spec(first) is None:
        near = hint(first, _modules()) or f" (the zoo has {', '.join(names)})" * bool(names)
        return f"no module named {first!r}{near}"
    close = names + [cls.__name__ for cls in _libraries(key)]
    if module and not any(cls.__module__.startswith(first) for cls in choices_for(key)):
        names = close = _public(module)
        return f"unknown class {name!r}{hint(last, close)}" + (f" (choose from {', '.join(names)})" if names else "")
    near = hint(last, close)
    own = [] if module else [f"{path.stem}.{name}" for path in _own_files() if _defines(path, name)]
    if own:
        near = f"; did you mean {own[0]!r}?"
    elif not module and not near:
        return f"unknown class {name!r}{listed(key)}; a class of your own is named with its module: mymodule.{name}"
    return f"unknown class {name!r}{near}{listed(key)}"


def listed(key: str) -> str:
    """ " (choose from ... of zoo. ...)" for an option that takes classes of the zoo, else nothing."""
    names = [cls.__name__ for cls in choices_for(key)]
    return f" (choose from {', '.join(names)} of {ROLES[_role(key) or '']})" if names else ""


def _modules() -> list[str]:
    """Names of the modules in the working folder and beside the program."""
    folders = {Path.cwd(), Path(sys.path[0] or ".")}
    return [path.stem for folder in folders for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()]


def _own_files() -> list[Path]:
    """Python files in the working folder."""
    return sorted(path for path in Path.cwd().glob("*.py") if path.is_file() and path.stem.isidentifier())


def _defines(path: Path, name: str) -> bool:
    """Whether a file has a class of this name at its top level, read without being run."""
    with suppress(OSError):
        return re.search(rf"^class {re.escape(name)}\b", path.read_text("utf-8", "replace"), re.MULTILINE) is not None
    return False


def _public(module: str) -> list[str]:
    """The public classes that a module defines; none where it cannot be imported."""
    with suppress(ImportError, ValueError):
        found = vars(import_module(module)).items()
        return sorted(n for n, v in found if isinstance(v, type) and n[0] != "_" and v.__module__.startswith(module))
    return []


def _libraries(key: str) -> list[type[Any]]:
    """Classes for an option that libraries bring."""
    module = LIBRARIES.get(_role(key) or "")
    return [] if module is None else [cls for cls in vars(import_module(module)).values() if isinstance(cls, type)]


def hint(name: str, known: list[str]) -> str:
    """ "; did you mean ...?" for a name that is close to a known one, else nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _role(key: str) -> str | None:
    last = key.replace(".init_args", "").partition("[")[0].rpartition(".")[2]
    return next((role for role in ROLES if last == role or last.endswith(f"_{role}")), None)
