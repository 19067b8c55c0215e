"""Score a trained GAN against a data set.

The data are those of the run; else -c configs/data/<set>.yaml, and --data.<argument> as for train.py.
"""

import argparse
from pathlib import Path

from zoo.cli.arguments import add_trained_gan, positive

TAKES_MORE = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which GAN, which scores, and of how much."""
    add_trained_gan(parser)
    parser.add_argument(
        "--metrics",
        default="fd,kd,is,prdc",
        help="of fd, fd_inf, kd, is, prdc, authpct, fid, fid_inf, kid (default: %(default)s)",
    )
    parser.add_argument("--n", type=positive, default=10_000, help="images and samples (default: %(default)s)")
    parser.add_argument("--features", default=None, help="pixels8, fashion-cnn, ... (default: what suits the data)")
    parser.add_argument("--split", choices=("train", "val", "test"), default="val", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=None, help="write scores and all they depend on to this file")


def run(chosen: argparse.Namespace) -> None:
    """Print a table, and write the file if one is asked for."""
    from zoo.cli.data import data_module
    from zoo.hub.evaluate import as_json, evaluate, table

    measured = evaluate(
        chosen.ref, data_module(chosen.rest, chosen.ref), scores=chosen.metrics.split(","), n=chosen.n,
        split=chosen.split, features=chosen.features, seed=chosen.seed, trust=chosen.trust,
    )  # fmt: skip
    print(table(measured))
    if chosen.json is not None:
        chosen.json.write_text(as_json(measured), encoding="utf-8")
