"""Types shared by GAN, dynamics and stabilizers.

A *player* is a network, or several, with one optimiser. A *turn* is a kind of update: its movers take one optimiser
step on the sum of its terms; doing so once is a *move*. Each turn belongs to a *side*, D's or G's; a *round* is
`d_steps` batches. `Game` lists the members of a GAN that dynamics and stabilizers may use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from zoo.noise import Noise

Data: TypeAlias = Sequence[Tensor]  # what a loader yields: (real,) or (real, labels)
Role: TypeAlias = Literal["real", "fake", "penalty"]  # D's input: real data, fakes, or the points of a penalty
Terms: TypeAlias = dict[str, Tensor]  # of a loss, by name: scalars, summed and logged
State: TypeAlias = dict[str, Tensor]  # a network's parameters and buffers by name, for `functional_call`


@dataclass(frozen=True)
class Batch:
    """One turn's data."""

    real: Tensor  # (N, C, H, W), in [-1, 1]; (N, 2) for toy data
    labels: Tensor | None  # (N,), int64
    z: Tensor  # (N, latent_dim); (N, 0) in a turn without `samples`
    fake: Tensor  # G(z), shaped like real; without a graph on D's turn
    noise: Noise  # the source of all further draws of the turn
    kimg: float = 0.0  # seen before this batch


@dataclass(frozen=True)
class Output:
    """D's output on a batch."""

    score: Tensor  # (N,), in the paper's own sign: logits, critic values or energies
    features: dict[str, Tensor]  # by name: "hidden", "code"

    def detach(self) -> Output:
        """The same numbers without their graph."""
        return Output(self.score.detach(), {k: v.detach() for k, v in self.features.items()})


class Critic(Protocol):
    """D, bound to a batch."""

    def __call__(self, x: Tensor, role: Role) -> Output:
        """The output on x (N, ...)."""


@dataclass(frozen=True)
class Turn:
    """A kind of update: one optimiser step of the movers on the sum of the terms."""

    name: str  # prefix of its losses in the log
    movers: tuple[str, ...]  # names in `GAN.players()`
    loss: Callable[[Critic, Batch], Terms]  # the movers minimise the sum of the terms
    side: Literal["d", "g"]  # for d_steps : g_steps, and for the movers' optimiser settings
    samples: bool = True  # whether `deal` makes G(z) for it; if not, `fake` is `real`


class Game(Protocol):
    """A GAN as dynamics and stabilizers see it; `zoo.gan.GAN` documents the members."""

    generator: nn.Module
    discriminator: nn.Module
    generator_ema: nn.Module | None
    num_classes: int | None
    dynamics: Any
    stabilizers: Sequence[Any]
    steps: int
    g_moves: int
    noise: Noise
    latest: dict[str, Tensor | float]
    outputs: dict[str, dict[str, Output]]
    energy_based: ClassVar[bool]
    paired: ClassVar[bool]
    log_loss: ClassVar[bool]
    double_backward: ClassVar[bool]
    trainer: Any

    @property
    def kimg(self) -> float: ...
    @property
    def device(self) -> torch.device: ...
    def players(self) -> dict[str, nn.Module]: ...
    def discriminators(self) -> tuple[nn.Module, ...]: ...
    def turns(self) -> tuple[Turn, ...]: ...
    def sample_latent(self, n: int, noise: Noise) -> Tensor: ...
    def generate(self, z: Tensor, labels: Tensor | None, *, ema: bool = False) -> Tensor: ...
    def deal(self, data: Data, *, graph: bool, samples: bool = True) -> Batch: ...
    def bind(self, batch: Batch, net: nn.Module | None = None, state: State | None = None) -> Critic: ...
    def play(self, turn: Turn, data: Data) -> None: ...
    def move(self, turn: Turn, closure: Callable[[], Terms], *, differentiates: Sequence[str] = ()) -> None: ...
    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor: ...
    def g_loss(self, d_fake: Tensor) -> Tensor: ...
    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms: ...
    def parameters_of(self, movers: Sequence[str]) -> list[nn.Parameter]: ...
    def buffers_of(self, movers: Sequence[str]) -> Any: ...
    def step(self, turn: Turn, terms: Terms, before: Any) -> None: ...
    def optimize(self, turn: Turn, terms: Terms) -> Tensor: ...
    def after_step(self, turn: Turn, terms: Terms) -> None: ...
    def optimizer_of(self, name: str) -> torch.optim.Optimizer: ...


def total(terms: Terms) -> Tensor:
    """The loss, a scalar."""
    return reduce(torch.add, terms.values())


def merge(*parts: Terms) -> Terms:
    """All terms in one; a name that comes again is numbered, as in gradient_penalty_2."""
    terms: Terms = {}
    for part in parts:
        for name, value in part.items():
            count = sum(key == name or key.startswith(f"{name}_") for key in terms)
            terms[f"{name}_{count + 1}" if count else name] = value
    return terms
