"""The files of a run, read back: `metrics.jsonl`, `run.json` and pictures. Imports neither torch nor Lightning."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

KIMG = "progress/kimg"  # the x axis: thousands of real images seen, over all ranks

_PIXELS = 64_000_000  # of a picture that is opened
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encode(value: Any) -> Any:
    """A number as JSON can hold it: NaN and the infinities become "nan", "inf" and "-inf"."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def decode(value: Any) -> Any:
    """The inverse of :func:`encode`."""
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`, in order, with NaN and infinities as floats.

    A last line cut short by a kill is left out. Where a resumed run went back to its checkpoint,
    the rows it has written again are left out too: those of a higher kimg, and of the same kimg
    those with a name that comes again.

    Raises:
        ValueError: any other line is not a JSON object.
    """
    try:
        *lines, torn = Path(path).read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from None
    del torn  # empty when the file is whole
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            row = {key: decode(value) for key, value in json.loads(line).items()}
        except (ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path}:{number} is not a JSON object: {line[:60]!r}") from error
        kimg = row.get(KIMG, math.inf)
        while rows and rows[-1].get(KIMG, -math.inf) > kimg * (1 + 1e-6):  # kimg may have been through float32
            rows.pop()
        beside = []
        while rows and rows[-1].get(KIMG) == kimg:
            beside.append(rows.pop())
        rows += [other for other in reversed(beside) if not names_of(other) & names_of(row)]
        rows.append(row)
    return rows


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Put a row at the end of a `.jsonl`, in place of a last line that a kill or a full disk has cut short."""
    with path.open("ab+") as file:
        end = file.seek(0, 2)
        if end and (file.seek(end - 1), file.read(1))[1] != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(row, allow_nan=False).encode() + b"\n")


def names_of(row: Mapping[str, Any]) -> set[str]:
    """Of the values in a row, without those that say when."""
    return row.keys() - {"step", "time", "epoch", KIMG}


def read_record(path: str | Path) -> dict[str, Any]:
    """A run's `run.json`; ValueError, with the path, where it is none."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path} is not a JSON object")
    for key in ("variant", "dataset", "status"):
        if not isinstance(record.get(key), str):
            raise ValueError(f"{path} has no {key}: not written by a run of train.py")
    result = record.get("result") or {}
    if not isinstance(result, dict) or not all(_is_amount(result.get(key)) for key in ("kimg", "seconds")):
        raise ValueError(f"{path}: its result has no kimg and seconds as a run writes them")
    return record


def read_picture(path: Path) -> Image.Image:
    """A whole PNG of a run's, as RGB.

    Raises:
        ValueError: it is no regular file, no PNG, has more than 64 million pixels, or cannot be decoded.
    """
    from PIL import Image

    try:
        if not path.is_file():
            raise ValueError(f"{path} is no regular file")
        with Image.open(path, formats=["PNG"]) as file:
            if math.prod(file.size) > _PIXELS:
                raise ValueError(f"{path} has {file.width} x {file.height} pixels")
            return file.convert("RGB")
    except (Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error


def _is_amount(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
