"""Batches of tar shards, read and decoded in worker processes."""

from __future__ import annotations

import random
import signal
import warnings
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .decoding import FORMATS, read_image
from .loader import normalised

Sample = dict[str, Any]  # "__key__", "__url__", and an extension to a file's bytes for each file


@dataclass(frozen=True)
class Decoder:
    """From a sample to its pixels and label.

    Args:
        image_shape: (C, H, W).
        num_classes: labels are below it; None reads none.
        value_range: see `zoo.datamodules.ImageFolder`.
    """

    image_shape: tuple[int, ...]
    num_classes: int | None = None
    value_range: tuple[int, int] | None = None

    def __call__(self, sample: Sample) -> tuple[Tensor, int]:
        """Pixels, uint8 (C, H, W), and the label, 0 where none is read.

        Raises ValueError, with the shard and the key, for a sample that has no image or no label that can be read.
        """
        try:
            image = next((sample[name[1:]] for name in FORMATS if name[1:] in sample), None)
            if image is None:
                raise ValueError(f"no image among {sorted(name for name in sample if name[:2] != '__')}")
            pixels, _ = read_image(BytesIO(image), self.image_shape, self.value_range)
            label = 0
            if self.num_classes is not None:
                if "cls" not in sample:
                    raise ValueError("no label: a file .cls with its digits")
                label = int(sample["cls"])
                if not 0 <= label < self.num_classes:
                    raise ValueError(f"label {label} must lie in [0, {self.num_classes}), see num_classes")
        except Exception as error:  # a broken file makes Pillow raise almost anything
            why = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"Shards: {sample['__url__']}: {sample['__key__']}: {why}") from None
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy()), label


def samples_of(shards: Iterable[Path]) -> Iterator[Sample]:
    """The undecoded samples of some shards, in order.

    Raises ValueError for a file that is no whole tar file.
    """
    from webdataset.tariterators import tarfile_samples

    for shard in shards:
        try:
            yield from tarfile_samples([{"url": str(shard)}])
        except Exception as error:
            raise ValueError(f"Shards: {shard}: {error}") from None


class ShardLoader:
    """An iterable of batches (x, labels), or (x,) without classes: x float32 (N, C, H, W) in [-1, 1].

    An endless stream of full batches, epoch after epoch; see `zoo.datamodules.Shards`. A pass takes `len` batches from
    the present position, which `state_dict` has, so that the k-th batch of a run depends on k alone. Without `shuffle`
    every pass has the shards in order, from the first sample on.

    Args:
        shards: tar files.
        counts: samples of each.
        decoder: of samples.
        batch_size: samples a batch, per rank.
        num_workers: processes of this rank that read and decode; 0 does it in this process.
        buffer: samples of a worker to draw the next one from.
        shuffle: for training.
        seed: of orders and flips.
        flip: mirror every image of an epoch left to right with probability 1/2.
        rank: this process.
        world_size: number of processes.

    Raises:
        ValueError: the samples do not fill one batch.
    """

    def __init__(
        self, shards: Sequence[Path], counts: Sequence[int], decoder: Decoder, *, batch_size: int, num_workers: int,
        buffer: int, shuffle: bool, seed: int = 0, flip: bool = False, rank: int = 0, world_size: int = 1,
    ) -> None:  # fmt: skip
        self.shards, self.counts, self.decoder = list(shards), list(counts), decoder
        self.batch_size, self.num_workers, self.buffer = batch_size, num_workers, buffer
        self.shuffle, self.seed, self.flip, self.rank, self.world_size = shuffle, seed, flip, rank, world_size
        self._batches = sum(counts) // (batch_size * world_size)  # of an epoch
        if not self._batches:
            raise ValueError(
                f"batch_size={batch_size} on {world_size} rank(s) needs {batch_size * world_size} samples, but there "
                f"are {sum(counts)}; lower batch_size or add data"
            )
        self._open: list[Iterator[tuple[Tensor, Tensor] | str]] = []  # the rest of the epoch, once begun
        weakref.finalize(self, self._open.clear)  # at exit too, before Python ends the workers by a signal
        self._go_to(epoch=0, batch=0)

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if not self.shuffle:
            self._go_to(epoch=0, batch=0)
        for _ in range(len(self)):
            if self._batch == self._batches:
                self._go_to(self._epoch + 1, batch=0)
            batch = next(self._rest())
            if isinstance(batch, str):
                raise ValueError(batch)
            self._batch += 1
            if self._batch == self._batches:
                self._open.clear()  # which ends the workers
            images, labels = batch
            yield (normalised(images),) if self.decoder.num_classes is None else (normalised(images), labels)

    def state_dict(self) -> dict[str, int]:
        """The epoch, its samples so far over all ranks, and the numbers on which their order depends."""
        dealt = self._batch * self.batch_size * self.world_size
        return {"epoch": self._epoch, "dealt": dealt, **self._layout()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the samples that `state` counts, or with the next epoch if their order was another one."""
        if not state["dealt"] or self._layout().items() <= state.items():
            self._go_to(state["epoch"], state["dealt"] // (self.batch_size * self.world_size))
            return
        was, now = (", ".join(f"{k}={state[k]}" for k in self._layout()) for state in (state, self._layout()))
        warnings.warn(
            f"Shards: the order of the images depends on the layout, which was {was} and is {now}: the rest of epoch "
            f"{state['epoch']} is left out",
            stacklevel=2,
        )
        self._go_to(state["epoch"] + 1, batch=0)

    def _layout(self) -> dict[str, int]:
        return {"batch_size": self.batch_size, "num_workers": self.num_workers, "ranks": self.world_size}

    def _go_to(self, epoch: int, batch: int) -> None:
        self._epoch, self._batch = epoch, batch
        self._open.clear()

    def _rest(self) -> Iterator[tuple[Tensor, Tensor] | str]:
        """The rest of the epoch; begun once."""
        if not self._open:
            loader = DataLoader(
                _Epoch(self, self._epoch, self._batch), batch_size=None, num_workers=self.num_workers,
                worker_init_fn=_ignore_signals, generator=torch.Generator(),  # the global one stays as it is
            )  # fmt: skip
            self._open.append(iter(loader))
        return self._open[0]


class _Epoch(IterableDataset):
    """Batches of a rank, from number `first` of an epoch on: uint8 images and labels, or what went wrong, in one line.

    The batches of the epoch are dealt to the workers in turn, as DataLoader collects them: number i is the one of part
    i % workers.
    """

    def __init__(self, of: ShardLoader, epoch: int, first: int) -> None:
        order = np.random.default_rng([of.seed, epoch]).permutation(len(of.shards))
        order = order if of.shuffle else np.arange(len(of.shards))
        self.shards, self.counts = [of.shards[i] for i in order], [of.counts[i] for i in order]
        self.decoder, self.batch_size, self.rank = of.decoder, of.batch_size, of.rank
        self.buffer, self.flip, self.seed = of.buffer if of.shuffle else 1, of.flip, of.seed
        self.epoch, self.first, self.batches = epoch, first, len(of)
        self.workers = max(of.num_workers, 1)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor] | str]:
        worker = get_worker_info()
        try:
            yield from self._part((self.first + (worker.id if worker else 0)) % self.workers)
        except Exception as error:  # DataLoader would show a traceback of another process
            yield str(error)

    def _part(self, part: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one worker."""
        from webdataset.filters import shuffle

        size, parts = self.batch_size, [len(range(k, self.batches, self.workers)) for k in range(self.workers)]
        start, n = size * (self.rank * self.batches + sum(parts[:part])), size * parts[part]
        seeds = [self.seed, self.epoch, self.rank, part]
        mirrored = np.random.default_rng([1, *seeds]).integers(2, size=n, dtype=bool) & self.flip
        mixed = shuffle(self.buffer, initial=self.buffer, rng=random.Random(str(seeds)))(self._undecoded(start, n))
        done = size * len(range(part, self.first, self.workers))
        samples = zip(islice(mixed, done, None), mirrored[done:], strict=True)
        while batch := list(islice(samples, size)):
            images, labels = zip(*(self.decoder(sample) for sample, _ in batch), strict=True)
            flips = torch.tensor([flip for _, flip in batch])
            x = torch.stack(images)
            x[flips] = x[flips].flip(-1)
            yield x, torch.tensor(labels)

    def _undecoded(self, start: int, n: int) -> Iterator[Sample]:
        """`n` samples of the epoch, from number `start` on."""
        ends = np.cumsum(self.counts)
        first = int(np.searchsorted(ends, start, side="right"))
        before = start - int(ends[first] - self.counts[first])
        found = 0
        for sample in islice(samples_of(self.shards[first:]), before, before + n):
            found += 1
            yield sample
        if found < n:
            raise ValueError("Shards: there are fewer samples than were counted; remove none while they are read")


def _ignore_signals(worker: int) -> None:
    """What a terminal or a cluster sends to all processes stops the main one, which needs its workers until then."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
