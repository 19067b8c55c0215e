"""The objectives, one paper a file. A new file here is a new member of the zoo: nothing is registered."""

import pkgutil
from importlib import import_module
from typing import Any

from zoo.gan import GAN


def variants() -> dict[str, type[GAN]]:
    """Every objective in this folder, class name to class, in alphabetical order."""
    found = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        if module.name.rpartition(".")[2].startswith("_"):
            continue
        for value in vars(import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, GAN) and value.__module__ == module.name:
                found[value.__name__] = value
    return dict(sorted(found.items()))


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    found = variants()
    if name not in found:
        raise AttributeError(f"no objective {name!r} in zoo.variants; there are {', '.join(found)}")
    globals().update(found)
    return found[name]


def __dir__() -> list[str]:
    return ["variants", *variants()]
