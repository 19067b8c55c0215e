"""Say what is wrong with a trained GAN, and whether its loss teaches G where D is sure.

The data are those of the run; else -c configs/data/<set>.yaml, and --data.<argument> as for train.py.
"""

import argparse
from pathlib import Path

from zoo.cli.arguments import add_trained_gan, positive

TAKES_MORE = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which GAN, and how closely to look."""
    add_trained_gan(parser)
    parser.add_argument("--retrain-d", action="store_true", help="train a fresh D against the frozen generator too")
    parser.add_argument("--steps", type=positive, default=300, help="of that D (default: %(default)s)")
    parser.add_argument("--n", type=positive, default=1000, help="samples and images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=None, help="write all numbers to this file")


def run(chosen: argparse.Namespace) -> None:
    """Print what was found, and write the file if one is asked for."""
    from zoo.cli.data import data_module
    from zoo.diagnostics.report import diagnose
    from zoo.hub.evaluate import refuse_other_images
    from zoo.hub.pretrained import trained

    data = data_module(chosen.rest, chosen.ref)
    gan = trained(chosen.ref, trust=chosen.trust, prefer="last")
    refuse_other_images(chosen.ref, gan, data)
    found = diagnose(
        gan, chosen.ref, data, n=chosen.n, seed=chosen.seed, retrain_d=chosen.retrain_d, steps=chosen.steps
    )
    print(found)
    if chosen.json is not None:
        chosen.json.write_text(found.as_json(), encoding="utf-8")
