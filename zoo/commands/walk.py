"""Make a film of samples while their latents move from one random point to the next and back to the first."""

import argparse
from pathlib import Path

from zoo.cli.arguments import add_trained_gan, check_class, positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which GAN, which latents, and how long."""
    add_trained_gan(parser)
    parser.add_argument("--n", type=positive, default=16, help="samples side by side (default: %(default)s)")
    parser.add_argument("--class", type=int, dest="label", metavar="K", help="of this class alone, counted from 0")
    parser.add_argument(
        "--to", type=int, nargs="+", default=[], metavar="K",
        help="from --class to these classes in turn, and back to it at the end; with --stops 1 latents stay",
    )  # fmt: skip
    parser.add_argument("--stops", type=positive, default=4, help="latents to pass through (default: %(default)s)")
    parser.add_argument("--frames", type=positive, default=24, help="from stop to stop (default: %(default)s)")
    parser.add_argument("--fps", type=float, default=12, help="frames per second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the latents (default: %(default)s)")
    parser.add_argument("--columns", type=positive, default=None, help="of the grid (default: near-square)")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("walk.webp"),
        help=".webp, .gif, .png, or a folder of frames (default: %(default)s)",
    )  # fmt: skip


def run(chosen: argparse.Namespace) -> None:
    """Load, walk, and save the film."""
    from zoo.hub.pretrained import trained
    from zoo.run.films import of_walk, save_film, walk

    if chosen.to and chosen.label is None:
        raise ValueError("--to: the film starts at a class; name it with --class")
    gan = trained(chosen.ref, trust=chosen.trust)
    check_class(gan, chosen.ref, chosen.label, *chosen.to)
    labels = [chosen.label, *chosen.to] if chosen.to else chosen.label
    frames = walk(gan, chosen.n, stops=chosen.stops, frames=chosen.frames, seed=chosen.seed, labels=labels)
    path = save_film(of_walk(frames, chosen.columns), chosen.output, chosen.fps)
    count = chosen.stops * chosen.frames
    print(f"{count} frames of {chosen.n} samples of {type(gan).__name__} at {gan.kimg:g} kimg: {path}")
