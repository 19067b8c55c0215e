"""`python -m zoo <command>`: what one does with a trained GAN."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zoo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    sample = commands.add_parser("sample", help="draw a grid of samples from a checkpoint")
    sample.add_argument("checkpoint", type=Path, help="a run's last.ckpt or best.ckpt")
    sample.add_argument("--n", type=_positive, default=64, help="how many (default: %(default)s)")
    sample.add_argument("--seed", type=int, default=0, help="same seed, same picture (default: %(default)s)")
    sample.add_argument("--columns", type=_positive, default=None, help="of the grid (default: near-square)")
    sample.add_argument("-o", "--output", type=Path, default=Path("samples.png"), help="(default: %(default)s)")
    sample.set_defaults(run=_sample)
    chosen = parser.parse_args(args)
    try:
        chosen.run(chosen)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _sample(chosen: argparse.Namespace) -> None:
    from zoo.hub.load import load
    from zoo.pictures import save_picture

    gan = load(chosen.checkpoint)
    path = save_picture(gan.sample(chosen.n, seed=chosen.seed), chosen.output, columns=chosen.columns)
    print(f"{chosen.n} samples of {type(gan).__name__} at {gan.kimg:g} kimg: {path}")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
