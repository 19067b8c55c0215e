"""How many classes the networks of a run know: as many as its data have."""

from __future__ import annotations

import inspect
from typing import Any

from jsonargparse import Namespace

from zoo.cli.errors import find


def link_classes(model: Namespace, data: Any, conditional: bool) -> None:
    """Give every network of a model that takes `num_classes` as many as the data have, if the run is conditional.

    Args:
        model: of a configuration; its networks are changed in place.
        data: the data module.
        conditional: whether networks take labels although their number of classes is not set.

    Raises:
        ValueError: a network has another number of classes than the data, or the data have no labels for it.
    """
    networks = {name: net for name, net in model.init_args.items(branches=True) if _takes_classes(net)}
    given = {name: net.init_args.num_classes for name, net in networks.items() if net.init_args.num_classes is not None}
    if not conditional and not given:
        return
    unknown = object()
    known = getattr(data, "num_classes", unknown)
    kind = type(data).__name__
    if known is None:
        raise ValueError(f"data: {kind} has no labels, and a conditional GAN needs them")
    if known is unknown and not given:
        raise ValueError(f"data: {kind} does not say its num_classes; set that of the networks")
    for name, number in given.items():
        if known is not unknown and number != known:
            raise ValueError(
                f"model.{name}: num_classes is {number}, but {kind} has {known} classes; "
                "leave it out and set conditional: true, and it is taken from the data"
            )
    for name, net in networks.items() if conditional else ():
        net.init_args.num_classes = given.get(name, next(iter(given.values())) if known is unknown else known)


def build(part: Namespace) -> Any:
    """The object that a class path and init_args describe, its arguments plain values."""
    return find(part.class_path)(**part.init_args.as_dict())


def _takes_classes(net: Any) -> bool:
    if not isinstance(net, Namespace) or "class_path" not in net:
        return False
    return "num_classes" in inspect.signature(find(net.class_path)).parameters
