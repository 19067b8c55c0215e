"""Sample from a trained GAN: a grid, a folder of images, or an array.

-o grid.png, .jpg or .webp is one picture, in which a conditional GAN has a class a column; -o folder/ has one PNG for
each sample; -o samples.npz or .npy is an array, uint8 (N, H, W, C), or float32 (N, 2) for points.
"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zoo.cli.arguments import add_trained_gan, check_class, positive

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.gan import GAN


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which GAN, how many samples, and where to."""
    add_trained_gan(parser)
    parser.add_argument(
        "--n", type=positive, default=None, help="how many (default: 64, or whole rows of classes; 2,500 points)"
    )
    parser.add_argument("--class", type=int, dest="label", metavar="K", help="of this class alone, counted from 0")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same samples (default: %(default)s)")
    parser.add_argument(
        "--truncation", type=float, default=None, metavar="C", help="draw z from the normal distribution cut off at ±C"
    )
    parser.add_argument(
        "--columns", type=positive, default=None, help="of a grid (default: one for each class, else near-square)"
    )
    parser.add_argument(
        "-o", "--output", default="samples.png", help="a picture, a folder or an array (default: %(default)s)"
    )


def run(chosen: argparse.Namespace) -> None:
    """Load, sample, and write."""
    from zoo.hub.pretrained import trained
    from zoo.run.pictures import class_grid
    from zoo.run.sample_files import kind_of, write_samples
    from zoo.support.sampling import classes_of

    kind = kind_of(chosen.output)
    if chosen.columns is not None and kind != "grid":
        raise ValueError(f"--columns: {chosen.output} is not a grid, which alone has columns")
    gan = trained(chosen.ref, trust=chosen.trust)
    check_class(gan, chosen.ref, chosen.label)
    n, columns = chosen.n or 64, chosen.columns
    if gan.sample(1, seed=0).ndim == 2:
        n = chosen.n or 2_500
    elif chosen.label is None:
        whole, by_class = class_grid(n, gan.num_classes)
        n, columns = chosen.n or whole, columns or by_class
    labels = classes_of(gan, n, chosen.label)
    z = latents(gan, n, chosen.seed, chosen.truncation)
    path = write_samples(samples(gan, n, z, labels), n, chosen.output, columns=columns, labels=labels)
    print(f"{n} samples of {type(gan).__name__} at {gan.kimg:g} kimg: {path}")


def latents(gan: "GAN", n: int, seed: int, truncation: float | None) -> "Tensor":
    """z (n, latent_dim) of a seed; ValueError for a truncation of latents that are not normal."""
    from zoo.gan import GAN
    from zoo.noise import Noise
    from zoo.support.sampling import truncated

    z = gan.sample_latent(n, Noise(seed))
    if truncation is None:
        return z
    if type(gan).sample_latent is not GAN.sample_latent:
        raise ValueError(f"--truncation: the latents of {type(gan).__name__} are not normal")
    return truncated(z, truncation)


def samples(gan: "GAN", n: int, z: "Tensor", labels: "Tensor | None") -> Iterator["Tensor"]:
    """In parts, with a bar where they take longer than a second."""
    from tqdm import tqdm

    with tqdm(total=n, unit="sample", delay=1, disable=None) as bar:
        for part in gan.stream(n, z=z, labels=labels):
            yield part
            bar.update(len(part))
