"""Draw a grid of samples from a trained GAN; a conditional one has a class a column."""

import argparse
from pathlib import Path

from zoo.cli.arguments import add_trained_gan, positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which GAN, and what picture."""
    add_trained_gan(parser)
    parser.add_argument("--n", type=positive, default=None, help="how many (default: 64, or whole rows of classes)")
    parser.add_argument("--class", type=int, dest="label", metavar="K", help="of this class alone, counted from 0")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same picture (default: %(default)s)")
    parser.add_argument(
        "--columns", type=positive, default=None, help="of the grid (default: one for each class, else near-square)"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("samples.png"), help="(default: %(default)s)")


def run(chosen: argparse.Namespace) -> None:
    """Load, sample, and save the picture."""
    from zoo.hub.pretrained import trained
    from zoo.run.pictures import class_grid, save_picture

    gan = trained(chosen.ref, trust=chosen.trust)
    n, columns = chosen.n or 64, None
    if chosen.label is None:
        whole, columns = class_grid(n, gan.num_classes)
        n = chosen.n or whole
    else:
        if gan.num_classes is None:
            raise ValueError(f"--class: {chosen.ref} is not conditional, its samples are of no class")
        if not 0 <= chosen.label < gan.num_classes:
            raise ValueError(f"--class: {chosen.ref} has the classes 0 to {gan.num_classes - 1}, got {chosen.label}")
    samples = gan.sample(n, seed=chosen.seed, labels=chosen.label)
    path = save_picture(samples, chosen.output, columns=chosen.columns or columns)
    print(f"{n} samples of {type(gan).__name__} at {gan.kimg:g} kimg: {path}")
