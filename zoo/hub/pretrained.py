"""Trained GANs by reference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from zoo.gan import GAN
from zoo.hub import bundle, catalogue
from zoo.hub.load import load
from zoo.run.folders import checkpoint_of

SCHEMES = ("hf", "wandb")


def from_pretrained(ref: str | Path, *, map_location: str | torch.device = "cpu") -> GAN:
    """The published GAN that `ref` names, verified and loaded strictly, in evaluation mode, on `map_location`.

    No pickle is read, and no class or module that the files name is imported: only those of the zoo are built.

    Args:
        ref: as for :func:`resolve`.
        map_location: where its tensors go.

    Raises:
        ValueError: if there is no such checkpoint; if it is damaged or not whole, or of another schema; if it is of an
            unknown variant, or its tensors do not fit what its configuration builds.
    """
    return bundle.read(resolve(ref), map_location=map_location)


def resolve(ref: str | Path) -> Path:
    """The local folder of a published checkpoint. In this order, `ref` is

    - a `Path`, or a string with a path separator, or that begins with "." or "~": that folder;
    - "hf:OWNER/REPO[@REVISION]" or "wandb:ENTITY/PROJECT/NAME[:ALIAS]": what the server has, kept in the cache;
    - "NAME[@VERSION]" of the catalogue; a folder of the same name here is refused as ambiguous;
    - a folder here.

    A name with a scheme is never a path, and a path never a name. What is in the folder is not looked at.

    Raises:
        ValueError: if there is nothing of that name, with close names, or two things.
    """
    if not isinstance(ref, str):
        return _folder(Path(ref))
    scheme, colon, _ = ref.partition(":")
    if colon and scheme in SCHEMES:
        from zoo.hub import remote

        return remote.fetch(ref)
    if ref.startswith((".", "~")) or any(separator in ref for separator in {"/", os.sep}):
        return _folder(Path(ref).expanduser())
    name, _, version = ref.partition("@")
    here = Path(ref)
    if name not in catalogue.names():
        if ref and here.exists():
            return _folder(here)
    elif here.exists():
        raise ValueError(
            f"{ref!r} is in the catalogue, and a folder here: write ./{ref} for the folder, or go elsewhere"
        )
    return catalogue.find(name, version or None)


def trained(
    ref: str | Path, *, trust: Sequence[str] = (), prefer: Literal["best", "last"] = "best",
    map_location: str | torch.device = "cpu",
) -> GAN:  # fmt: skip
    """The GAN of a run on this disk as for :func:`load`, else a published one as for :func:`from_pretrained`."""
    checkpoint = checkpoint_of(ref, prefer)
    if checkpoint is None:
        return from_pretrained(ref, map_location=map_location)
    return load(checkpoint, trust=trust, map_location=map_location)


def _folder(path: Path) -> Path:
    if path.is_dir():
        return path
    if path.is_file():
        raise ValueError(f"{path} is a file: zoo.load reads a run's .ckpt; a published checkpoint is a folder")
    hint = (
        f"; did you mean hf:{path}, of the Hugging Face Hub?" if len(path.parts) == 2 and not path.is_absolute() else ""
    )
    raise ValueError(f"there is no folder {path}{hint}")
