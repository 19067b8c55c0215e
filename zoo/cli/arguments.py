"""Types of command line arguments."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.gan import GAN

REF = "a run's folder or .ckpt, latest (the last run in runs/), a name of the catalogue, or a published folder"


def add_trained_gan(parser: argparse.ArgumentParser, name: str = "ref") -> None:
    """Declare the reference to a trained GAN, and which modules may be imported to build it."""
    parser.add_argument(name, help=REF)
    parser.add_argument(
        "--trust", action="append", type=_module, default=[], metavar="MODULE",
        help="import this module of yours, as mynets, if the run names it",
    )  # fmt: skip


def check_class(gan: GAN, ref: str, *classes: int | None) -> None:
    """ValueError for a class where `ref` has none, or not this one; None is no class."""
    for label in classes:
        if label is None:
            continue
        if gan.num_classes is None:
            raise ValueError(f"--class: {ref} is not conditional, its samples are of no class")
        if not 0 <= label < gan.num_classes:
            raise ValueError(f"--class: {ref} has the classes 0 to {gan.num_classes - 1}, got {label}")


def check_module(name: str) -> str:
    """The name of a module; ValueError for anything else, as a file or a class's path with a slash."""
    if all(part.isidentifier() for part in name.split(".")) and not name.endswith(".py"):
        return name
    stem = re.split(r"[/\\]", name.rstrip("/\\"))[-1].removesuffix(".py")
    how = f"; write {stem}, and run in the folder of {stem}.py or add it to PYTHONPATH" if stem.isidentifier() else ""
    raise ValueError(f"{name!r} is not the name of a module{how}")


def _module(text: str) -> str:
    try:
        return check_module(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """An integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def folder_name(name: Any, where: str) -> str:
    """What can name a folder: letters, digits, "_", "-" and ".", at most 100 of them; else ValueError with `where`."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", str(name)):
        raise ValueError(f"{where}: {str(name)[:100]!r} cannot name a folder; use letters, digits, '_', '-' and '.'")
    return str(name)
