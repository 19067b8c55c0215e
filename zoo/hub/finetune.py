"""Start a run from a trained GAN."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from zoo.cli.choices import hint
from zoo.cli.configs import with_files
from zoo.cli.data import data_module, data_words
from zoo.gan import GAN
from zoo.hub import bundle, pretrained, recipe
from zoo.hub.load import tensors_of
from zoo.hub.recipe import BESIDE
from zoo.run import files
from zoo.run.folders import checkpoint_of
from zoo.run.records import read_record
from zoo.variants import variants

AVERAGE = "generator_ema"


@dataclass(frozen=True)
class Source:
    """A trained GAN, as what to start from."""

    ref: str
    variant: str  # as in the names of configs/ and of runs; "" where nothing says it
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
    name, spec = type(gan).__name__, gan.init_from
    if spec is None:
        raise ValueError(f"{name}: there is no init_from to begin with; {name}(..., init_from=...) names one")
    if gan.initialized:
        raise ValueError(f"{name}: this game has begun; build a new one to start from {spec.ref}")
    source = read(spec.ref)
    networks = networks_of(gan)
    parts = _chosen(spec.parts, networks, source)
    _refuse_misfits(gan, {part: networks[part] for part in parts}, source)
    gan.freeze_parts(spec.freeze)

    for part in parts:
        networks[part].load_state_dict(source.part(part))
    if gan.generator_ema is not None and "generator" in parts:
        gan.generator_ema.load_state_dict(source.part(AVERAGE) or source.part("generator"))
    own = {key: value for key, value in gan.named_buffers(recurse=False) if key in source.tensors}
    if source.objective != name or len(parts) < len(networks):
        own = {}
    for key, buffer in own.items():
        buffer.copy_(source.tensors[key])
    gan.initialized = True
    rank_zero_only(print)(_account(gan, source, [*parts, *own], [n for n in networks if n not in parts]))


def read(ref: str) -> Source:
    """A run as for `zoo.load`, read as tensors and plain values only, or a published GAN.

    Raises:
        ValueError: if it cannot be found or read, or is damaged.
    """
    try:
        path = checkpoint_of(ref)
        if path is None:
            return _published(ref)
        checkpoint = files.read(path)
        tensors = tensors_of(checkpoint, path)
        record = path.with_name("run.json")
        variant = read_record(record)["variant"] if record.is_file() else ""
    except ValueError as error:
        raise ValueError(f"init_from: {error}") from error
    described = _mapping(checkpoint.get("hyper_parameters"))
    return Source(ref, variant, str(described.get("_class_path", "")).rpartition(".")[2], described, tensors)


def _published(ref: str) -> Source:
    folder = pretrained.resolve(ref)
    config = bundle.verify(folder)
    objective = recipe.objective(config["objective"]).__name__
    return Source(ref, config["variant"], objective, config["init_args"], bundle.tensors(folder))


def words_of(ref: str, words: Sequence[str], trust: Sequence[str] = ()) -> list[str]:
    """The words of a fit that starts from a trained GAN, with its objective, networks and optimisers.

    Images get the size and the channels of its samples, where `words` do not say others.

    Args:
        ref: a run as for `zoo.load`, or a published GAN.
        words: of the fit, as names of configurations, --data and any other option; they come last.
        trust: as for `zoo.load`.

    Raises:
        ValueError: if it cannot be loaded, or no data are chosen.
    """
    gan = pretrained.trained(ref, trust=trust)  # refuses classes that may not be built
    source = read(str(checkpoint_of(ref) or ref))
    words = with_files(words)
    data = data_words(words)
    if not data:
        raise ValueError("no data are chosen: add --data.root FOLDER for a folder of images, or --data NAME")
    if not any(word in {"-c", "--data"} or word.startswith("--data=") for word in data):
        folder = with_files(["--data", "image_folder"])
        words, data = [*folder, *words], [*folder, *data]
    made, shape = data_module(data), getattr(gan.generator, "image_shape", ())
    theirs = getattr(made, "image_shape", shape)
    if len(theirs) != len(shape):
        raise ValueError(f"{ref} makes samples of shape {tuple(shape)}, {type(made).__name__} has {tuple(theirs)}")
    given = {word.partition("=")[0].replace(".init_args", "") for word in data}
    fitting = [
        f"--{option}={value}"
        for option, value in _data_options(shape, theirs).items()
        if f"--{option}" not in given and option.partition(".")[2] in inspect.signature(type(made)).parameters
    ]
    model = [
        "--model",
        json.dumps(_model(type(gan), source)),
        f"--conditional={json.dumps(gan.num_classes is not None)}",
    ]
    return [*(["--variant", source.variant] if source.variant else []), *model, *words, *fitting]


def _model(kind: type[GAN], source: Source) -> dict[str, Any]:
    """The section `model` that builds the source's GAN, without arguments that follow from the data."""

    def renewed(value: Any, own: bool = False) -> Any:
        if isinstance(value, list | tuple):
            return [renewed(part) for part in value]
        if not isinstance(value, Mapping):
            return value
        if "class_path" not in value:
            return {key: renewed(part) for key, part in value.items()}
        name = str(value["class_path"])
        found = recipe.classes().get(name)
        linked = {"image_shape", "num_classes"} | (set() if own else {"latent_dim"})
        arguments = {**_mapping(value.get("init_args")), **_mapping(value.get("dict_kwargs"))}
        return {
            "class_path": name if found is None else f"{found.__module__}.{found.__qualname__}",
            "init_args": {key: renewed(part) for key, part in arguments.items() if key not in linked},
        }

    arguments = {key: renewed(value, key == "generator") for key, value in source.recipe.items() if key not in BESIDE}
    return {
        "class_path": f"{kind.__module__}.{kind.__qualname__}",
        "init_args": {**arguments, "init_from": {"ref": source.ref}},
    }


def networks_of(gan: GAN) -> dict[str, nn.Module]:
    """The submodules that players move, by the names of their attributes."""
    moved = {p for net in gan.players().values() for p in net.parameters()}
    return {name: net for name, net in gan.named_children() if moved.intersection(net.parameters())}


def _chosen(parts: Sequence[str] | None, networks: Iterable[str], source: Source) -> list[str]:
    both = [name for name in networks if name in source.parts]
    for part in parts or ():
        if part not in networks:
            among = f"{hint(part, list(networks))} (choose from {', '.join(both)})"
            raise ValueError(f"init_from: parts: there is no network {part!r}{among}")
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
    listed = ", ".join(misfits[:3]) + (f" and {len(misfits) - 3} more" if len(misfits) > 3 else "")
    fitting = [part for part, wrong in found.items() if not wrong]
    ways = []
    if fitting:
        ways.append(f"leave it out with --model.init_from.ref {source.ref} --model.init_from.parts {_word(fitting)}")
    alike = _flags(gan, source, [part for part, wrong in found.items() if wrong])
    classes = _mapping(_mapping(source.recipe.get("generator")).get("init_args")).get("num_classes")
    if classes != gan.num_classes:
        alike += f"{' and ' if alike else ''}" + (f"data of {classes} classes" if classes else "--conditional false")
    theirs, ours = _stabilizers(source.recipe), _stabilizers(gan.hparams)
    if theirs != ours and not all("there and" in misfit for misfit in misfits):
        alike += f"{' and ' if alike else ''}stabilizers as there: {theirs}, not {ours}"
    ways.append(f"build it alike with {alike or 'the arguments that it had'}")
    raise ValueError(f"init_from: {source.ref} does not fit: {listed}; {', or '.join(ways)}")


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
            if argument == "num_classes" or value == mine.get(argument, value if here else None):
                continue
            if argument == "image_shape":
                options |= _data_options(value, mine.get(argument) or ())
            else:
                options[f"model.{'generator' if argument == 'latent_dim' else part}.{argument}"] = value
    return " ".join(f"--{option} {_word(value)}" for option, value in options.items())


def _data_options(there: Sequence[int], here: Sequence[int]) -> dict[str, Any]:
    """The image's shape is the data's, (C, H, W); points have no options."""
    if len(there) != 3:
        return {}
    channels, *sides = there
    options: dict[str, Any] = {}
    if len(here) != 3 or here[0] != channels:
        options["data.channels"] = channels
    if [*here[1:]] != sides:
        options["data.image_size"] = sides[0] if sides[0] == sides[1] else sides
    return options


def _class(network: Mapping[str, Any]) -> str:
    return str(network.get("class_path", "")).rpartition(".")[2]


def _stabilizers(config: Mapping[str, Any]) -> str:
    """Some of them give a network other tensors."""
    return ", ".join(_class(_mapping(stabilizer)) for stabilizer in config.get("stabilizers") or ()) or "none"


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def _word(value: Any) -> str:
    """A value as a word of the command line."""
    return shlex.quote(value if isinstance(value, str) else json.dumps(value))


def _account(gan: GAN, source: Source, loaded: Sequence[str], new: Sequence[str]) -> str:
    """One line on the networks loaded and their source."""
    line = f"Starting from {source.ref}{f' ({source.objective})' if source.objective else ''}: {', '.join(loaded)}"
    if new:
        line += f"; new: {', '.join(new)}"
    if gan.frozen_names:
        line += f"; frozen: {', '.join(gan.frozen_names)}"
    trained = variants().get(source.objective)
    if trained is not None and trained.sample_latent is not type(gan).sample_latent:
        line += f"; z is drawn as {type(gan).__name__} does, not as {source.objective} did"
    return line
