"""Published folders, whole and forged."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.gan import GAN
from zoo.hub import bundle, recipe
from zoo.hub.bundle import read

IMAGE = {"image_shape": [1, 8, 8], "width": 2}
ARGUMENTS = {
    "generator": {"class_path": "DCGANGenerator", "init_args": {**IMAGE, "latent_dim": 8}},
    "discriminator": {"class_path": "DCGANDiscriminator", "init_args": {**IMAGE, "norm": "none"}},
    "stabilizers": [{"class_path": "SpectralNorm"}, {"class_path": "VirtualBatchNorm", "init_args": {"size": 4}}],
    "g_optimizer": {"class_path": "Adam", "init_args": {"lr": 1e-3, "beta1": 0.0}},
    "ema_decay": 0.9,
}


def game(seed: int = 3) -> GAN:
    torch.manual_seed(seed)
    return recipe.build("wgan_gp", ARGUMENTS)


def described(gan: GAN, **changes: Any) -> dict[str, Any]:
    return {
        "schema": 1, "name": "wgan_gp-digits", "version": "1", "variant": "wgan_gp", "objective": "wgan_gp",
        "init_args": ARGUMENTS, "parts": bundle.parts(gan), "data": None,
        "game": {"steps": 7, "images": 448, "g_moves": 2, "seed": 5},
        "training": {"kimg": 0.448, "seconds": None, "seeds": []}, "scores": None,
        "samples": {"n": 4, "seed": 0}, **changes,
    }  # fmt: skip


def publish(folder: Path, gan: GAN | None = None, *, overwrite: bool = False, **changes: Any) -> Path:
    gan = gan or game()
    config = described(gan, **changes)
    return bundle.write(folder, gan, config, "# card\n", gan.sample(4, seed=0), overwrite=overwrite)


def files(folder: Path) -> dict[str, bytes]:
    """All of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def seal(folder: Path) -> None:
    """Checksums for what is there now, as a forger would write them."""
    names = ("config.json", "model.safetensors", "README.md", "samples.png")
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(sums))


def forge(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    seal(folder)


def refused(folder: Path, *words: str, by: Callable[[Path], object] = read) -> None:
    with pytest.raises(ValueError, match=re.escape(str(folder))) as caught:
        by(folder)
    said = str(caught.value)
    assert all(word in said for word in words), said
    assert said.isprintable()
