"""A published checkpoint: a folder with all that a trained GAN is, in formats that cannot run code.

- `config.json`: how to build it, what it was trained on and how, and its scores; see `zoo.hub.export`
- `model.safetensors`: every tensor of `GAN.state_dict()`: all networks, the average, the objective's own state
- `README.md`: the model card, for people
- `samples.png`: the same for their eyes
- `SHA256SUMS`: of the four, as `sha256sum -c` reads it; it finds damage, not forgery

Beside them lie the files of `zoo.hub.space`, which are not read here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo import __version__
from zoo.gan import GAN
from zoo.hub import recipe, space
from zoo.hub.planned import kinds_of, refuse_misfits
from zoo.run.pictures import save_picture

SCHEMA = 1
CONFIG, WEIGHTS, CARD, SAMPLES, SUMS = "config.json", "model.safetensors", "README.md", "samples.png", "SHA256SUMS"
FILES = (CONFIG, WEIGHTS, CARD, SAMPLES, SUMS)

_LARGEST = {CONFIG: 1 << 20, SUMS: 1 << 12}  # bytes
_LOADABLE = {
    ".bin", ".ckpt", ".json", ".npz", ".onnx", ".pickle", ".pkl", ".pt", ".pth", ".safetensors", ".yaml", ".yml",
}  # fmt: skip
_FIELDS: dict[str, Any] = {
    "name": str, "version": str, "variant": str, "objective": str, "init_args": dict, "parts": dict, "game": dict,
    "data": dict | None, "training": dict, "scores": dict | None, "samples": dict,
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)  # names and versions become folders and references
_COUNTERS = ("steps", "images", "g_moves", "seed")  # of a checkpoint's "game" entry


def verify(folder: Path) -> dict[str, Any]:
    """The configuration of a published checkpoint that is whole.

    Files are plain and all there; each is what SHA256SUMS says; the schema is ours; the tensors fill their file. No
    other file that a library could load may lie beside them.

    Raises:
        ValueError: where anything is otherwise.
    """
    folder = Path(folder)
    _check_files(folder)
    _check_sums(folder)
    config = _config(folder / CONFIG)
    try:
        with safe_open(folder / WEIGHTS, "pt"):  # its header is checked against the file's size
            return config
    except SafetensorError as error:
        raise _unreadable(folder / WEIGHTS, error) from None


def read(folder: Path, *, map_location: str | torch.device = "cpu") -> GAN:
    """The GAN in a folder: verified, built, loaded strictly, in evaluation mode, on `map_location`.

    Every tensor is compared with the configuration's networks before memory is allocated for either.

    Raises:
        ValueError: as for :func:`verify`; for an unknown objective or class; for tensors that do not fit.
    """
    folder = Path(folder)
    config = verify(folder)

    def make() -> GAN:
        try:
            return recipe.build(config["objective"], config["init_args"])
        except ValueError as error:
            raise ValueError(f"{folder / CONFIG}: {error}") from error

    found = _weights(folder)  # mapped from the file
    refuse_misfits(folder / WEIGHTS, kinds_of(found, folder / WEIGHTS), make, CONFIG)
    gan = make()
    gan.load_state_dict(found)
    gan.on_load_checkpoint({"game": config["game"]})
    return gan.to(map_location).eval()


def tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of a published checkpoint, named as in `GAN.state_dict()`; ValueError as for :func:`verify`."""
    verify(folder)
    return _weights(Path(folder))


def _weights(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise _unreadable(folder / WEIGHTS, error) from None


def _unreadable(path: Path, error: SafetensorError) -> ValueError:
    reason = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))  # it quotes the file
    return ValueError(f"{path} is cut short, or no safetensors file: {reason}")


def counters(gan: GAN) -> dict[str, int]:
    """How far training had come, as checkpoints keep it."""
    return {"steps": gan.steps, "images": gan.images, "g_moves": gan.g_moves, "seed": gan.noise.seed}


def parts(gan: GAN) -> dict[str, int]:
    """The numbers in each network and in the objective's own state: parameters and buffers."""
    found: dict[str, int] = {}
    for name, tensor in gan.state_dict().items():
        part = name.partition(".")[0]
        found[part] = found.get(part, 0) + tensor.numel()
    return found


def write(
    folder: Path, gan: GAN, config: Mapping[str, Any], card: str, samples: Tensor, *, overwrite: bool = False,
    beside: Mapping[str, str] = MappingProxyType({}),
) -> Path:  # fmt: skip
    """Publish into a folder, which is there as a whole or not at all; returns it.

    Args:
        folder: must not exist, or be empty; with `overwrite`, an older one that was published.
        gan: what to publish.
        config: all fields of the format.
        card: Markdown.
        samples: images or points for the picture.
        overwrite: replace an older one.
        beside: texts of `zoo.hub.space` by their names.

    Raises:
        ValueError: if there is something else at `folder`, or what was written does not read back as the same GAN.
    """
    folder = Path(folder)
    _refuse_occupied(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        made = Path(scratch, "new")
        made.mkdir()
        save_file({name: x.detach().cpu().clone().contiguous() for name, x in gan.state_dict().items()}, made / WEIGHTS)
        (made / CONFIG).write_text(json.dumps(config, indent=1, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
        (made / CARD).write_text(card, "utf-8")
        (made / WEIGHTS).chmod((made / CONFIG).stat().st_mode)  # safetensors hides it from other users
        save_picture(samples, made / SAMPLES)
        for name, text in beside.items():
            (made / name).write_text(text, "utf-8")
        (made / SUMS).write_text(
            "".join(f"{_sha256(made / name)}  {name}\n" for name in FILES if name != SUMS), "ascii"
        )
        if not torch.equal(read(made).sample(4, seed=0), gan.cpu().eval().sample(4, seed=0)):
            raise ValueError(f"{folder}: the published GAN would not make the samples of {type(gan).__name__}")
        if folder.exists():
            folder.rename(Path(scratch, "old"))
        made.rename(folder)
    return folder


def _refuse_occupied(folder: Path, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    published = (
        folder.is_dir() and {p.name for p in folder.iterdir()} <= {*FILES, *space.FILES} and (folder / SUMS).is_file()
    )
    if not published:
        raise ValueError(f"{folder} is there, and is no published checkpoint: choose another folder")
    if not overwrite:
        raise ValueError(f"{folder} is already published: choose another folder, or use --overwrite")


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is {'a file' if folder.exists() else 'not there'}; a published checkpoint is a folder"
        )
    missing = [name for name in FILES if not os.path.lexists(folder / name)]
    if missing:
        raise ValueError(f"{folder} is no published checkpoint, or only a part of one: it has no {', '.join(missing)}")
    for name in FILES:
        if (folder / name).is_symlink() or not (folder / name).is_file():
            raise ValueError(f"{folder / name} is a link or no file; a published checkpoint has plain files")
        if (size := (folder / name).stat().st_size) > _LARGEST.get(name, size):
            raise ValueError(f"{folder / name} has {size} bytes, and never more than {_LARGEST[name]} where it is ours")
    beside = [p for p in folder.iterdir() if p.name not in FILES]
    extra = sorted(p.name for p in beside if p.suffix.lower() in _LOADABLE or p.is_symlink())
    if extra:
        raise ValueError(f"{folder} has {', '.join(extra)}, which SHA256SUMS does not list: move it elsewhere")


def _check_sums(folder: Path) -> None:
    listed: dict[str, str] = {}
    for line in (folder / SUMS).read_text("ascii", "replace").splitlines():
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None or match[2] not in FILES[:-1]:
            raise ValueError(f"{folder / SUMS}: {line!r} is no checksum of {', '.join(FILES[:-1])}")
        listed[match[2]] = match[1]
    for name in FILES[:-1]:
        if name not in listed:
            raise ValueError(f"{folder / SUMS} does not list {name}: publish or fetch it again")
        if _sha256(folder / name) != listed[name]:
            raise ValueError(f"{folder / name} is damaged: it is not what SHA256SUMS says; publish or fetch it again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {str(error) or type(error).__name__}") from None
    if not isinstance(config, dict) or "schema" not in config:
        raise ValueError(f"{path} has no schema: it is not of a published checkpoint")
    if config["schema"] != SCHEMA or type(config["schema"]) is not int:
        raise ValueError(f"{path} has schema {config['schema']!r}, zoo {__version__} reads {SCHEMA}: use a newer zoo")
    for key, kind in _FIELDS.items():
        if not isinstance(config.get(key, ...), kind):
            raise ValueError(
                f"{path}: {key} is {'wrong' if key in config else 'missing'}: this is not how it was published"
            )
    for key in ("name", "version"):
        check_word(config[key], f"{path}: {key}")
    check_game(config["game"], path)
    return config


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON's")


def check_game(game: Any, path: Path) -> None:
    """ValueError unless `game` has the counters of :func:`counters`, and names what is frozen if anything is."""
    if not isinstance(game, dict) or not all(_is_count(game.get(key)) for key in _COUNTERS):
        raise ValueError(f"{path}: game must have {', '.join(_COUNTERS)}, whole numbers from 0 up")
    frozen = game.get("frozen", ())
    if not isinstance(frozen, list | tuple) or not all(isinstance(name, str) for name in frozen):
        raise ValueError(f"{path}: game: frozen must be a list of names")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def check_word(text: str, what: str) -> None:
    """ValueError unless it is letters, digits, ".", "-" and "_", as names and versions are."""
    if not _WORD.fullmatch(text):
        raise ValueError(f"{what} {text!r} can have letters, digits, '.', '-' and '_' only")
