"""The command line of `train.py`: a LightningCLI over a GAN and its data, and the folder that a run leaves."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import traceback
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, cast

import torch
import yaml
from jsonargparse import Namespace, get_loader, set_loader
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_only

import zoo.backbones
import zoo.datamodules  # noqa: F401 - both let short class names be used
from zoo.callbacks import Checkpoints, Diagnostics, Progress, Quality, Samples
from zoo.callbacks.budget import Budget
from zoo.callbacks.interrupts import Requeue
from zoo.callbacks.patience import Patience
from zoo.callbacks.record import RunRecord, command
from zoo.cli import configs
from zoo.cli.arguments import folder_name
from zoo.cli.classes import build, link_classes
from zoo.cli.configs import (
    check_files,
    config_files,
    refuse_impossible,
    settings,
    variant_first,
    whereabouts,
    with_files,
)
from zoo.cli.errors import explain, first_line, no_memory
from zoo.cli.objective import network_arguments, objectives_of, optimizer_words, with_optimizers
from zoo.cli.quiet import hush, print_anything
from zoo.gan import GAN
from zoo.run import files, slurm
from zoo.run.folders import checkpoint_of, held, new_folder
from zoo.run.loggers import MetricsLog, import_wandb
from zoo.run.records import read_record
from zoo.run.secrets import redacted
from zoo.support.checks import check_losses
from zoo.variants import variants

DEFAULT_CALLBACKS: dict[str, type[Callback]] = {
    "progress": Progress, "samples": Samples, "quality": Quality, "diagnostics": Diagnostics,
    "checkpoints": Checkpoints,
}  # fmt: skip
CallbackName = Literal["progress", "samples", "quality", "diagnostics", "checkpoints"]
ROOT = Path(__file__).parents[2]
set_loader("gan-zoo", lambda text: with_optimizers(configs.renamed(get_loader("yaml")(text))), (yaml.YAMLError,))


class Parser(LightningArgumentParser):
    """Reports an error in one line and exits with status 2."""

    words: ClassVar[list[str]] = []  # of the command line

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print one line to stderr and exit with 2."""
        parsers = [self, *(p for a in self._actions for p in (getattr(a, "_name_parser_map", None) or {}).values())]
        options = {option.lstrip("-"): None for parser in parsers for option in parser._option_string_actions}
        line = explain(message, options, self.words, partial(whereabouts, words=self.words))
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)


class SaveConfig(SaveConfigCallback):
    """Writes the run's `config.yaml`, and its configuration to every logger."""

    def __init__(self, parser: LightningArgumentParser, config: Namespace, run: Run) -> None:
        super().__init__(parser, config, save_to_log_dir=False)
        self.run = run

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """An older, different `config.yaml` is kept beside the new one."""
        text = self.run.config_text
        path = self.run.folder / "config.yaml"
        if path.is_file() and (old := path.read_text(encoding="utf-8")) != text:
            kept = len(list(self.run.folder.glob("config-*.yaml")))
            files.put(old.encode(), self.run.folder / f"config-{kept}.yaml")
        files.put(text.encode(), path)
        facts = {"variant": self.run.variant, "dataset": self.run.dataset}
        for logger in trainer.loggers:
            logger.log_hyperparams({**facts, **yaml.safe_load(text)})


class Run:
    """A fit's folder, names and configuration."""

    def __init__(self, config: Namespace, config_text: str) -> None:
        objective = config.model.class_path.rpartition(".")[2]
        self.variant = config.variant or snake_case(objective)
        self.dataset = config.dataset or snake_case(config.data.class_path.rpartition(".")[2])
        self.config_text = config_text
        self.wandb_id: str | None = None
        resumed = Path(config.ckpt_path) if config.ckpt_path else None
        if resumed is not None:
            self.wandb_id = _wandb_id(resumed)
        self.resumes = resumed is not None and self._continues(resumed.parent / "run.json")
        if resumed is not None and self.resumes:
            self.folder = resumed.parent
        else:
            self.folder = new_folder(Path(config.trainer.default_root_dir or "runs"), f"{self.variant}-{self.dataset}")

    def discard(self) -> None:
        """Remove the folder of a run that failed before its first batch."""
        if not self.resumes and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            shutil.rmtree(self.folder, ignore_errors=True)

    def full(self, error: OSError) -> str:
        """One line for a full disk: where, and the checkpoint to go on from."""
        place, last = error.filename or self.folder, self.folder / files.LAST
        try:
            kimg = files.read(last)["game"]["images"] / 1000
        except ValueError:
            return f"{place}: {error.strerror}; nothing was saved yet"
        return f"{place}: {error.strerror}; make room and go on from {kimg:g} kimg with --ckpt_path {last}"

    def introduce(self, logger: Namespace) -> None:
        """Set W&B's name, group, id and folder in the logger's configuration."""
        logger.init_args.save_dir = logger.init_args.save_dir or str(self.folder)
        logger.init_args.name = logger.init_args.name or self.folder.name
        logger.init_args.id = logger.init_args.id or self.wandb_id
        logger.init_args.group = logger.init_args.get("group") or f"{self.variant}-{self.dataset}"

    def _continues(self, record: Path) -> bool:
        """Whether the checkpoint's run is this one, and not one of another variant or other data."""
        if not record.is_file():
            return False
        written = read_record(record)
        return (written["variant"], written["dataset"]) == (self.variant, self.dataset)


class ZooCLI(LightningCLI):
    """fit | validate | test | predict over `zoo.GAN` and any `LightningDataModule`."""

    run: Run

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The one that the command line begins with, else all: each takes time to build."""
        known = LightningCLI.subcommands()
        return {word: known[word] for word in Parser.words[:1] if word in known} or known

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The run's names, its budget, its ranks' patience, and what networks learn from the data and each other."""
        parser.add_argument("--help-all", action="help", help="Show every option.")
        parser.add_argument("--variant", type=str, default=None, help="Name of the configuration.")
        parser.add_argument("--dataset", type=str, default=None, help="Name of the data.")
        parser.add_argument("--conditional", type=bool, default=False, help="Give both networks the data's classes.")
        for name, kind in DEFAULT_CALLBACKS.items():
            parser.add_lightning_class_args(kind, name)
        parser.add_argument("--without", type=list[CallbackName], default=[], help="Default callbacks to leave out.")
        parser.add_lightning_class_args(Budget, "budget")
        parser.add_lightning_class_args(Patience, "patience")
        objectives = list(variants().values())
        with suppress(ValueError, OSError):  # said when the words are parsed
            objectives += [cls for _, cls in objectives_of(_resolved(Parser.words, self.subcommands()))]
        for network in network_arguments(objectives):
            target = f"model.init_args.{network}.init_args"
            parser.link_arguments("data", f"{target}.image_shape", compute_fn=_image_shape)
            if network != "generator":
                parser.link_arguments("model.init_args.generator.init_args.latent_dim", f"{target}.latent_dim")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Check the files before the parser, whose errors name none."""
        parsers = getattr(self, "_subcommand_parsers", {})
        try:
            Parser.words = words = _resolved(sys.argv[1:] if args is None else args, parsers)
            reader = next((parsers[word] for word in words if word in parsers), parser)
            check_files(config_files(words), [option.lstrip("-") for option in reader._option_string_actions])
            for place, ref in [*settings("init_from", words), *settings("init_from.ref", words)]:
                if isinstance(ref, str) and Path(ref).is_file():  # the parser would read it as a configuration
                    with _at(place):
                        files.read(ref)
            for place, objective in objectives_of(words):
                with _at(place):
                    check_losses(objective, GAN)
        except (ValueError, OSError) as error:
            parser.exit(2, f"error: {first_line(error)}\n")
        self.config = parser.parse_args(optimizer_words(words))
        seed = self.config[self.config.subcommand].seed_everything if "subcommand" in self.config else None
        if type(seed) is int and not 0 <= seed < 2**32:
            parser.error(f"seed_everything: must lie in [0, 2**32), got {seed}")

    def _parse_ckpt_path(self) -> None:
        """Resume with the configuration that was given, not the one inside the checkpoint."""

    def before_instantiate_classes(self) -> None:
        """Choose the run's folder and hand it to whatever writes there."""
        if self.subcommand is None:
            return
        config = self.config[self.subcommand]
        if self.subcommand == "fit" and slurm.job() is not None:
            config.ckpt_path = _last_life(Path(config.trainer.default_root_dir or "runs")) or config.ckpt_path
        original = config.clone()  # before num_classes is filled in: other data have other classes
        self._refuse_what_cannot_be(config)
        if self.subcommand != "fit":
            config.trainer.limit_val_batches = config.trainer.limit_val_batches or None  # a run's config.yaml has 0
            config.trainer.logger = False
            if "verbose" in config:
                config.verbose = False  # Quality prints a row, in place of Lightning's table
            self.save_config_callback = None
            return
        if config.trainer.limit_val_batches is None:
            config.trainer.limit_val_batches = 0  # Quality measures by kimg; an epoch of validation would add nothing
        original.ckpt_path, original.trainer.limit_val_batches = None, config.trainer.limit_val_batches
        kept = self._parser("fit").dump(original, skip_unset=False, skip_validation=True)
        self.run = Run(config, _without_secrets(kept))
        config.trainer.default_root_dir = str(self.run.folder)
        self.save_config_kwargs = {"run": self.run}
        loggers = config.trainer.logger
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if isinstance(logger, Namespace) and logger.class_path == "zoo.run.loggers.WandbLogger":
                self.run.introduce(logger)
            elif isinstance(logger, Namespace) and logger.class_path.startswith("zoo.run.loggers."):
                logger.init_args.save_dir = logger.init_args.save_dir or str(self.run.folder)

    def _refuse_what_cannot_be(self, config: Namespace) -> None:
        for half, folder in (("model", "configs/"), ("data", "configs/data/")):
            if config[half] is None:
                self.parser.error(f"no {half} is chosen: add -c with a file of {folder}")
        try:
            for key in ("model", "data", "budget"):
                refuse_impossible(_plain(config[key]), key)
            for key in ("variant", "dataset"):
                if config[key]:
                    folder_name(config[key], key)
            link_classes(config.model, build(config.data), config.conditional)
        except ValueError as error:
            self.parser.error(str(error))
        if config.trainer.gradient_clip_val:
            self.parser.error("trainer.gradient_clip_val: players are clipped apart; use model.init_args.clip_norm")
        if config.trainer.accumulate_grad_batches != 1:
            self.parser.error(
                "trainer.accumulate_grad_batches: players move every batch; use data.init_args.batch_size"
            )
        if config.trainer.limit_train_batches == 0:
            self.parser.error("trainer.limit_train_batches: 0 would train on no batch")
        devices, most = str(config.trainer.devices), 4 * (os.cpu_count() or 1)
        kind = config.trainer.accelerator
        on_cpu = kind == "cpu" or (kind == "auto" and not torch.accelerator.is_available())
        if on_cpu and devices.isdecimal() and int(devices) > most:
            self.parser.error(f"trainer.devices: {devices} is more than four processes for each CPU core, {most} here")
        if config.ckpt_path:
            try:
                files.read(config.ckpt_path)
            except ValueError as error:
                hint = "" if Path(config.ckpt_path).is_file() else "; name a run's last.ckpt or best.ckpt"
                self.parser.error(f"ckpt_path: {error}{hint}")
        if config.trainer.logger is True:
            self.parser.error("trainer.logger: true names no logger; leave it out, or use false, or a class")

    def instantiate_classes(self) -> None:
        """A constructor that refuses its arguments is a mistake in the configuration: one line, status 2."""
        try:
            super().instantiate_classes()
            keep_recipe(self.model, redacted(_plain(self._get(self.config, "model"))))
            resumed = self.subcommand and self._get(self.config, "ckpt_path")
            if resumed:
                self._refuse_other_networks(resumed)
            elif self.model.init_from is not None and self.subcommand:
                from zoo.hub.finetune import begin

                begin(self.model)
        except (ValueError, TypeError, ModuleNotFoundError, MisconfigurationException, RuntimeError) as error:
            twice = re.match(r"Found more than one stateful callback of type `(\w+)`", str(error))
            if isinstance(error, RuntimeError) and twice is None:
                raise
            if hasattr(self, "run"):
                self.run.discard()
            self.parser.error(f"trainer.callbacks: {twice[1]} stands twice" if twice else str(error).strip())

    def _refuse_other_networks(self, checkpoint: str) -> None:
        from zoo.hub.load import refuse_others

        try:
            refuse_others(checkpoint, self.model, self.trainer, self.datamodule, str(self.subcommand))
        except ValueError as error:
            config = Path(checkpoint).with_name("config.yaml")
            hint = f"; the run's own configuration is {config}, taken where -c is left out" if config.is_file() else ""
            raise ValueError(f"{error}{hint}") from None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The default callbacks that are wanted; every fit keeps its own record, whatever other loggers are chosen."""
        if self.subcommand is None:
            return super().instantiate_trainer(**kwargs)
        parser = self._parser(self.subcommand)
        listed = self._get(self.config_init, "trainer.callbacks")
        left_out = list(self._get(self.config, "without") if _adds(listed) else DEFAULT_CALLBACKS)
        if self._get(self.config, "trainer.enable_progress_bar") is False:
            left_out.append("progress")
        parser.callback_keys = [key for key in parser.callback_keys if key not in left_out]
        if self.subcommand != "fit":
            return super().instantiate_trainer(**kwargs)
        chosen = self._get(self.config_init, "trainer.logger")
        loggers = chosen if isinstance(chosen, list) else [chosen] if chosen else []
        kwargs["logger"] = [MetricsLog(self.run.folder), *loggers]
        record = RunRecord(self.run.folder, variant=self.run.variant, dataset=self.run.dataset)
        trainer = super().instantiate_trainer(**kwargs)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        unwanted = [DEFAULT_CALLBACKS[name] for name in self._get(self.config, "without")]
        callbacks[:] = [c for c in callbacks if type(c) not in unwanted]  # also of the lists of older runs
        bars = [i for i, callback in enumerate(callbacks) if isinstance(callback, ProgressBar)]
        callbacks.insert(bars[0] + 1 if bars else 0, record)  # it prints below a closed bar
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        """A stop that asks for it is followed by SLURM's next start; a full disk is one line, status 1."""
        writes = subcommand == "fit" and not self.trainer.fast_dev_run  # type: ignore[attr-defined]
        try:
            with held(self.run.folder) if writes else nullcontext():
                super()._run_subcommand(subcommand)
        except Requeue:
            if slurm.slurm_job() is not None and self.trainer.is_global_zero:
                try:
                    slurm.requeue()
                except OSError as error:
                    _fail(f"{error}; go on with --ckpt_path {self.run.folder / files.LAST}")
            raise
        except Exception as error:
            if hasattr(self, "run") and self.model.steps == 0 and _mistake(error):
                self.run.discard()
            full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
            if not full or not hasattr(self, "run"):
                raise
            _fail(self.run.full(cast(OSError, error)))
        if subcommand == "fit" and not writes:
            self.run.discard()


def keep_recipe(gan: GAN, recipe: Mapping[str, Any]) -> None:
    """Store in a GAN's checkpoints how to build it again: class_path, and init_args in plain values."""
    beside = {"_class_path": recipe["class_path"], "_instantiator": "lightning.pytorch.cli.instantiate_module"}
    gan.save_hyperparameters({**recipe["init_args"], **beside}, logger=False)


def _adds(listed: Callback | list[Callback] | None) -> bool:
    """Whether the callbacks of `trainer.callbacks` stand beside the default ones.

    A list that is empty or has one of the default kinds is the whole list, as in the configurations of older runs.
    """
    several = listed if isinstance(listed, list) else [listed]
    return listed is None or not (listed == [] or any(type(c) in DEFAULT_CALLBACKS.values() for c in several))


def snake_case(name: str) -> str:
    """Words of a class name, joined by underscores: FashionMNIST is fashion_mnist."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _fail(message: str) -> NoReturn:
    """End with one line and status 1, for what is not the user's mistake."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def _image_shape(data: Namespace | None) -> list[int] | None:
    if data is not None:
        refuse_impossible(_plain(data), "data")
    return None if data is None else list(build(data).image_shape)


def _plain(value: Any) -> Any:
    """A configuration as dictionaries and lists. Unlike the parser's own dump it keeps what was linked."""
    if isinstance(value, Namespace):
        return {key: _plain(part) for key, part in vars(value).items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value


_LOGGERS = {f"{kind}Logger": f"zoo.run.loggers.{kind}Logger" for kind in ("Wandb", "TensorBoard", "CSV")}
_SHORT_NAMES = {**_LOGGERS, "EarlyStopping": "zoo.callbacks.EarlyStopping"}  # Lightning has classes of the same names


def _resolved(words: Sequence[str], commands: Container[str]) -> list[str]:
    """Replace names of configurations and runs in a command line by files, the variant's file first."""
    return variant_first(_completed(with_files(words, commands)))


def _completed(words: Sequence[str]) -> list[str]:
    """A command line with its references resolved.

    `--ckpt_path` may be a run's folder or "latest"; without -c the run's own configuration is taken.
    """
    made = [part for word in words for part in (word.split("=", 1) if word.startswith("--ckpt_path=") else [word])]
    for short, full in _SHORT_NAMES.items():
        made = [re.sub(rf"^(--trainer\.(?:logger|callbacks)\+?=)?{short}$", rf"\g<1>{full}", word) for word in made]
    if "--ckpt_path" not in made[:-1]:
        return made
    place = made.index("--ckpt_path") + 1
    checkpoint = checkpoint_of(made[place], prefer="last")
    if checkpoint is None:
        return made
    made[place] = str(checkpoint)
    config = checkpoint.with_name("config.yaml")
    if config.is_file() and not config_files(made):
        made[1:1] = ["-c", str(config)]
    return made


def _last_life(root: Path) -> str | None:
    """What this job, if it is started again, goes on from: the last checkpoint that this command wrote in it before.

    A rank of torchrun cannot know whether its job was started before (its restarts are counted for each node), so an
    unfinished run of the same `--rdzv-id` is gone on with.
    """
    if slurm.slurm_job() and not slurm.restarted():
        return None
    found = []
    for record in root.glob("*/run.json"):
        facts = read_record(record)
        if (facts.get("job"), facts["command"]) == (slurm.job(), command()):
            found.append((facts["status"] != "finished", facts["started"], record.with_name(files.LAST)))
    saved = [last for left, _, last in sorted(found) if last.is_file() and (slurm.restarted() or left)]
    return str(saved[-1]) if saved else None


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Put the place of a mistake before its message."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place}: {error}") from None


def _without_secrets(text: str) -> str:
    """A configuration's text, as it was where there are none."""
    tree = yaml.safe_load(text)
    public = redacted(tree)
    return text if public == tree else yaml.safe_dump(public, sort_keys=False)


def _wandb_id(checkpoint: Path) -> str | None:
    callbacks = files.read(checkpoint).get("callbacks", {})
    states = [state for key, state in callbacks.items() if key.startswith("RunRecord")]
    return states[0].get("wandb_id") if states else None


def _mistake(error: Exception) -> str | None:
    """One line for the user's mistakes: a refusal, an unreadable or unwritable file, sizes beyond memory; else None."""
    refused = isinstance(error, MisconfigurationException) or (isinstance(error, ValueError) and _is_ours(error))
    if refused or (isinstance(error, OSError) and error.filename is not None):
        return first_line(error)
    return no_memory(error)


def _is_ours(error: BaseException) -> bool:
    """Whether the zoo itself refused, rather than a library that it called."""
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return any(raised_in.is_relative_to(ROOT / package) for package in ("zoo", "datamodules"))


def main(args: list[str] | None = None, kind: type[ZooCLI] = ZooCLI) -> ZooCLI:
    """Run `train.py` with `args`, or those of the command line; the result has `model` and `trainer`."""
    hush()
    print_anything()
    import_wandb()  # the parser would, to know what its logger takes
    variants()
    Parser.words = sys.argv[1:] if args is None else args
    defaults = {"default_config_files": [str(configs.CONFIGS / "default.yaml")]}
    try:
        return kind(
            GAN, LightningDataModule, subclass_mode_model=True, subclass_mode_data=True,
            auto_configure_optimizers=False, save_config_callback=SaveConfig, seed_everything_default=0,
            parser_class=Parser, args=args,
            parser_kwargs={"parser_mode": "gan-zoo", **dict.fromkeys(kind.subcommands(), defaults)},
        )  # fmt: skip
    except FloatingPointError as error:
        _fail(str(error))
    except Exception as error:
        line = _mistake(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
