"""A run's `run.json`, read back."""

import json
from pathlib import Path
from typing import Any


def read_record(path: str | Path) -> dict[str, Any]:
    """A run's `run.json`; ValueError, with the path, where it is none."""
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(told, dict):
        raise ValueError(f"{path} is not a JSON object")
    for key in ("variant", "dataset", "status"):
        if not isinstance(told.get(key), str):
            raise ValueError(f"{path} has no {key}: not written by a run of train.py")
    result = told.get("result") or {}
    if not isinstance(result, dict) or not all(_is_amount(result.get(key)) for key in ("kimg", "seconds")):
        raise ValueError(f"{path}: its result has no kimg and seconds as a run writes them")
    return told


def _is_amount(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
