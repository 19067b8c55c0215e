"""Samples of a GAN, in parts: latents from a seed, classes of a conditional generator, evaluation mode."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from zoo.noise import Noise
from zoo.support.freezing import evaluating
from zoo.types import Game

Labels: TypeAlias = Tensor | Sequence[int] | int | None


@torch.no_grad()
def stream(
    gan: Game, n: int, seed: int | None, z: Tensor | None, labels: Labels, rows: slice, chunk: int
) -> Iterator[Tensor]:
    """The chosen rows of n samples, in parts of at most `chunk`; see `GAN.sample`."""
    if z is None:
        z = gan.sample_latent(n, Noise(int(torch.randint(2**62, ())) if seed is None else seed))
    elif len(z) != n:
        raise ValueError(f"sample: z has {len(z)} rows, n is {n}")
    classes = classes_of(gan, n, labels)
    z, classes = z[rows].to(gan.device), None if classes is None else classes[rows].to(gan.device)
    for i in range(0, len(z), chunk):
        with evaluating(gan.generator if gan.generator_ema is None else gan.generator_ema):
            made = gan.generate(z[i : i + chunk], None if classes is None else classes[i : i + chunk], ema=True)
        yield made


def classes_of(gan: Game, n: int, labels: Labels) -> Tensor | None:
    """The labels of n samples, (n,), int64, in turn unless `labels` are given; None without classes."""
    if gan.num_classes is None:
        if labels is not None:
            raise ValueError(f"sample: {type(gan.generator).__name__} has no classes; leave labels out")
        return None
    if labels is None:
        return torch.arange(n) % gan.num_classes
    classes = torch.as_tensor(labels)
    if classes.shape not in {(), (n,)} or classes.is_floating_point() or classes.dtype == torch.bool:
        raise ValueError(f"sample: labels must be one class or {n} of them, got {tuple(classes.shape)} {classes.dtype}")
    if n and not 0 <= int(classes.min()) <= int(classes.max()) < gan.num_classes:
        raise ValueError(f"sample: labels must be in 0..{gan.num_classes - 1}, got {labels}")
    return classes.long().expand(n)
