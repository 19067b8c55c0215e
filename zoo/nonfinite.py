"""Each move's terms and gradients are checked on the device; its step is skipped if one is not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.types import Terms

EVERY = 50  # steps between two readings, each of which waits for the device
POLICIES = ("stop", "skip")
Policy: TypeAlias = Literal["stop", "skip"]


class Move(NamedTuple):
    """The record of a move until the next reading."""

    turn: str
    images: int  # seen before it, over all ranks
    terms: tuple[str, ...]
    parameters: Sequence[nn.Parameter]  # those with a gradient
    values: Tensor  # (terms + parameters,): the terms, and the norm of each gradient
    skipped: Tensor  # scalar, 1.0 or 0.0


class Monitor:
    """Checks the terms and gradients of every move without waiting for the device.

    A gradient whose Euclidean norm overflows its type counts as not finite.
    """

    def __init__(self) -> None:
        self._moves: list[Move] = []

    def check(self, turn: str, images: int, terms: Terms, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Whether the move must be skipped: a scalar on the device, 1.0 or 0.0.

        Args:
            turn: its name.
            images: real images seen before it.
            terms: scalars, by name.
            parameters: whose gradients are checked; empty under a loss scaler, which handles overflows itself.
        """
        moving = [p for p in parameters if p.grad is not None]
        norms = torch._foreach_norm([p.grad for p in moving if p.grad is not None]) if moving else ()
        values = torch.stack([*(value.detach() for value in terms.values()), *norms])
        skipped = (values - values).sum().ne(0).float()  # x - x is 0, or NaN where x is not finite
        self._moves.append(Move(turn, images, tuple(terms), moving, values, skipped))
        return skipped

    def read(self, names: Mapping[nn.Parameter, str]) -> tuple[int, str]:
        """The number of moves skipped since the last reading, and the cause of the first; waits for the device.

        Args:
            names: of the parameters.
        """
        moves, self._moves = self._moves, []
        flags = torch.stack([move.skipped for move in moves]).tolist() if moves else []
        if not any(flags):
            return 0, ""
        return int(sum(flags)), _cause(moves[flags.index(1.0)], names)


@contextmanager
def masked(optimizer: Optimizer, skipped: Tensor) -> Iterator[None]:
    """Inside, a step of this optimiser changes nothing where `skipped` is 1.

    A fused optimiser skips the step exactly, through `found_inf`. Any other steps on gradients of zero: weights change
    by momentum and weight decay only, but moments decay and the step count rises.
    """
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = skipped  # type: ignore[attr-defined]
        try:
            yield
        finally:
            del optimizer.found_inf  # type: ignore[attr-defined]
    else:
        mask = skipped.bool()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.masked_fill_(mask, 0.0)
        yield


def overflowed(named: Iterable[tuple[str, nn.Parameter]]) -> str | None:
    """The first of these parameters that is not finite, by name; waits for the device."""
    parameters = dict(named)
    norms = torch._foreach_norm(list(parameters.values()))
    if bool(torch.stack(norms).float().sum().isfinite()):
        return None
    return next((name for name, p in parameters.items() if not bool(p.isfinite().all())), None)


def _cause(move: Move, names: Mapping[nn.Parameter, str]) -> str:
    values = move.values.tolist()
    wrong = [i for i, value in enumerate(values) if not math.isfinite(value)]
    n = len(move.terms)
    parts = [f"the term {move.terms[i]} is {values[i]}" for i in wrong if i < n]
    layers = [names.get(move.parameters[i - n], "a parameter") for i in wrong if i >= n]
    if layers:
        more = f" and {len(layers) - 1} more of its {len(move.parameters)}" if len(layers) > 1 else ""
        parts.append(f"the gradient of {layers[-1]}{more} is not finite")
    return f"the move of {move.turn} at {move.images / 1000:g} kimg: {', and '.join(parts)}"
