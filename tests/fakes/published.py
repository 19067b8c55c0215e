"""A small checkpoint to publish, and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from zoo.hub import bundle, recipe
from zoo.hub.card import card

Files = dict[str, bytes]


def publishable(folder: Path, *, seed: int = 0, version: str = "1") -> Path:
    """Writes an untrained WGAN-GP on 2-D points, whose weights depend on the seed."""
    torch.manual_seed(seed)
    shape = {"image_shape": [2], "width": 8}
    networks = {
        "generator": {"class_path": "MLPGenerator", "init_args": {**shape, "latent_dim": 3}},
        "discriminator": {"class_path": "MLPDiscriminator", "init_args": shape},
    }
    gan = recipe.build("wgan_gp", networks)
    nothing = dict.fromkeys(["seed", "device", "ranks", "versions", "git", "command", "status", "ended", "seconds"])
    config: dict[str, Any] = {
        "schema": bundle.SCHEMA, "name": "wgan_gp-ring", "version": version, "variant": "wgan_gp",
        "objective": "wgan_gp", "init_args": networks, "parts": bundle.parts(gan), "game": bundle.counters(gan),
        "data": None, "scores": None, "samples": {"n": 4, "seed": 0},
        "training": {"kimg": 0.0, "steps": 0, "seeds": [], "config": None, "run_kimg": None,
                     "images_per_second": None, "init_from": None, **nothing},
    }  # fmt: skip
    return bundle.write(folder, gan, config, card(config, gan), gan.sample(4, seed=0))


def files(folder: Path) -> Files:
    """All of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
