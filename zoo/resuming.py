"""What a run goes on with beside its networks, optimisers and counters: without it, it would go on otherwise.

These are the last values of the log, which stand until their turn comes again; D's last scores, which a dynamics goes
by while D waits; what callbacks can monitor; and the global random generators, which a network of one's own may draw
from. `keep` is called on every rank; the ranks' values and scores are saved as one, their generators one by one.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zoo import ranks
from zoo.types import Verdict

if TYPE_CHECKING:
    from zoo.engine import Engine

KEPT = ("latest", "scores", "metrics", "generators")


def keep(gan: Engine) -> dict[str, Any]:
    """What `take_back` needs, as tensors and plain values."""
    return {
        "latest": {k: ranks.mean(v) if isinstance(v, Tensor) else v for k, v in gan.latest.items()},
        "scores": {
            turn: {role: ranks.gather(verdict.score) for role, verdict in said.items()}
            for turn, said in gan.verdicts.items()
        },
        "metrics": dict(gan.trainer.callback_metrics),
        "generators": ranks.collect(generators(gan.device)),
    }


def take_back(gan: Engine, kept: dict[str, Any]) -> None:
    """Go on as if nothing had been; on another number of ranks the generators stay as they are."""
    here, of = gan.trainer.global_rank, gan.trainer.world_size
    gan.latest = {k: v.to(gan.device) if isinstance(v, Tensor) else v for k, v in kept["latest"].items()}
    gan.verdicts = {
        turn: {role: Verdict(score.tensor_split(of)[here].to(gan.device), {}) for role, score in said.items()}
        for turn, said in kept["scores"].items()
    }
    if len(kept["generators"]) == of:
        restore_generators(kept["generators"][here], gan.device)


def generators(device: torch.device) -> dict[str, Any]:
    """The states of this process's global generators."""
    version, words, python_gauss = random.getstate()
    numpy: dict[str, Any] = np.random.get_state(legacy=False)
    states = {
        "torch": torch.get_rng_state(),
        "python": (version, torch.tensor(words), python_gauss),
        "numpy": {
            **numpy,
            "state": {**numpy["state"], "key": torch.from_numpy(numpy["state"]["key"].astype(np.int64))},
        },
    }
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def restore_generators(states: dict[str, Any], device: torch.device) -> None:
    """Put them back."""
    torch.set_rng_state(states["torch"])
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    numpy = states["numpy"]
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": numpy["state"]["key"].numpy().astype(np.uint32)}})
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
