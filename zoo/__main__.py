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
    evaluate = commands.add_parser(
        "evaluate",
        help="score a checkpoint against a data set",
        epilog="The data: -c configs/data/<set>.yaml, and --data.<argument> as for train.py.",
    )
    evaluate.add_argument("checkpoint", type=Path, help="a run's last.ckpt or best.ckpt")
    evaluate.add_argument(
        "--metrics", default="fd,kd,is,prdc", help="of fd, kd, is, prdc, fid, kid (default: %(default)s)"
    )
    evaluate.add_argument("--n", type=_positive, default=10_000, help="images and samples (default: %(default)s)")
    evaluate.add_argument("--features", default=None, help="pixels8, fashion-cnn, ... (default: what suits the data)")
    evaluate.add_argument("--split", choices=("train", "val", "test"), default="val", help="(default: %(default)s)")
    evaluate.add_argument("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    evaluate.add_argument("--json", type=Path, default=None, help="write scores and all they depend on to this file")
    evaluate.set_defaults(run=_evaluate)
    chosen, rest = parser.parse_known_args(args)
    if rest and chosen.command != "evaluate":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    chosen.rest = rest
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


def _evaluate(chosen: argparse.Namespace) -> None:
    from zoo.hub.evaluate import as_json, data_module, evaluate, table

    measured = evaluate(
        chosen.checkpoint, data_module(chosen.rest), scores=chosen.metrics.split(","), n=chosen.n,
        split=chosen.split, features=chosen.features, seed=chosen.seed,
    )  # fmt: skip
    print(table(measured))
    if chosen.json is not None:
        chosen.json.write_text(as_json(measured))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
