"""Refusals when a game is built: losses, networks and settings that do not go together."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import nn

from zoo.types import Game


def check_losses(objective: type, base: type) -> None:
    """Refuse, with a TypeError, an objective, below `base`, without a loss or the terms that would use it."""
    for loss, terms in (("d_loss", "d_terms"), ("g_loss", "g_terms")):
        if all(getattr(objective, method) is getattr(base, method) for method in (loss, terms)):
            raise TypeError(f"{objective.__name__}: define {loss}, or override {terms}")


def check_networks(game: Game) -> None:
    """Refuse, with a ValueError, networks that do not go with the objective or with each other."""
    name, g, d = type(game).__name__, game.generator, game.discriminator
    for kind, needed, yes, no in (
        ("energy", game.energy_based, "an autoencoder (zoo.backbones.Autoencoder)", "scores, not energies"),
        ("paired", game.paired, "one of pairs (x, z) (zoo.backbones.PairDiscriminator)", "one of x alone"),
    ):
        if getattr(d, kind, False) != needed:
            needs = yes if needed else no
            raise ValueError(f"{name} cannot use {type(d).__name__} as its discriminator: it needs {needs}")
    if not isinstance(getattr(g, "latent_dim", None), int):
        raise ValueError(f"{name}: {type(g).__name__} must have latent_dim, the width of its z, as an int")
    mine, other = getattr(g, "num_classes", None), getattr(d, "num_classes", None)
    if mine != other:
        raise ValueError(f"{name}: num_classes is {mine} for the generator and {other} for the discriminator")


def check_parts(game: Game, compiled: bool) -> None:
    """Refuse, with a ValueError, a compiled game with a double backward pass, and a classifier that nothing trains."""
    if getattr(game.discriminator, "label", None) == "classifier" and not any(s.classifies for s in game.stabilizers):
        raise ValueError(
            f"{type(game).__name__}: the discriminator's label is classifier, and no loss would train it; "
            "add zoo.stabilizers.AuxiliaryClassifier to the stabilizers"
        )
    twice = [
        type(part).__name__ for part in (game, *game.dynamics.modules(), *game.stabilizers) if part.double_backward
    ]
    if compiled and twice:
        raise ValueError(
            f"{type(game).__name__}: compile cannot be used with {', '.join(twice)}: torch.compile has no second "
            "derivatives"
        )


def check_schedule(schedule: Any, place: str) -> None:
    """Refuse what is no function of kimg, with a ValueError."""
    if schedule is None:
        return
    if not callable(schedule) or isinstance(schedule, type | torch.optim.lr_scheduler.LRScheduler):
        raise ValueError(
            f"{place} must be a function of kimg, as Linear, Step and Cosine of zoo.schedules, got {schedule!r:.80}"
        )


def check_optimizer(make: OptimizerCallable, place: str, *, betas: bool) -> None:
    """Refuse impossible settings now, rather than when training begins, with a ValueError.

    `betas`: whether β₂ is to follow a schedule.
    """
    tried = nn.Parameter(torch.zeros(1, device="cpu"))
    try:
        made = make([tried])
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    for key, value in made.param_groups[0].items():
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, float) and not abs(number) < 1e12 for number in numbers):
            raise ValueError(f"{place}: {key} is {value}; it must be finite, and below 1e12")
    if betas and "betas" not in made.param_groups[0]:
        raise ValueError(f"{place}: {type(made).__name__} has no β₂ for beta2_scheduler; use zoo.optim.Adam or AdamW")
    closure = signature(made.step).parameters.get("closure")
    if closure is not None and closure.default is Parameter.empty:
        raise ValueError(
            f"{place}: {type(made).__name__} evaluates the loss again within a step, and a move has one evaluation; "
            "use zoo.optim.Adam, or AdamW, RMSprop or SGD of torch.optim"
        )
    tried.grad = torch.zeros_like(tried)
    try:
        with torch.device("cpu"):  # the game itself may be planned on the meta device
            made.step()
    except RuntimeError as error:
        raise ValueError(f"{place}: {error}") from None
