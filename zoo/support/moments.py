"""The moments in a checkpoint are compared with those of its optimisers, before native code takes them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.support.forms import ANYTHING, COUNT, NUMBER_OR_FLAG, SETTING, Rule, floats, misfit, short


def bring(
    checkpoint: Mapping[str, Any], players: Mapping[str, nn.Module], optimizers: Sequence[torch.optim.Optimizer]
) -> str | None:
    """Bring moments into the memory layout of these optimisers' own, which fused kernels do not look at.

    Args:
        checkpoint: with `game`, and `optimizer_states`, which change in place.
        players: each with its optimiser, which has not stepped.

    Returns:
        Where they are not those of such optimisers after a step; None where all are.
    """
    kept, counts = checkpoint.get("optimizer_states"), checkpoint["game"].get("moments", [None] * len(players))
    if not isinstance(kept, list) or not len(kept) == len(players) == len(counts):
        return f"optimizer_states must be one state for each of {', '.join(players)}"
    for (player, net), optimizer, state, count in zip(players.items(), optimizers, kept, counts, strict=True):
        at = f"optimizer_states: {player}"
        parameters = list(net.parameters())
        groups = [{"params": [COUNT], ...: SETTING}]
        found = misfit(state, {"state": ANYTHING, "param_groups": groups}, at)
        if found or not isinstance(state["state"], dict):
            return found or f"{at}.state must be of parameters, not {short(state['state'])}"
        fresh = optimizer.state_dict()["param_groups"]
        if [g["params"] for g in state["param_groups"]] != [g["params"] for g in fresh]:
            return f"{at}.param_groups are not of its {len(parameters)} parameters"
        if count not in (None, len(state["state"])):
            return f"{at}.state has moments of {len(state['state'])} parameters, and was written with {count}"
        stepped = _stepped(optimizer)
        for i, values in state["state"].items():
            if type(i) is not int or not 0 <= i < len(parameters):
                return f"{at}.state: {short(i)} is none of its {len(parameters)} parameters"
            like = stepped.get(i, {})
            if found := misfit(values, {key: _like(value) for key, value in like.items()}, f"{at}.state.{i}"):
                return f"{found}; the parameter is {tuple(parameters[i].shape)}"
            values |= {key: _laid(value, like[key]) for key, value in values.items()}
    return None


def _stepped(optimizer: torch.optim.Optimizer) -> Mapping[int, Mapping[str, Any]]:
    """What this optimiser keeps of each parameter, after a step of a copy of it."""
    tried = copy.deepcopy(optimizer)
    for group in tried.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    tried.step()
    return tried.state_dict()["state"]


def _like(value: Any) -> Rule:
    if isinstance(value, Tensor):
        return floats(*value.shape)
    return NUMBER_OR_FLAG if isinstance(value, int | float) else ANYTHING


def _laid(value: Any, like: Any) -> Any:
    """With the strides of `like`, if they are tensors."""
    if not isinstance(like, Tensor) or value.stride() == like.stride():
        return value
    return torch.empty_like(like, dtype=value.dtype).copy_(value)
