"""Batches of a data set in memory: one gather and one normalisation each."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Loader(Protocol):
    """An iterable of batches (x, labels) or (x,) that can go on from where it was."""

    def __len__(self) -> int:
        """Batches of a pass."""

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """A pass."""

    def state_dict(self) -> dict[str, int]:
        """The position of a training stream."""

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from it."""


class TensorLoader:
    """An iterable of batches (x, labels), or (x,) when there are no labels.

    uint8 data u (N, C, H, W) comes out as u / 127.5 - 1, float32 in [-1, 1]; other data as it is.

    Without `shuffle`, each pass has all samples in their order; the last batch may be short.

    With `shuffle`, full batches are an endless stream: epoch after epoch without its incomplete last batch, order and
    flips functions of (seed, epoch) alone. The global random state is neither read nor changed. A pass takes `len`
    batches from the present position, so that the k-th batch of a run depends on k alone. `state_dict` is the position;
    after loading it the stream goes on with the next sample, also at another batch size or number of ranks.

    W ranks of batch_size B have the batches of one process of batch_size B * W: each is cut into W equal parts, the
    r-th for rank r. The last batch of an evaluation is shared as evenly as possible, no sample twice; a rank without
    any is one batch shorter.

    Args:
        data: (N, ...).
        labels: (N,), int64.
        batch_size: samples a batch, per rank.
        shuffle: for training.
        seed: of order and flips, in [0, 2**32).
        flip: mirror every image of an epoch left to right with probability 1/2.
        rank: this process.
        world_size: number of processes W.

    Raises:
        ValueError: the data do not fill one batch.
    """

    def __init__(
        self, data: Tensor, labels: Tensor | None = None, *, batch_size: int, shuffle: bool, seed: int = 0,
        flip: bool = False, rank: int = 0, world_size: int = 1,
    ) -> None:  # fmt: skip
        self.data, self.labels = data, labels
        self.shuffle, self.seed, self.flip = shuffle, seed, flip
        self.rank, self.world_size = rank, world_size
        self.global_batch = batch_size * world_size
        if len(self) == 0:
            needed = self.global_batch if shuffle else world_size
            raise ValueError(
                f"batch_size={batch_size} on {world_size} rank(s) needs {needed} samples, but "
                f"there are {len(data)}; lower batch_size or add data"
            )
        self._begin(epoch=0)

    def __len__(self) -> int:
        full, rest = divmod(len(self.data), self.global_batch)
        if self.shuffle:
            return full
        share = self._share(rest)
        return full + (share.stop > share.start)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if not self.shuffle:
            self._begin(epoch=0)
        for _ in range(len(self)):
            if self.shuffle and self._dealt + self.global_batch > len(self.data):
                self._begin(self._epoch + 1)
            rows = self._order[self._dealt : self._dealt + self.global_batch]
            self._dealt += self.global_batch
            yield self._batch(rows[self._share(len(rows))])

    def state_dict(self) -> dict[str, int]:
        """The epoch, and its samples so far over all ranks."""
        return {"epoch": self._epoch, "dealt": self._dealt}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the samples that `state` counts."""
        self._begin(state["epoch"])
        self._dealt = state["dealt"]

    def _begin(self, epoch: int) -> None:
        n = len(self.data)
        order, flips = (np.random.default_rng([self.seed, epoch, draw]) for draw in (0, 1))
        self._epoch, self._dealt = epoch, 0
        self._order = torch.from_numpy(order.permutation(n) if self.shuffle else np.arange(n))
        self._flips = torch.from_numpy(flips.integers(2, size=n, dtype=bool)) if self.flip else None

    def _share(self, n: int) -> slice:
        return slice(n * self.rank // self.world_size, n * (self.rank + 1) // self.world_size)

    def _batch(self, rows: Tensor) -> tuple[Tensor, ...]:
        x = self.data.index_select(0, rows)
        if self._flips is not None:
            mirrored = self._flips[rows]
            x[mirrored] = x[mirrored].flip(-1)
        if x.dtype == torch.uint8:
            x = normalised(x)
        return (x,) if self.labels is None else (x, self.labels.index_select(0, rows))


def normalised(images: Tensor) -> Tensor:
    """uint8 u as float32 u / 127.5 - 1, in [-1, 1]."""
    return images.to(torch.float32).div_(127.5).sub_(1.0)
