"""Random numbers as a function of (seed, step, draw, global sample index).

Latents, interpolation weights and perturbations all come from here. No generator state is saved: the same (seed, step,
draw) gives the same numbers after a resume, and each rank takes its own rows, so that they do not depend on the number
of ranks. Draws are counted over all moves of a batch.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

_MASK = (1 << 64) - 1


def mix(*words: int) -> int:
    """One well-spread key in [0, 2**63) from several integers (SplitMix64, Steele et al. 2014).

    torch's generator on a CPU keeps the low 32 bits of it: two draws are the same with probability 2**-32.
    """
    state = 0
    for word in words:
        state = (state + word + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


class Noise:
    """A stream of keyed draws; `begin(step)` sets it to the first draw of a step.

    Args:
        seed: names the whole stream.
        rank: this process; it reads rows `rank * n` to `(rank + 1) * n` of the global draw.
        world_size: number of processes, each asking for the same number of rows.
        device: where the numbers are made. A CPU and a GPU make different numbers from one key.
    """

    def __init__(self, seed: int, *, rank: int = 0, world_size: int = 1, device: torch.device | str = "cpu") -> None:
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self._generator = torch.Generator(device)
        self._shared = 0
        self.begin(0)

    def begin(self, step: int) -> None:
        """Start the draws of `step`."""
        self._step, self._draw = step, 0

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal, of `shape` (n, ...): the rows of this rank's n samples."""
        return self._mine(self._global(shape, dtype).normal_(generator=self._next()), shape[0])

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform on [0, 1), of `shape` (n, ...): the rows of this rank's n samples."""
        return self._mine(self._global(shape, dtype).uniform_(generator=self._next()), shape[0])

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Inside, draws as usual; what is drawn after it begins with the same draws again."""
        before = self._draw
        try:
            yield
        finally:
            self._draw = before

    @contextmanager
    def sharing(self, rows: int) -> Iterator[None]:
        """Inside, the first `rows` rows of each draw are the same on every rank, for a reference batch."""
        before, self._shared = self._shared, rows
        try:
            yield
        finally:
            self._shared = before

    def _next(self) -> torch.Generator:
        self._generator.manual_seed(mix(self.seed, self._step, self._draw))
        self._draw += 1
        return self._generator

    def _global(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        rows = self._shared + (shape[0] - self._shared) * self.world_size
        return torch.empty(rows, *shape[1:], dtype=dtype, device=self._generator.device)

    def _mine(self, full: Tensor, n: int) -> Tensor:
        if len(full) == n:
            return full
        own = n - self._shared
        mine = full[self._shared + self.rank * own :][:own]
        return torch.cat([full[: self._shared], mine]) if self._shared else mine


def generator_states(device: torch.device) -> dict[str, Any]:
    """The states of this process's global generators, from which a network of one's own may draw."""
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
