"""The words of the game: what a turn is played with, what D says of it, and what a turn is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from zoo.noise import Noise

Data: TypeAlias = Sequence[Tensor]  # what a loader yields: (real,) or (real, labels)
Role: TypeAlias = Literal["real", "fake", "penalty"]  # what an image is shown to D as
Terms: TypeAlias = dict[str, Tensor]  # named scalars: summed to the loss, logged by name
State: TypeAlias = dict[str, Tensor]  # for a network's parameters and buffers, by their names in all who hold them


@dataclass(frozen=True)
class Batch:
    """What one turn is played with."""

    real: Tensor  # (N, C, H, W), in [-1, 1]; (N, 2) for toy data
    labels: Tensor | None  # (N,), int64
    z: Tensor  # (N, latent_dim)
    fake: Tensor  # G(z), shaped like real; without a graph unless a generator moves
    noise: Noise  # whatever else is drawn in this turn


@dataclass(frozen=True)
class Verdict:
    """What D says of a batch."""

    score: Tensor  # (N,), in the paper's own sign: logits, critic values or energies
    features: dict[str, Tensor]  # what the discriminator declares it can show

    def detach(self) -> "Verdict":
        """The same numbers without their graph."""
        return Verdict(self.score.detach(), {k: v.detach() for k, v in self.features.items()})


class Critic(Protocol):
    """D, bound to a batch: scores images (N, ...) that play a role."""

    def __call__(self, x: Tensor, role: Role) -> Verdict:
        """The verdict on x."""


@dataclass(frozen=True)
class Turn:
    """One kind of move: these players step on the sum of these terms."""

    name: str  # prefix of what is logged
    movers: tuple[str, ...]  # names in `GAN.players()`
    terms: Callable[[Critic, Batch], Terms]
    side: Literal["d", "g"]  # whom it counts for in d_steps : g_steps
    samples: bool = True  # whether its terms look at G(z); where they do not, none is made, and `fake` is `real`


def total(terms: Terms) -> Tensor:
    """The loss, a scalar."""
    return reduce(torch.add, terms.values())


def united(*parts: Terms) -> Terms:
    """All terms in one; a name that comes again is numbered, as in gradient_penalty_2."""
    terms: Terms = {}
    for part in parts:
        for name, value in part.items():
            count = sum(key == name or key.startswith(f"{name}_") for key in terms)
            terms[f"{name}_{count + 1}" if count else name] = value
    return terms
