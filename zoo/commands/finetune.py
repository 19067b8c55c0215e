"""Train on your data from a trained GAN: finetune wgan_gp-fashion_mnist --data.root my_images.

The objective, the networks and the optimisers are those of the trained GAN; kimg, optimisers' states and the average's
warm-up begin anew. --data.root is a folder of images; --data takes a name of configs/data/ or a class. Images get the
size and the channels of its samples. All other options are those of `train`: --budget.kimg 100, -c FILE, ...
"""

import argparse

from zoo.cli.arguments import add_trained_gan

TAKES_MORE = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which GAN to start from."""
    add_trained_gan(parser)


def run(chosen: argparse.Namespace) -> None:
    """`python train.py fit` with the source's configuration and the other words."""
    from zoo.cli import main as cli
    from zoo.hub.finetune import words_of

    cli.main(["fit", *words_of(chosen.ref, chosen.rest, chosen.trust)])
