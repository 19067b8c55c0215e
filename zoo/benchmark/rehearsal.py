"""A command line of `train.py fit`, taken up to the fit and no further."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import yaml
from lightning.pytorch import LightningDataModule

from zoo.cli.main import ZooCLI, main
from zoo.gan import GAN


@dataclass(frozen=True)
class Rehearsal:
    """What a run would be."""

    variant: str
    dataset: str
    config: dict[str, Any]  # as the run's config.yaml will have it, but for default_root_dir
    gan: GAN
    data: LightningDataModule


class _Rehearsing(ZooCLI):
    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The only one that is asked for: a parser takes a second to build."""
        return {"fit": ZooCLI.subcommands()["fit"]}

    def _run_subcommand(self, subcommand: str) -> None:
        """Stop short of it."""


def rehearse(options: Sequence[str]) -> Rehearsal:
    """Parse the options and build networks, data and trainer; nothing is read, trained or left behind.

    Raises:
        ValueError: with the line that `train.py` would end with.
    """
    with unheard() as said, _environment_kept(), tempfile.TemporaryDirectory() as folder:
        try:
            cli = main(["fit", *options, f"--trainer.default_root_dir={folder}"], _Rehearsing)
        except SystemExit:
            last = said.getvalue().strip().splitlines()[-1]
            raise ValueError(last.removeprefix("error: ")) from None
    assert isinstance(cli.model, GAN)
    config = yaml.safe_load(cli.run.config_text)
    return Rehearsal(cli.run.variant, cli.run.dataset, config, cli.model, cli.datamodule)


@contextmanager
def unheard() -> Iterator[StringIO]:
    """Nothing reaches the terminal; what would have is yielded, but for Lightning's news, which go nowhere."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    said = StringIO()
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with redirect_stderr(said), redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _environment_kept() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
