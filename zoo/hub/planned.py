"""A network that a file describes is planned before it is built: nothing larger than the file is asked of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from zoo.gan import GAN
from zoo.support.forms import Kind, is_plain

_PARTS = 1000  # a network may have, beside ten for each of its tensors: layers without any, and what is replaced


def refuse_misfits(path: Path, found: Mapping[str, Kind], make: Callable[[], GAN], wanted_by: str) -> None:
    """Compare the tensors of a file with those of the GAN that `make` would build, and build none.

    Args:
        path: the file.
        found: its tensors.
        make: builds the GAN.
        wanted_by: what says how it is built.

    Raises:
        ValueError: naming the first three tensors that are missing, unknown or of another kind; for a GAN of many more
            parts than the file has tensors, while there are not too many; whatever `make` raises.
    """
    compare(path, found, _planned(make, 10 * len(found) + _PARTS), wanted_by)


def compare(path: Path, found: Mapping[str, Kind], planned: Mapping[str, Kind], wanted_by: str) -> None:
    """ValueError, naming the first three tensors that are missing, unknown or of another kind."""
    if "generator.embed.weight" in found and "generator.embed.weight" not in planned:
        raise ValueError(
            f"{path} has a generator with a dense label embedding, as the zoo had before labels entered as one-hot "
            "codes; such generators made one picture a class, so train it again"
        )
    misfits = [f"{name} is missing" for name in planned if name not in found]
    misfits += [f"{name} belongs to nothing" for name in found if name not in planned]
    both = [name for name in planned if name in found and not _fits(found[name], planned[name])]
    misfits += [f"{name} is {found[name]}, {wanted_by} wants {planned[name]}" for name in both]
    if misfits:
        more = f", and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise ValueError(f"{path} does not fit {wanted_by}: {'; '.join(misfits[:3])}{more}")


def _fits(found: Kind, planned: Kind) -> bool:
    """Whether the shapes agree and the types do, or both are floating: a run may have had another precision."""
    same = found.dtype == planned.dtype or (found.dtype.is_floating_point and planned.dtype.is_floating_point)
    return same and found.shape == planned.shape


def kinds_of(tensors: Mapping[str, Any], path: Path) -> dict[str, Kind]:
    """What tensors that were read from a file are; ValueError for others than plain ones that the file can hold."""
    size = 0
    for name, tensor in tensors.items():
        if not is_plain(tensor):
            raise ValueError(f"{path}: {name} is no plain tensor")
        size += tensor.numel() * tensor.element_size()
    if size > 4 * path.stat().st_size:  # one storage can be several tensors, or one that repeats it
        raise ValueError(f"{path}: its tensors would fill {size} bytes, which it cannot hold")
    return {str(name): Kind(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def _planned(make: Callable[[], GAN], most: int) -> dict[str, Kind]:
    """The tensors of the GAN that `make` builds, without memory for any; ValueError beyond this many parts."""
    parts = 0

    def count(*registered: Any) -> None:
        nonlocal parts
        parts += 1
        if parts > most:
            raise ValueError(f"it describes more than {most} layers and tensors, which its weights cannot fill")

    hooks = [
        register(count)
        for register in (
            register_module_parameter_registration_hook,
            register_module_buffer_registration_hook,
            register_module_module_registration_hook,
        )
    ]
    try:
        with torch.device("meta"):
            return {name: Kind(x.dtype, tuple(x.shape)) for name, x in make().state_dict().items()}
    finally:
        for hook in hooks:
            hook.remove()
