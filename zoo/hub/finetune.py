"""Start a run from a trained GAN."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from zoo import sealed
from zoo.gan import GAN
from zoo.hub import bundle, pretrained, recipe
from zoo.hub.load import tensors_of
from zoo.variants import variants

AVERAGE = "generator_ema"


@dataclass(frozen=True)
class Source:
    """A trained GAN, as what to start from."""

    ref: str
    objective: str  # class name; "" where the file does not say
    recipe: Mapping[str, Any]  # the constructor's arguments; empty where the file does not say
    tensors: Mapping[str, Tensor]  # named as in `GAN.state_dict()`

    @property
    def parts(self) -> list[str]:
        """The networks that it has."""
        return list(dict.fromkeys(key.partition(".")[0] for key in self.tensors if "." in key))

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of a network, named as in its own `state_dict()`."""
        start = f"{name}."
        return {key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)}


def begin(gan: GAN) -> None:
    """Load the networks that `gan.init_from` names, freeze what it says, and print one line of both.

    Networks are loaded bit for bit, with their buffers. The generator's average starts from the trained one, or from
    the trained generator where there is none. If all networks come from a game of the same objective, so does the
    objective's own state (BEGAN's k). Optimisers, dynamics, stabilizers, kimg and the average's warm-up start anew.
    `train.py` calls it; for a GAN built in Python, call it before `fit`, but not where a run is resumed.

    Raises:
        ValueError: without an init_from; for a game that has begun; for a `ref` that cannot be read, `parts` that
            either game lacks, networks that do not fit, tensor by tensor, and what cannot be frozen. Nothing is
            loaded then.
    """
    name, told = type(gan).__name__, gan.init_from
    if told is None:
        raise ValueError(f"{name}: there is no init_from to begin with; {name}(..., init_from=...) names one")
    if gan.begun:
        raise ValueError(f"{name}: this game has begun; build a new one to start from {told.ref}")
    source = read(told.ref)
    networks = networks_of(gan)
    parts = _chosen(told.parts, networks, source)
    _refuse_misfits(gan, {part: networks[part] for part in parts}, source)
    gan.freeze_parts(told.freeze)

    for part in parts:
        networks[part].load_state_dict(source.part(part))
    if gan.generator_ema is not None and "generator" in parts:
        gan.generator_ema.load_state_dict(source.part(AVERAGE) or source.part("generator"))
    own = {key: value for key, value in gan.named_buffers(recurse=False) if key in source.tensors}
    if source.objective != name or len(parts) < len(networks):
        own = {}
    for key, buffer in own.items():
        buffer.copy_(source.tensors[key])
    gan.begun = True
    rank_zero_only(print)(_account(gan, source, [*parts, *own], [n for n in networks if n not in parts]))


def read(ref: str) -> Source:
    """A run's .ckpt, read as tensors and plain values only, or a published GAN.

    Raises:
        ValueError: if it cannot be found or read, or is damaged.
    """
    if not ref.endswith(".ckpt"):
        return _published(ref)
    try:
        checkpoint = sealed.read(ref)
        tensors = tensors_of(checkpoint, Path(ref))
    except ValueError as error:
        raise ValueError(f"init_from: {error}") from error
    told = _mapping(checkpoint.get("hyper_parameters"))
    return Source(ref, str(told.get("_class_path", "")).rpartition(".")[2], told, tensors)


def _published(ref: str) -> Source:
    try:
        folder = pretrained.resolve(ref)
        config = bundle.verify(folder)
        objective = recipe.objective(config["objective"]).__name__
        return Source(ref, objective, config["init_args"], bundle.tensors(folder))
    except ValueError as error:
        raise ValueError(f"init_from: {error}") from error


def networks_of(gan: GAN) -> dict[str, nn.Module]:
    """The submodules that players move, by the names of their attributes."""
    moved = {p for net in gan.players().values() for p in net.parameters()}
    return {name: net for name, net in gan.named_children() if moved.intersection(net.parameters())}


def _chosen(parts: Sequence[str] | None, networks: Iterable[str], source: Source) -> list[str]:
    both = [name for name in networks if name in source.parts]
    for part in parts or ():
        if part not in networks:
            close = get_close_matches(part, networks, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"init_from: parts: there is no network {part!r}{hint} (choose from {', '.join(both)})")
        if part not in both:
            raise ValueError(f"init_from: {source.ref} has no {part} (choose parts from {', '.join(both)})")
    if not both:
        raise ValueError(f"init_from: {source.ref} has none of {', '.join(networks)}")
    return both if parts is None else list(dict.fromkeys(parts))


def _refuse_misfits(gan: GAN, networks: Mapping[str, nn.Module], source: Source) -> None:
    """Compare every tensor's shape before any is loaded."""
    found = {part: _misfits(part, net.state_dict(), source.part(part)) for part, net in networks.items()}
    misfits = [misfit for part in found.values() for misfit in part]
    if not misfits:
        return
    told = ", ".join(misfits[:3]) + (f" and {len(misfits) - 3} more" if len(misfits) > 3 else "")
    fitting = [part for part, wrong in found.items() if not wrong]
    ways = []
    if fitting:
        ways.append(f"leave it out with --model.init_from.ref {source.ref} --model.init_from.parts {_word(fitting)}")
    alike = _flags(gan, source, [part for part, wrong in found.items() if wrong])
    theirs, ours = _stabilizers(source.recipe), _stabilizers(gan.hparams)
    if theirs != ours and not all("there and" in misfit for misfit in misfits):
        alike += f"{' and ' if alike else ''}stabilizers as there: {theirs}, not {ours}"
    ways.append(f"build it alike with {alike or 'the arguments that it had'}")
    raise ValueError(f"init_from: {source.ref} does not fit: {told}; {', or '.join(ways)}")


def _misfits(part: str, own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[str]:
    """Each tensor that only one has, or that has two shapes."""
    found = []
    for key in dict.fromkeys([*own, *theirs]):
        if key not in theirs:
            found.append(f"{part}.{key} is not there")
        elif key not in own:
            found.append(f"{part}.{key} is not here")
        elif own[key].shape != theirs[key].shape:
            found.append(f"{part}.{key} is {tuple(theirs[key].shape)} there and {tuple(own[key].shape)} here")
    return found


def _flags(gan: GAN, source: Source, parts: Sequence[str]) -> str:
    """Options of `train.py` that build these networks as they were built there."""
    options: dict[str, Any] = {}
    for part in parts:
        there, here = _mapping(source.recipe.get(part)), _mapping(gan.hparams.get(part))
        if _class(there) != _class(here):
            options[f"model.{part}"] = there.get("class_path")
        mine = _mapping(here.get("init_args"))
        for argument, value in _mapping(there.get("init_args")).items():
            if value == mine.get(argument, value if here else None):
                continue
            if argument == "image_shape":
                options |= _data_options(value, mine.get(argument) or ())
            else:
                options[f"model.{'generator' if argument == 'latent_dim' else part}.{argument}"] = value
    return " ".join(f"--{option} {_word(value)}" for option, value in options.items())


def _data_options(there: Sequence[int], here: Sequence[int]) -> dict[str, Any]:
    """The image's shape is the data's, (C, S, S); points have no options."""
    options = {"data.channels": 0, "data.image_size": 1} if len(there) == 3 else {}
    return {option: there[i] for option, i in options.items() if len(here) != 3 or there[i] != here[i]}


def _class(network: Mapping[str, Any]) -> str:
    return str(network.get("class_path", "")).rpartition(".")[2]


def _stabilizers(told: Mapping[str, Any]) -> str:
    """Some of them give a network other tensors."""
    return ", ".join(_class(_mapping(stabilizer)) for stabilizer in told.get("stabilizers") or ()) or "none"


def _mapping(told: Any) -> Mapping[str, Any]:
    """What a file says, where it says something of parts."""
    return told if isinstance(told, Mapping) else {}


def _word(value: Any) -> str:
    """A value as a word of the command line."""
    return shlex.quote(value if isinstance(value, str) else json.dumps(value))


def _account(gan: GAN, source: Source, loaded: Sequence[str], new: Sequence[str]) -> str:
    """What was loaded, from where, in a line."""
    line = f"Starting from {source.ref}{f' ({source.objective})' if source.objective else ''}: {', '.join(loaded)}"
    if new:
        line += f"; new: {', '.join(new)}"
    if gan.frozen_names:
        line += f"; frozen: {', '.join(gan.frozen_names)}"
    trained = variants().get(source.objective)
    if trained is not None and trained.sample_latent is not type(gan).sample_latent:
        line += f"; z is drawn as {type(gan).__name__} does, not as {source.objective} did"
    return line
