"""How the fake W&B server finds and writes its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

Tree: TypeAlias = dict[str, Any]  # what is answered
Variables: TypeAlias = dict[str, Any]  # what was asked with
Method = TypeVar("Method", bound=Callable[..., Tree])


def answers(*operations: str) -> Callable[[Method], Method]:
    """Marks the method that answers these operations."""

    def mark(method: Method) -> Method:
        method.operations = operations  # type: ignore[attr-defined]
        return method

    return mark


def table(server: object) -> dict[str, Callable[[Variables], Tree]]:
    """All marked methods of an object, by operation."""
    methods = [(name, getattr(type(server), name)) for name in dir(type(server))]
    return {operation: getattr(server, name) for name, m in methods for operation in getattr(m, "operations", ())}


def page(nodes: Iterable[Any]) -> Tree:
    """The only page of a list."""
    edges = [{"node": node, "cursor": str(number)} for number, node in enumerate(nodes)]
    return {"edges": edges, "pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}}
