"""Recommend a recipe and a budget for a data set: advise -c configs/data/digits.yaml --minutes 30.

The data are measured, a step of the recipe is timed here, and the rest is read off the catalogue; each line says what
it rests on. --data.<argument> as for train.py.
"""

import argparse

from zoo.cli.arguments import positive

TAKES_MORE = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """How long the training may take."""
    parser.add_argument("--minutes", type=positive, default=30, help="of training (default: %(default)s)")


def run(chosen: argparse.Namespace) -> None:
    """Print the advice."""
    from zoo.cli.data import data_module
    from zoo.hub import catalogue
    from zoo.hub.advise import advise

    print(advise(data_module(chosen.rest), chosen.rest, chosen.minutes, catalogue.entries()))
