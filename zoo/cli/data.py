"""The data module that a command line chooses."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule

from zoo import datamodules  # noqa: F401 - lets short class names be used
from zoo.cli.configs import read_file, whereabouts, with_files
from zoo.cli.errors import explain
from zoo.run.folders import checkpoint_of


def data_module(arguments: Iterable[str], ref: str | Path | None = None) -> LightningDataModule:
    """The data of `-c` files and `--data...` options, as `train.py` reads them; files' other sections are left.

    Without a file they are those of the run that `ref` names, if it is one on this disk.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data", required=True)
    words, given_words = [], with_files(list(arguments))
    checkpoint = None if ref is None or {"-c", "--config"} & set(given_words) else checkpoint_of(ref)
    if checkpoint is not None and (config := checkpoint.with_name("config.yaml")).is_file():
        given_words = ["-c", str(config), *given_words]
    given = list(given_words)
    while given:
        word = given.pop(0)
        if word == "-c" and given:
            path = Path(given.pop(0))
            section = read_file(path).get("data")
            if section is None:
                raise ValueError(f"{path} has no section data; use a file of configs/data/")
            words.append(f"--data={json.dumps(section)}")
        elif word.startswith("--data"):
            words.append(word if "=" in word or not given else f"{word}={given.pop(0)}")
        else:
            raise ValueError(f"unknown argument {word!r}")
    if all(word.startswith("--data.") for word in words):
        raise ValueError("no data are chosen: add -c with a file of configs/data/")
    try:
        made: Any = parser.instantiate_classes(parser.parse_args(words)).data
    except Exception as error:  # the parser's own, and whatever a constructor given something strange raises
        why = explain(str(error), ["data"], given_words, partial(whereabouts, words=given_words))
        raise ValueError(why) from None
    assert isinstance(made, LightningDataModule)
    return made


def data_words(words: Iterable[str]) -> list[str]:
    """The words of a fit that choose data and set their arguments."""
    found, left = [], list(words)
    while left:
        word = left.pop(0)
        if word == "-c":
            found += [word, left[0]] if "data" in read_file(Path(left[0])) else []
            left.pop(0)
        elif word.startswith("--data"):
            found += [word] if "=" in word or not left else [word, left.pop(0)]
    return found
