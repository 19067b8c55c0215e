"""Of trained GANs: checkpoints of every wrong kind, and published folders with a piece missing, extra or altered."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from tests.bundles import publish
from tests.corpus import FIT, Case, zoo
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.variants.nsgan import NSGAN

NETWORK = {"image_shape": [1, 8, 8], "width": 4, "depth": 1}
DESCRIPTION = {
    "_class_path": "zoo.variants.nsgan.NSGAN",
    "_instantiator": "lightning.pytorch.cli.instantiate_module",
    "generator": {"class_path": "zoo.backbones.MLPGenerator", "init_args": {**NETWORK, "latent_dim": 3}},
    "discriminator": {"class_path": "zoo.backbones.MLPDiscriminator", "init_args": NETWORK},
}
GAME = {"steps": 5, "images": 320, "g_moves": 5, "seed": 0}


@cache
def tensors() -> dict[str, torch.Tensor]:
    return NSGAN(MLPGenerator(**NETWORK, latent_dim=3), MLPDiscriminator(**NETWORK)).state_dict()


def whole(**changes: Any) -> dict[str, Any]:
    """A checkpoint as `train.py` writes it, but for what only Lightning reads; ... leaves an entry out."""
    made = {"game": GAME, "hyper_parameters": DESCRIPTION, "state_dict": tensors(), **changes}
    return {key: value for key, value in made.items() if value is not ...}


def described(**changes: Any) -> dict[str, Any]:
    return whole(hyper_parameters={**DESCRIPTION, **changes})


def saved(content: Any) -> Callable[[Path], object]:
    return lambda path: torch.save(content, path)


def generator(**changes: Any) -> dict[str, Any]:
    return {**DESCRIPTION["generator"], "init_args": {**DESCRIPTION["generator"]["init_args"], **changes}}


def cut(path: Path) -> None:
    torch.save(whole(), path)
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    torch.save(whole(), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def packed(path: Path) -> None:
    """The same archive, compressed."""
    torch.save(whole(), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped", "out")


STRIDED = torch.zeros(1).expand(100_000, 100_000)  # 40 GB, of four bytes
KINDS: list[tuple[Any, tuple[str, ...]]] = [
    (b"", ("cut short",)),
    ("text", ("cut short",)),
    (None, ("no checkpoint",)),
    (pickle.dumps({"state_dict": {}}), ("cut short",)),
    (lambda path: torch.save(whole(), path, _use_new_zipfile_serialization=False), ("cut short",)),
    (cut, ("cut short",)),
    (flipped, ("damaged",)),
    (packed, ("compressed",)),
    (other_zip, ("cannot be read",)),
    (lambda path: save_file({"a": torch.zeros(2)}, path), ("cut short",)),
    (saved([1, 2]), ("list",)),
    (saved(torch.zeros(3)), ("Tensor",)),
    (saved(nn.Linear(2, 2)), ("cannot be read",)),
    (saved(nn.Linear(2, 2).state_dict()), ("not written by the zoo", "game")),
    (saved(OrderedDict(tensors())), ("game",)),
    (saved({"state_dict": tensors(), "epoch": 0, "hyper_parameters": {"lr": 1}}), ("not written by the zoo", "game")),
    (saved(whole(game=3)), ("game", "whole numbers")),
    (saved(whole(game={**GAME, "images": -1})), ("game", "whole numbers")),
    (saved(whole(game={**GAME, "images": 10**400})), ("game", "whole numbers")),
    (saved(whole(game={**GAME, "frozen": "all"})), ("frozen", "list")),
    (saved(whole(game={**GAME, "frozen": ["nope"]})), ("nope",)),
    (saved(whole(hyper_parameters=...)), ("load_from_checkpoint",)),
    (saved(whole(hyper_parameters=[1])), ("objective",)),
    (saved(described(_class_path=3)), ("objective",)),
    (saved(described(_class_path="zoo.variants.nsgan.Nope")), ("zoo.variants.nsgan.Nope",)),
    (saved(described(_class_path="torch.nn.Linear")), ("torch.nn.Linear", "no GAN")),
    (saved(described(generator=3)), ("latent_dim",)),
    (saved(described(generator={"class_path": "zoo.backbones.MLPGeneratr"})), ("MLPGeneratr",)),
    (saved(described(generator=generator(widht=3))), ("widht",)),
    (saved(described(generator=generator(width="x"))), ("cannot be built",)),
    (saved(described(generator=generator(width=5))), ("does not fit", "generator.net.0.weight", "(4, 3)", "(5, 3)")),
    (saved(described(gp_weigth=3)), ("gp_weigth",)),
    (saved(described(init_from={"nope": 1})), ("init_from", "nope")),
    (saved(whole(state_dict=...)), ("no networks",)),
    (saved(whole(state_dict=[1])), ("no networks",)),
    (saved(whole(state_dict={1: torch.zeros(1)})), ("no networks",)),
    (saved(whole(state_dict={})), ("is missing", "more")),
    (saved(whole(state_dict={**tensors(), "extra": torch.zeros(1)})), ("extra belongs to nothing",)),
    (saved(whole(state_dict={**tensors(), "generator.net.0.bias": "text"})), ("net.0.bias", "no plain tensor")),
    (saved(whole(state_dict={**tensors(), "generator.net.0.bias": torch.zeros(4).to_sparse()})), ("no plain tensor",)),
    (saved(whole(state_dict={**tensors(), "x": STRIDED})), ("40000002404 bytes", "cannot hold")),
]  # fmt: skip


def published(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda path: change(publish(path))


FOLDERS = [
    ("config.json", lambda g: (g / "config.json").unlink(), ("g", "config.json")),
    ("g/model.safetensors", lambda g: (g / "model.safetensors").write_bytes(b""), ("damaged",)),
    ("g/README.md", lambda g: (g / "README.md").write_text("other"), ("damaged",)),
    ("g/SHA256SUMS", lambda g: (g / "SHA256SUMS").write_text("x"), ("no checksum",)),
    ("last.ckpt", lambda g: (g / "last.ckpt").write_bytes(b""), ("last.ckpt",)),
    ("g/samples.png", lambda g: [(g / "samples.png").unlink(), (g / "samples.png").symlink_to("/proc/1")], ("link",)),
    ("g", lambda g: [file.unlink() for file in g.iterdir()], ("it has no", "SHA256SUMS")),
]  # fmt: skip

CASES = [
    *(zoo("sample x.ckpt", "x.ckpt", *words, files={"x.ckpt": content}) for content, words in KINDS),
    *(zoo("sample ./g", name, *words, files={"g": published(change)}) for name, change, words in FOLDERS),
    zoo("sample ./file", "file", files={"file": "mine"}),
    zoo("export x.ckpt out", "run.json", "--name", files={"x.ckpt": saved(whole())}),
    zoo("export x.ckpt out --name a/b", "'a/b'", files={"x.ckpt": saved(whole())}),
    zoo("export x.ckpt out", "run.json", "not JSON", files={"x.ckpt": saved(whole()), "run.json": "{"}),
    zoo("export x.ckpt out --name n", "out", "no published", files={"x.ckpt": saved(whole()), "out/a": "mine"}),
    zoo("export x.ckpt file --name n", "file", files={"x.ckpt": saved(whole()), "file": "mine"}),
    Case("zoo export x.ckpt ro/out --name n", ("ro", "Read-only"), {"x.ckpt": saved(whole()), "ro": None}, True),
    zoo("evaluate x.ckpt -c {zoo}/configs/data/digits.yaml", "(1, 8, 8)", files={"x.ckpt": saved(whole())}),
    Case(FIT + "--ckpt_path=x.ckpt", ("x.ckpt", "no checkpoint", "last.ckpt")),
    Case(FIT + "--ckpt_path=x.ckpt", ("x.ckpt", "cut short"), {"x.ckpt": "text"}),
    Case(FIT + "--ckpt_path=x.ckpt", ("x.ckpt", "game"), {"x.ckpt": saved({"state_dict": tensors()})}),
    Case(FIT + "--ckpt_path=x.ckpt", ("x.ckpt", "does not fit the model", "more", "is config.yaml, taken where -c is"),
         {"x.ckpt": saved(whole()), "config.yaml": ""}),
    Case(FIT.replace("fit", "validate", 1).replace(" --trainer.max_steps=1", "") + "--ckpt_path=x.ckpt",
         ("x.ckpt", "cut short"), {"x.ckpt": "text"}),
    Case(FIT + "--model.init_from=x.ckpt", ("init_from", "x.ckpt", "cut short"), {"x.ckpt": "text"}),
    Case(FIT + "--model.init_from=x.ckpt", ("init_from", "x.ckpt", "does not fit"), {"x.ckpt": saved(whole())}),
    Case(FIT + "--model.init_from=x.ckpt", ("init_from", "no networks"), {"x.ckpt": saved(whole(state_dict=3))}),
]  # fmt: skip
