"""The form that a tree of values read from a file must have, and that of a checkpoint's `game`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from zoo.types import Turn

RESUMED = ("latest", "scores", "metrics", "generators")  # of `game`, what a fit goes on with

_VERSION = re.compile(r"\d{1,9}(\.\d{1,9})*((a|b|rc)\d{1,9})?(\.(post|dev)\d{1,9})*(\+\w+(\.\w+)*)?")
_WORDS = 624  # of the state of a Mersenne twister


class Kind(NamedTuple):
    """A tensor's type and shape."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {self.shape!s:.100}"


class Rule(NamedTuple):
    """What a value must be, in words, and whether one is."""

    words: str
    fits: Callable[[Any], bool]


def misfit(value: Any, form: Any, at: str) -> str | None:
    """Where a tree of values does not have a form, and what is there; None where it has.

    Args:
        value: the tree.
        form: a Rule; a list of one form, which all of a list's values have; or a dictionary with the keys that there
            must be, and their forms. Under ... stands the form of what else may be there, under a name.
        at: where the tree is.
    """
    if isinstance(form, Rule):
        return None if form.fits(value) else f"{at} must be {form.words}, not {short(value)}"
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{at} must be a list, not {short(value)}"
        return next(filter(None, (misfit(part, form[0], f"{at}[{i}]") for i, part in enumerate(value))), None)
    if not isinstance(value, dict):
        return f"{at} must have entries with names, not be {short(value)}"
    for key in form.keys() - {...}:
        if key not in value:
            return f"{at} has no {key}"
    for key, part in value.items():
        if key not in form and (... not in form or not isinstance(key, str)):
            return f"{at} has an entry {short(key)}, which belongs to nothing"
        if found := misfit(part, form.get(key, form.get(...)), f"{at}.{key}"):
            return found
    return None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def is_plain(value: Any) -> bool:
    """Whether it is a tensor of numbers, dense and in memory."""
    return type(value) is Tensor and value.layout == torch.strided and not value.is_meta and not value.is_quantized


def _is_scalar(value: Any) -> bool:
    return is_plain(value) and value.numel() == 1 and not value.is_complex()


def floats(*shape: int | None) -> Rule:
    """A tensor of these sizes, None being any, in a storage of its own."""

    def fits(value: Any) -> bool:
        if not is_plain(value) or not value.is_floating_point() or value.ndim != len(shape):
            return False
        same = all(want in (None, size) for want, size in zip(shape, value.shape, strict=True))
        return same and (value.numel() < 2 or all(value.stride(i) for i, n in enumerate(value.shape) if n > 1))

    sizes = ", ".join("N" if n is None else str(n) for n in shape)
    return Rule(f"floating-point numbers ({sizes})", fits)


ANYTHING = Rule("anything", lambda value: True)
COUNT = Rule("a whole number from 0 up", lambda value: type(value) is int and 0 <= value < 1 << 63)
FLAG = Rule("true or false", lambda value: type(value) is bool)
NUMBER = Rule("a number", _is_number)
NUMBER_OR_FLAG = Rule("a number", lambda value: type(value) is bool or _is_number(value))
NUMBER_OR_NONE = Rule("a number or nothing", lambda value: value is None or _is_number(value))
TEXT_OR_NONE = Rule("text or nothing", lambda value: value is None or isinstance(value, str))
DURATION = Rule("a number of seconds", lambda value: _is_number(value) and 0 <= value < 1e12)
SCALAR = Rule("one number", _is_scalar)
LOGGED = Rule("one number", lambda value: _is_number(value) or _is_scalar(value))
VERSION = Rule("a version", lambda value: isinstance(value, str) and bool(_VERSION.fullmatch(value)))
SETTING = Rule(
    "one number, a word or a pair of numbers",
    lambda value: value is None or isinstance(value, str | bool) or LOGGED.fits(value)
    or (isinstance(value, list | tuple) and all(map(LOGGED.fits, value))),
)  # fmt: skip
RANK = Rule(
    "a name and two numbers",
    lambda value: isinstance(value, tuple) and [type(part) for part in value] == [str, float, float],
)
STATE = Rule("entries with names", lambda value: isinstance(value, dict) and all(isinstance(k, str) for k in value))


def short(value: Any) -> str:
    """A value as an error names it."""
    if isinstance(value, Tensor):
        how = f"strides {value.stride()}" if is_plain(value) else "not dense numbers in memory"
        return f"{Kind(value.dtype, tuple(value.shape))}, {how}"
    return f"a {type(value).__name__}" if isinstance(value, dict | list | tuple) else f"{value!r:.60}"


def or_none(rule: Rule) -> Rule:
    """The same, or None."""
    return Rule(f"{rule.words} or nothing", lambda value: value is None or rule.fits(value))


def game_form(kept: Mapping[str, Any], turns: Iterable[Turn]) -> Any:
    """Of how far training had come, as this version writes it; an older one wrote less, without `moments`."""
    new = "moments" in kept
    form: dict[Any, Any] = {key: COUNT for key in ("moves", "left_out") if new or key in kept}
    form |= {"moments": [COUNT], "frozen": ANYTHING} if new else {}
    if new or any(key in kept for key in RESUMED):
        vector = floats(None)
        scores: dict[Any, Any] = {t.name: {"real": vector, "fake": vector, ...: vector} for t in turns if t.side == "d"}
        found = kept.get("scores")
        played: dict[Any, Any] = {
            name: form for name, form in scores.items() if isinstance(found, dict) and name in found
        }
        form |= {
            "latest": {...: LOGGED}, "metrics": {...: SCALAR}, "scores": {**played, ...: {"fake": vector, ...: vector}},
            "generators": [GENERATORS] if kept.get("generators") != [] else Rule("of each rank", lambda _: False),
        }  # fmt: skip
    return {**form, ...: ANYTHING}


def _accepted(take: Callable[[Any], object]) -> Callable[[Any], bool]:
    def fits(state: Any) -> bool:
        try:
            return take(state) is not False
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError):
            return False

    return fits


def _plain(value: Any, dtype: torch.dtype) -> Tensor:
    if not is_plain(value) or value.dtype != dtype or value.ndim != 1 or not value.is_contiguous():
        raise TypeError
    return cast("Tensor", value)


def _for_python(state: Any) -> None:
    version, words, gauss = state
    random.Random().setstate((version, tuple(_plain(words, torch.int64).tolist()), gauss))


def _for_numpy(state: Any) -> None:
    """Numpy itself takes any position, and then reads beyond its words."""
    key, position = _plain(state["state"]["key"], torch.int64), state["state"]["pos"]
    flag, gauss = state["has_gauss"], state["gauss"]
    if type(position) is not int or not 0 <= position <= _WORDS or type(flag) is not int or not _is_number(gauss):
        raise ValueError
    np.random.RandomState(0).set_state({**state, "state": {"key": key.numpy().astype(np.uint32), "pos": position}})


GENERATORS = {
    "torch": Rule("a state of torch's generator", _accepted(lambda s: torch.Generator().set_state(s))),
    "python": Rule("a state of Python's generator", _accepted(_for_python)),
    "numpy": Rule("a state of numpy's generator", _accepted(_for_numpy)),
    ...: Rule("a state of a GPU's generator", _accepted(lambda s: len(_plain(s, torch.uint8)) in (8, 16))),
}
