"""Resolve a command line of `train.py fit` without training."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import yaml
from lightning.pytorch import LightningDataModule

from zoo.cli.main import ZooCLI, main
from zoo.cli.quiet import silence
from zoo.gan import GAN


@dataclass(frozen=True)
class Resolved:
    """A run before its first batch."""

    variant: str
    dataset: str
    config: dict[str, Any]  # the run's config.yaml, but for trainer.default_root_dir
    gan: GAN
    data: LightningDataModule


class Unplayed(ZooCLI):
    """A command line that stops before the fit."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing."""


def resolve(options: Sequence[str]) -> Resolved:
    """Parse the options and build networks, data and trainer; nothing is read, trained or left behind.

    Raises:
        ValueError: with the line that `train.py` would end with.
    """
    with silence() as output, patch.dict(os.environ), tempfile.TemporaryDirectory() as folder:
        try:
            cli = main(["fit", *options, f"--trainer.default_root_dir={folder}"], Unplayed)
        except SystemExit:
            raise ValueError(output.getvalue().strip().splitlines()[-1].removeprefix("error: ")) from None
    config = yaml.safe_load(cli.run.config_text)
    return Resolved(cli.run.variant, cli.run.dataset, config, cli.model, cli.datamodule)
