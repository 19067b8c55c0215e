"""Draw a grid of samples from a trained GAN."""

import argparse
from pathlib import Path

from zoo.arguments import positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which GAN, and what picture."""
    parser.add_argument("ref", help="a run's last.ckpt or best.ckpt, a published folder, or a name of the catalogue")
    parser.add_argument("--n", type=positive, default=64, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same picture (default: %(default)s)")
    parser.add_argument("--columns", type=positive, default=None, help="of the grid (default: near-square)")
    parser.add_argument("-o", "--output", type=Path, default=Path("samples.png"), help="(default: %(default)s)")


def run(chosen: argparse.Namespace) -> None:
    """Load, sample, and save the picture."""
    from zoo.hub.pretrained import trained
    from zoo.pictures import save_picture

    gan = trained(chosen.ref)
    path = save_picture(gan.sample(chosen.n, seed=chosen.seed), chosen.output, columns=chosen.columns)
    print(f"{chosen.n} samples of {type(gan).__name__} at {gan.kimg:g} kimg: {path}")
