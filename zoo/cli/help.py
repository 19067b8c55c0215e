"""Help of the training commands: short, and without importing torch unless a class is asked for."""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from zoo.cli.choices import choices_for, find_class
from zoo.cli.configs import CONFIGS, config_files, read_file, variant_first, with_files
from zoo.cli.errors import first_line, parameters_of

COMMANDS = ("fit", "validate", "test", "predict")
_ALSO = {"train": "fit", "eval": "validate", "resume": "fit"}  # other words for a command
_NOT_VARIANTS = {"default", "demo"}
_WIDTH = 100
_LINKED = {"image_shape", "params"}  # arguments that are filled in

_HELP = """\
usage: {usage} [-c FILE ...] [--OPTION VALUE ...]

Train a GAN. A run is a variant, a data set, and the options that you change. It leaves a folder in runs/.
Commands of python train.py beside fit: validate, test and predict, with --ckpt_path.

examples:
  {digits} -c configs/demo.yaml
  {ring} --budget.kimg 100 --model.g_optimizer.lr 5e-4
  {run} --ckpt_path latest --budget.kimg 400

VARIANT, a file of configs/:
{variants}
DATA, a file of configs/data/:
{data}

options:
  --budget.kimg N             thousands of real images to train on (default: 300)
  --data.root FOLDER          where the files of the data set are (default: data)
  --data.batch_size N         images a batch, on each device; also --data.image_size, --data.seed, ...
  --model.g_optimizer.lr R    learning rate of the generator; of the discriminator: --model.d_optimizer.lr
  --model.generator.width N   size of the generator; also --model.discriminator.width, --model.generator.latent_dim, ...
  --model.stabilizers+ NAME   add a stabilizer
  --ckpt_path PATH            go on from a checkpoint, a run's folder, or latest
  --seed_everything N         of weights and noise (default: 0)
  --trainer.devices N         GPUs or processes; also --trainer.accelerator, --trainer.precision, ...
  --trainer.logger false      without W&B
  --variant NAME              in the name of the run's folder; also --dataset
  --print_config              print the configuration instead of training

more help:
  {nsgan} --help    every option of NSGAN and its networks
  {run} --model.help WGANGP             one class; also --data.help, --model.generator.help, ...
  {run} --help-all                      every option, Lightning's too
"""


def helped(words: Sequence[str], run: str = "python train.py fit") -> bool:
    """Print the help that a command line asks for.

    Args:
        words: of the command line, the command first.
        run: how a training is started.

    Returns:
        Whether the command line is done with: nothing is to be trained. A mistake in it ends the process with status 2.
    """
    try:
        text = _help(words, run)
    except (ValueError, OSError) as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        sys.exit(2)
    if text is not None:
        with suppress(BrokenPipeError):  # as behind `| head`
            print(text.rstrip("\n"), flush=True)
    return text is not None


def _help(words: Sequence[str], run: str) -> str | None:
    if not words:
        example = _typed(run, "nsgan", "digits")
        raise ValueError(f"no command: choose from {', '.join(COMMANDS)}, as in {example}; see --help")
    if words[0] not in COMMANDS and not words[0].startswith("-"):
        raise ValueError(_no_command(words[0]))
    for word, after in pairwise([*words, ""]):
        option, equals, name = word.partition("=")
        if option.startswith("--") and option.endswith(".help"):
            name = name if equals else "" if after.startswith("-") else after
            return _class_help(option.removesuffix(".help").lstrip("-"), name)
    if not {"-h", "--help"} & set(words):
        return None
    files = config_files(variant_first(with_files(words, COMMANDS)))
    return _files_help(files) if files else short_help(run)


def short_help(run: str) -> str:
    """The short help: usage, examples, names of configurations, main options."""
    names = {room: sorted(p.stem for p in (CONFIGS / room).glob("*.yaml")) for room in ("", "data")}
    listed = {room: textwrap.fill(
        ", ".join(name for name in found if name not in _NOT_VARIANTS), _WIDTH, initial_indent="  ",
        subsequent_indent="  ",
    ) for room, found in names.items()}  # fmt: skip
    return _HELP.format(
        run=run, usage=_typed(run, "VARIANT", "DATA"), digits=_typed(run, "wgan_gp", "digits"),
        ring=_typed(run, "nsgan", "ring"), nsgan=_typed(run, "nsgan"), variants=listed[""], data=listed["data"],
    )  # fmt: skip


def _typed(run: str, variant: str, data: str = "") -> str:
    """A command with the names of configurations, or with their files for `train.py`."""
    if run.endswith("train"):
        return f"{run} {variant}" + (f" --data {data}" if data else "")
    return f"{run} -c configs/{variant}.yaml" + (f" -c configs/data/{data}.yaml" if data else "")


def _no_command(word: str) -> str:
    close = _ALSO.get(word) or next(iter(difflib.get_close_matches(word, COMMANDS, n=1)), None)
    hint = f"; did you mean {close!r}?" if close else ""
    if (Path(__file__).parents[1] / "commands" / f"{word}.py").is_file() and word not in _ALSO:
        hint = f"; that is python -m zoo {word}"
    return f"unknown command {word!r}{hint} (choose from {', '.join(COMMANDS)})"


def _class_help(key: str, name: str) -> str | None:
    """Of the class `name` for an option, or of the classes that there are; None for an option without such."""
    if name:
        return _sections([(key, find_class(name, key), {})])
    choices = choices_for(key)
    if not choices:
        return None
    rows = "\n".join(f"  {cls.__name__:24}{textwrap.shorten(summary(cls), 90, placeholder=' ...')}" for cls in choices)
    return f"{key}:\n{rows}\n\n--{key}.help {choices[0].__name__} shows the options of one."


def summary(cls: type) -> str:
    """The first paragraph of a class's docstring."""
    return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())


def _files_help(files: Sequence[Path]) -> str:
    """Of every class that the files name in their sections model and data."""
    tree: dict[str, Any] = {}
    for file in files:
        tree = _merged(tree, read_file(file))
    chosen = [found for key in ("model", "data") for found in _chosen(tree.get(key), key)]
    return f"{_sections(chosen)}\nThe rest: python train.py --help, --help-all."


def _merged(old: Any, new: Any) -> Any:
    """As the parser does it: other arguments are added, and another class has none of the old one's."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    if new.get("class_path", old.get("class_path")) != old.get("class_path"):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}


def _chosen(value: Any, key: str) -> Iterator[tuple[str, type, dict[str, Any]]]:
    """Each class below `key`, with its option and its arguments."""
    if not isinstance(value, dict) or not isinstance(value.get("class_path"), str):
        return
    arguments = value.get("init_args") or {}
    yield key, find_class(value["class_path"], key), arguments
    for name, argument in arguments.items():
        yield from _chosen(argument, f"{key}.{name}")


def _sections(chosen: Sequence[tuple[str, type, dict[str, Any]]]) -> str:
    def layout(prog: str) -> argparse.HelpFormatter:
        return argparse.HelpFormatter(prog, max_help_position=38, width=118)

    parser = argparse.ArgumentParser(add_help=False, usage=argparse.SUPPRESS, formatter_class=layout)
    for key, cls, given in chosen:
        group = parser.add_argument_group(f"--{key} {cls.__name__}", summary(cls))
        for name, (kind, default, text) in parameters(cls).items():
            if name in _LINKED:
                continue
            value = given.get(name, default)
            if isinstance(value, dict):  # a section of its own
                value = value.get("class_path", "").rpartition(".")[2]
            note = "required" if value is inspect.Parameter.empty else f"default: {_plain(value)}"
            group.add_argument(
                f"--{key}.{name}", metavar=kind or "VALUE", help=f"{text} ({note})".strip().replace("%", "%%")
            )
    return parser.format_help()


def parameters(cls: type) -> dict[str, tuple[str, Any, str]]:
    """Each argument of a class's constructor, through **kwargs of its bases too: type, default and docstring text."""
    from docstring_parser import parse

    texts: dict[str, str] = {}
    for base in cls.__mro__[:-1]:
        for part in parse(inspect.cleandoc(base.__doc__ or "")).params:
            text = " ".join((part.description or "").split())
            if not text.startswith("as in `"):  # a base's text is that
                texts.setdefault(part.arg_name, text)
    return {name: (_kind(p.annotation), p.default, texts.get(name, "")) for name, p in parameters_of(cls).items()}


def _kind(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    text = re.sub(r"\b\w+\.(?=\w)", "", inspect.formatannotation(annotation)).replace(" ", "").replace("'", "")
    return re.sub(r"Literal\[(.*?)\]", lambda match: match[1].replace(",", "|"), text)


def _plain(value: Any) -> str:
    if value is None or isinstance(value, str | int | float | list | tuple):
        return "none" if value is None else str(value)
    return getattr(value, "__name__", "").replace("<lambda>", "the variant's own") or type(value).__name__
