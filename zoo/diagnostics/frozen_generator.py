"""The frozen-generator experiment: a fresh discriminator against a generator that stands still.

Arjovsky & Bottou 2017, "Towards Principled Methods for Training Generative Adversarial Networks", theorems 2.1 to 2.4
and figure 2: where the supports of samples and data hardly meet, D's error goes to 0, and under the minimax loss G's
gradient goes with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from zoo.diagnostics.reader import gradients_by_layer, last_turns, parts, play_last_turns, ranking
from zoo.noise import Noise
from zoo.optim import Adam
from zoo.run.records import encode
from zoo.support.freezing import Buffers
from zoo.types import Data

if TYPE_CHECKING:
    from zoo.gan import GAN

_OF_TORCH = (nn.Linear.reset_parameters, nn.Conv2d.reset_parameters)
_ITERATIONS = 15  # as torch's spectral norm begins
STEPS, RATE = 300, 1e-3
SURE = 0.01  # an error below this is as good as none
LOST = 10.0  # a gradient that many times smaller has gone
_FIRST, _FACTOR = 5, 1.6  # looks after 0, 5, 8, 13, 20, 33, ... steps


@dataclass(frozen=True)
class Retrained:
    """D's error and G's gradient over the steps of a fresh D."""

    steps: list[int]  # that D had taken
    error: list[float]  # the share of pairs of held-back data and samples that D ranks wrongly
    gradient: list[float]  # the norm of G's gradient under the run's own loss

    @property
    def sure_after(self) -> int | None:
        """The look from which on D's error stayed below 1 %; None if it did not."""
        at = None
        for step, error in zip(self.steps, self.error, strict=True):
            at = None if not error < SURE else step if at is None else at
        return at

    @property
    def fall(self) -> float:
        """How many times smaller G's gradient is at the last look than at its largest, the untrained D left out."""
        return max(self.gradient[1:]) / self.gradient[-1] if self.gradient[-1] else math.inf

    def as_row(self) -> dict[str, Any]:
        """For a JSON."""
        series = {name: [encode(v) for v in getattr(self, name)] for name in ("steps", "error", "gradient")}
        return {**series, "sure_after": self.sure_after, "fall": encode(self.fall)}

    def table(self) -> str:
        """Every look in a line."""
        rows = zip(self.steps, self.error, self.gradient, strict=True)
        return "\n".join(["  steps   error  gradient of G", *(f"{s:7d}{e:8.3f}  {g:.3g}" for s, e, g in rows)])

    def __str__(self) -> str:
        last, norm = self.steps[-1], self.gradient[-1]
        if self.sure_after is None:
            return (
                f"after {last} steps a fresh D still ranks {self.error[-1]:.1%} of pairs wrongly: samples and data "
                f"overlap for it, and G's gradient is {norm:.3g}"
            )
        text = f"a fresh D tells samples from data after {self.sure_after} steps"
        if self.fall >= LOST:
            return (
                f"{text}, and by {last} G's gradient had fallen {self.fall:.3g}-fold to {norm:.3g}: under this loss G "
                "learns next to nothing from a D that is sure (theorem 2.4)"
            )
        return (
            f"{text}, and after {last} G's gradient is {norm:.3g}, at its largest {max(self.gradient[1:]):.3g}: "
            "this loss teaches G where D is sure too"
        )


def retrain(gan: GAN, batches: Iterable[Any], *, steps: int = STEPS, rate: float = RATE, seed: int = 0) -> Retrained:
    """Train a fresh D against the frozen G, by the run's own terms for D; the GAN itself stays as it is.

    D starts as :func:`fresh` makes it and moves by Adam at `rate`, whatever the run's own optimiser: the experiment is
    about a D near its best, not about how the run gets there. The plain generator plays, in training mode. Gradient and
    error are of the first batch, which D does not train on.

    Args:
        gan: any; where it has several discriminators, all begin anew.
        batches: real data as its loader yields them; begun again at the end.
        steps: of D.
        rate: D's learning rate.
        seed: of D's weights and of all latents.

    Raises:
        ValueError: there are fewer than two batches, or `steps` < 1.
    """
    if steps < 1:
        raise ValueError(f"retrain: steps must be at least 1, got {steps}")
    dealt = [parts(batch, gan.device) for batch, _ in zip(batches, range(steps + 1), strict=False)]
    if len(dealt) < 2:
        raise ValueError(f"retrain: needs at least 2 batches of data, got {len(dealt)}")
    game = deepcopy(gan, {id(gan._trainer): None}).train()  # without its trainer, whose process group has no copy
    game.noise = Noise(seed, device=gan.device)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        for discriminator in game.discriminators():
            fresh(discriminator)
        return _play(game, dealt[0], dealt[1:], steps, rate)


def fresh(net: nn.Module) -> None:
    """Initialise a network anew: He et al. 2015 for leaky units of slope 0.2, biases 0.

    What is neither linear nor a convolution gets what its own `reset_parameters` gives.
    """
    for module in net.modules():
        if parametrize.is_parametrized(module):
            _fresh_parametrized(module)
        else:
            _fresh_layer(module)


def _is_he(module: nn.Module) -> bool:
    kinds = isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    return kinds and getattr(type(module), "reset_parameters", None) in _OF_TORCH


def _fresh_layer(module: Any) -> None:
    if _is_he(module):
        nn.init.kaiming_normal_(module.weight, a=0.2)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif callable(reset := getattr(module, "reset_parameters", None)):
        reset()


@torch.no_grad()
def _fresh_parametrized(module: Any) -> None:
    """What spectral norm divides is drawn anew, and so are the vectors of its power iteration."""
    for name in module.parametrizations:
        drawn = torch.empty_like(getattr(module, name))
        setattr(module, name, nn.init.kaiming_normal_(drawn, a=0.2) if _is_he(module) else nn.init.normal_(drawn))
    if getattr(module, "bias", None) is not None:
        module.bias.zero_()
    for vector in module.parametrizations.buffers():
        vector.copy_(nn.functional.normalize(torch.randn_like(vector), dim=0))
    was = module.training
    module.train()
    for _ in range(_ITERATIONS):
        for name in module.parametrizations:
            getattr(module, name)
    module.train(was)


def _play(game: GAN, held: Data, dealt: Sequence[Data], steps: int, rate: float) -> Retrained:
    turns = [turn for turn in game.turns() if turn.side == "d"]
    optimizers = {name: Adam(game.players()[name].parameters(), lr=rate) for turn in turns for name in turn.movers}
    found = Retrained([], [], [])
    looks = _looks(steps)
    for step in range(steps + 1):
        game.noise.begin(step)
        if step in looks:
            found.steps.append(step)
            error, gradient = _look(game, held)
            found.error.append(error)
            found.gradient.append(gradient)
        for turn in turns:
            game.gradients(turn, partial(game.loss, turn, dealt[step % len(dealt)]))
            for name in turn.movers:
                optimizers[name].step()
            for stabilizer in game.stabilizers:
                stabilizer.after_turn(turn, game)
    return found


def _look(game: GAN, held: Data) -> tuple[float, float]:
    """D's error and the norm of G's gradient on what D has not seen."""
    before = Buffers([game])
    play_last_turns(game, held)
    before.restore()
    scores = game.outputs[last_turns(game)["d"].name]
    sign = -1 if game.energy_based else 1
    right, _ = ranking(sign * scores["real"].score, sign * scores["fake"].score)
    return 1 - right, math.hypot(*gradients_by_layer(game.generator).values())


def _looks(steps: int) -> set[int]:
    looks, at = {0, steps}, float(_FIRST)
    while at < steps:
        looks.add(round(at))
        at *= _FACTOR
    return looks
