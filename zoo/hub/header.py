"""The head of a safetensors file, which says what is in it, checked against the file before anything believes it.

The file is 8 bytes, the length of the head in little-endian order; the head, a JSON object of tensors' names with type,
shape and place; and the tensors' bytes, without gaps.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch

_LONGEST = 1 << 23  # bytes of the head: some 80,000 tensors
_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
}  # fmt: skip


class Kind(NamedTuple):
    """What a tensor is, but for its numbers."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {self.shape}"


def kinds(path: Path) -> dict[str, Kind]:
    """All tensors of the file, by name; nothing larger than the file is ever asked of memory.

    Raises:
        ValueError: for a head that is longer than the file or no JSON, and tensors that do not fill it exactly.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST):
            raise ValueError(f"{path} is cut short, or no safetensors file: its head would have {length} bytes")
        text = file.read(length)
    try:
        head = dict(json.loads(text))
        head.pop("__metadata__", None)
        entries = sorted(((*_entry(told, size), str(name)) for name, told in head.items()), key=lambda e: e[:2])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path}: its head makes no sense: {str(error) or type(error).__name__}") from None
    end = 0
    for begin, finish, kind, name in entries:
        if begin != end or finish - begin != math.prod(kind.shape) * kind.dtype.itemsize:
            raise ValueError(f"{path}: {name} is a {kind}, which is not what bytes {begin} to {finish} can hold")
        end = finish
    if 8 + length + end != size:
        raise ValueError(
            f"{path} has {size} bytes, its tensors would fill {8 + length + end}: it is cut short or padded"
        )
    return {name: kind for _, _, kind, name in entries}


def _entry(told: Any, size: int) -> tuple[int, int, Kind]:
    """Where a tensor begins and ends, and what it is; no number is larger than the file."""
    begin, finish = told["data_offsets"]
    shape = tuple(told["shape"])
    if not all(type(n) is int and 0 <= n <= size for n in (begin, finish, *shape)) or len(shape) > 8:
        raise ValueError("a shape or a place is beyond the file")
    if told["dtype"] not in _TYPES:
        raise ValueError(f"unknown type {told['dtype']!r}")
    return begin, finish, Kind(_TYPES[told["dtype"]], shape)
