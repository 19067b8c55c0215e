"""Nothing that is not finite reaches the weights: every move is watched on the device, and may be left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo import freezing
from zoo.types import Terms

EVERY = 50  # steps between two readings, each of which waits for the device
_LARGE = 1 << 17  # numbers of a gradient
POLICIES = ("stop", "skip")
Policy: TypeAlias = Literal["stop", "skip"]


class Move(NamedTuple):
    """What is kept of a move until the next reading."""

    turn: str
    images: int  # dealt before it, over all ranks
    terms: tuple[str, ...]
    parameters: Sequence[nn.Parameter]  # those with a gradient
    values: Tensor  # (terms + parameters,): the terms, and the norm of each gradient
    left_out: Tensor  # scalar, 1.0 or 0.0


class Guard:
    """Tells of each move whether its terms and gradients are finite, without waiting for the device.

    A gradient whose Euclidean norm overflows its type counts as not finite.
    """

    def __init__(self) -> None:
        self._moves: list[Move] = []
        self._nothing = torch.zeros(())  # on a CPU, where one can look, nothing is kept of a move without fault

    def watch(self, turn: str, images: int, terms: Terms, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Whether the move must be left out: a scalar on the device, 1.0 or 0.0.

        Args:
            turn: its name.
            images: real images dealt before it.
            terms: scalars, by name.
            parameters: whose gradients are looked at; empty under a loss scaler, where overflow is part of the game.
        """
        moving = [p for p in parameters if p.grad is not None]
        gradients = [p.grad for p in moving if p.grad is not None]
        told = [value.detach() for value in terms.values()]
        if freezing.visible(told[0]) and all(map(math.isfinite, (*told, *_sizes(gradients)))):
            return self._nothing
        norms = torch._foreach_norm(gradients) if gradients else ()
        values = torch.stack([*told, *norms])
        left_out = (values - values).sum().ne(0).float()  # x - x is 0, or NaN where x is not finite
        self._moves.append(Move(turn, images, tuple(terms), moving, values, left_out))
        return left_out

    def read(self, names: Mapping[nn.Parameter, str]) -> tuple[int, str]:
        """How many moves were left out since the last reading, and what was wrong with the first; waits for the device.

        Args:
            names: of the parameters.
        """
        moves, self._moves = self._moves, []
        if not moves:
            return 0, ""
        flags = torch.stack([move.left_out for move in moves]).tolist()
        if not any(flags):
            return 0, ""
        return int(sum(flags)), _told(moves[flags.index(1.0)], names)


@contextmanager
def withheld(optimizer: Optimizer, left_out: Tensor) -> Iterator[None]:
    """Inside, a step of this optimiser changes nothing where `left_out` is 1.

    A fused optimiser skips it as it does for a loss scaler, to the bit. Any other takes it on gradients of zero, which
    moves weights only by momentum and weight decay.
    """
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = left_out  # type: ignore[attr-defined]
        try:
            yield
        finally:
            del optimizer.found_inf  # type: ignore[attr-defined]
    else:
        mask = left_out.bool()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.masked_fill_(mask, 0.0)
        yield


def _sizes(gradients: list[Tensor]) -> Iterator[Tensor]:
    """Scalars that are all finite only if the gradients' norms are.

    A large gradient's own square, which on a CPU takes half as long as its norm; the norms of all others in one call.
    """
    small = []
    for gradient in gradients:
        line = _flat(gradient) if gradient.numel() >= _LARGE else None
        if line is None:
            small.append(gradient)
        else:
            yield torch.dot(line, line)
    if small:
        yield from torch._foreach_norm(small)


def _flat(x: Tensor) -> Tensor | None:
    """All numbers of x in the order of its memory, a view (n,); None if there are gaps in it."""
    if x.is_contiguous():
        return x.view(-1)
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return x.permute(0, 2, 3, 1).view(-1) if last else None


def _told(move: Move, names: Mapping[nn.Parameter, str]) -> str:
    values = move.values.tolist()
    wrong = [i for i, value in enumerate(values) if not math.isfinite(value)]
    n = len(move.terms)
    parts = [f"the term {move.terms[i]} is {values[i]}" for i in wrong if i < n]
    layers = [names.get(move.parameters[i - n], "a parameter") for i in wrong if i >= n]
    if layers:
        more = f" and {len(layers) - 1} more of its {len(move.parameters)}" if len(layers) > 1 else ""
        parts.append(f"the gradient of {layers[-1]}{more} is not finite")
    return f"the move of {move.turn} at {move.images / 1000:g} kimg: {', and '.join(parts)}"
