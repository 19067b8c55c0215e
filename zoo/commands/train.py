"""Train a GAN: train nsgan --data digits.

The first words are names of configs/, as nsgan, or paths of YAML files; later ones change earlier ones. --data takes a
name of configs/data/ or a class. All options of `python train.py fit`: --data.root D, --budget.kimg 100, -c FILE, ...
"""

import argparse
from collections.abc import Sequence

from zoo.cli.help import helped


def arguments(parser: argparse.ArgumentParser) -> None:
    """For the help alone; see :func:`train`."""
    parser.add_argument("config", nargs="*", help="of configs/, by name, or a YAML file")
    parser.add_argument("--data", metavar="NAME", help="of configs/data/, by name, or a class")


def run(chosen: argparse.Namespace) -> None:
    """Never reached: the command's words are those of `train.py fit`, which another parser reads."""
    raise AssertionError(chosen)


def train(words: Sequence[str], run: str) -> int:
    """`python train.py fit` with these words; `run` is how the command is typed, for its help."""
    if not helped(["fit", *words], run):
        from zoo.cli import main as cli

        cli.main(["fit", *words])
    return 0
