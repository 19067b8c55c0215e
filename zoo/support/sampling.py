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
    """The labels of n samples, (n,), int64, in turn unless `labels` are given; None without classes.

    Floats (n, num_classes) are weights of the classes, for a generator that mixes them.
    """
    if gan.num_classes is None:
        if labels is not None:
            raise ValueError(f"sample: {type(gan.generator).__name__} has no classes; leave labels out")
        return None
    if labels is None:
        return torch.arange(n) % gan.num_classes
    classes = torch.as_tensor(labels)
    if classes.is_floating_point() and classes.shape == (n, gan.num_classes):
        if not getattr(gan.generator, "mixes_classes", False):
            raise ValueError(f"sample: {type(gan.generator).__name__} takes whole classes, not weights of them")
        return classes
    if classes.shape not in {(), (n,)} or classes.is_floating_point() or classes.dtype == torch.bool:
        raise ValueError(f"sample: labels must be one class or {n} of them, got {tuple(classes.shape)} {classes.dtype}")
    if n and not 0 <= int(classes.min()) <= int(classes.max()) < gan.num_classes:
        raise ValueError(f"sample: labels must be in 0..{gan.num_classes - 1}, got {labels}")
    return classes.long().expand(n)


def truncated(z: Tensor, limit: float) -> Tensor:
    """Standard normal numbers as ones of the normal distribution cut off at ±`limit`, of the same shape.

    Φ⁻¹(Φ(-c) + (Φ(c) - Φ(-c)) Φ(z)), c the limit: the truncation trick of Brock, Donahue & Simonyan 2019, "Large Scale
    GAN Training for High Fidelity Natural Image Synthesis", section 3.1, for fewer kinds of better samples.

    Deviations: there the numbers beyond c are drawn again, which has the same distribution; here each number is mapped,
    so that the samples of a seed change little by little with c.

    Raises:
        ValueError: `limit` is not positive.
    """
    if not limit > 0:
        raise ValueError(f"truncation must be positive, got {limit}")
    low, high = torch.special.ndtr(torch.tensor([-limit, limit], dtype=torch.float64))
    return torch.special.ndtri(low + (high - low) * torch.special.ndtr(z.double())).to(z)
