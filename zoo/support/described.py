"""Objects that remember the arguments of their constructor."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, Self


class Described:
    """Remembers the arguments of its constructor in `arguments`, so that a checkpoint can say how to build it again."""

    arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Bind the arguments to the constructor's parameters; copies and pickles bring theirs."""
        made = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        bound = signature.bind_partial(made, *args, **kwargs).arguments
        rest = [name for name, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD]
        more = [bound.pop(name, {}) for name in rest]
        made.__dict__["arguments"] = {**dict(list(bound.items())[1:]), **(more[0] if more else {})}
        return made


def description(value: Any, place: str) -> Any:
    """Plain values; an object is {"class_path": ..., "init_args": {...}}, as in a configuration.

    Raises:
        ValueError: with the place, for an object that does not say how it was built.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [description(part, f"{place}[{i}]") for i, part in enumerate(value)]
    made, given = type(value), getattr(value, "arguments", None)
    if isinstance(value, partial) and isinstance(value.func, type) and not value.args:
        made, given = value.func, value.keywords
    elif isinstance(value, type):
        made, given = value, {}
    if not isinstance(given, dict):
        raise ValueError(f"{place}: a {made.__name__} does not say how it was built")
    init_args = {key: description(part, f"{place}.{key}") for key, part in given.items()}
    return {"class_path": f"{made.__module__}.{made.__qualname__}", "init_args": init_args}
