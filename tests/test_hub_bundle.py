"""The published format: what is written is read back bit for bit, and whatever else lies there is refused."""

import hashlib
import json
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.bundles import ARGUMENTS, described, forge, game, publish, refused, seal
from tests.games import same, snapshot
from zoo.hub import bundle
from zoo.hub.bundle import FILES, read, verify


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return publish(tmp_path_factory.mktemp("published") / "wgan_gp-digits")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


# What is written.


def test_what_is_written_is_read_back(original: Path) -> None:
    mine, theirs = game(), read(original)
    assert same(snapshot(mine), snapshot(theirs))
    assert torch.equal(mine.eval().sample(5, seed=1), theirs.sample(5, seed=1))
    assert not any(module.training for module in theirs.modules())
    assert (theirs.kimg, theirs.steps, theirs.g_moves, theirs.noise.seed) == (0.448, 7, 2, 5)
    (optimizer, _) = theirs.configure_optimizers()[::-1]
    assert (optimizer.defaults["lr"], optimizer.defaults["betas"]) == (1e-3, (0.0, 0.999))
    assert [type(s).__name__ for s in theirs.stabilizers] == ["SpectralNorm", "VirtualBatchNorm"]


def test_its_tensors_are_those_of_the_state(original: Path) -> None:
    found = bundle.tensors(original)
    assert same(found, snapshot(game()))
    assert sum(bundle.parts(game()).values()) == sum(value.numel() for value in found.values())


def test_the_checksums_are_those_of_sha256sum(original: Path) -> None:
    lines = dict(reversed(line.split("  ")) for line in (original / "SHA256SUMS").read_text().splitlines())
    assert set(lines) == set(FILES) - {"SHA256SUMS"}
    assert all(hashlib.sha256((original / name).read_bytes()).hexdigest() == told for name, told in lines.items())
    assert {path.name for path in original.iterdir()} == set(FILES)


def test_an_older_one_is_replaced_only_if_asked_for(folder: Path) -> None:
    before = (folder / "SHA256SUMS").read_bytes()
    with pytest.raises(ValueError, match=r"already published.*--overwrite"):
        publish(folder)
    assert (folder / "SHA256SUMS").read_bytes() == before
    other = game()
    other.generator_ema.load_state_dict({k: v + 1 for k, v in other.generator_ema.state_dict().items()})
    publish(folder, other, overwrite=True)
    assert same(bundle.tensors(folder), snapshot(other))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_is_something_else_is_never_replaced(folder: Path) -> None:
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="is no published checkpoint"):
        publish(folder, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "mine"
    (folder.parent / "file").write_text("mine")
    with pytest.raises(ValueError, match="is no published checkpoint"):
        publish(folder.parent / "file", overwrite=True)


def test_a_failure_leaves_nothing_or_the_older_one(folder: Path, tmp_path: Path) -> None:
    gan = game()
    before = (folder / "SHA256SUMS").read_bytes()
    lying = described(gan, init_args={**ARGUMENTS, "gp_weight": float("nan")})
    for place in (folder, tmp_path / "new"):
        with pytest.raises(ValueError, match="JSON"):
            bundle.write(place, gan, lying, "", gan.sample(4, seed=0), overwrite=True)
    assert (folder / "SHA256SUMS").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


# What is refused as damaged.


@pytest.mark.parametrize("name", [name for name in FILES if name != "SHA256SUMS"])
@pytest.mark.parametrize("damage", ["bit", "half", "longer"])
def test_damage_is_refused(folder: Path, name: str, damage: str) -> None:
    whole = (folder / name).read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    (folder / name).write_bytes({"bit": flipped, "half": whole[: len(whole) // 2], "longer": whole + b"\0"}[damage])
    refused(folder, name, "is damaged", by=verify)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, "it has no", name, by=verify)


@pytest.mark.parametrize("name", FILES)
def test_a_link_is_refused(folder: Path, name: str) -> None:
    (folder / name).rename(folder.parent / name)
    (folder / name).symlink_to(folder.parent / name)
    refused(folder, name, "is a link", by=verify)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text + f"{'0' * 64}  ../../secret\n", "../../secret"),
        (lambda text: text + f"{'0' * 64}  /etc/passwd\n", "/etc/passwd"),
        (lambda text: text + f"{'0' * 64}  other.safetensors\n", "other.safetensors"),
        (lambda text: "".join(text.splitlines(True)[1:]), "does not list config.json"),
        (lambda text: "", "does not list config.json"),
        (lambda text: text.upper(), "is no checksum"),
        (lambda text: text * 100, "bytes"),
    ],
)
def test_strange_checksums_are_refused(folder: Path, change: Callable[[str], str], said: str) -> None:
    (folder / "SHA256SUMS").write_text(change((folder / "SHA256SUMS").read_text()))
    refused(folder, "SHA256SUMS", said, by=verify)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model2.safetensors", "adapter_config.json", "last.CKPT"])
def test_what_is_not_listed_may_not_lie_beside(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    refused(folder, name, by=verify)
    (folder / name).unlink()
    (folder / "app.py").symlink_to("/etc/passwd")  # which `publish` would send
    refused(folder, "app.py", by=verify)
    (folder / "app.py").unlink()
    (folder / ".gitattributes").write_text("")
    verify(folder)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "not there")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "is a file")


# What is refused as forged: the checksums are right.


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("schema", 2, "schema 2"), ("schema", "1", "schema '1'"), ("schema", True, "schema True"),
        ("objective", "wgan_pg", "did you mean wgan_gp"), ("objective", "os", "no objective 'os'"),
        ("objective", "zoo.variants.wgan_gp", "no objective"), ("name", "../../x", "'../../x'"), ("version", "", "''"),
        ("init_args", [], "init_args"), ("game", {"steps": -1, "images": 0, "g_moves": 0, "seed": 0}, "game"),
        ("game", {"steps": 1, "images": 0, "g_moves": 0}, "game"), ("training", None, "training"),
        ("game", {"steps": 1, "images": 0, "g_moves": 0, "seed": 0, "frozen": 3}, "frozen must be a list of names"),
    ],
)  # fmt: skip
def test_a_configuration_of_another_kind_is_refused(folder: Path, key: str, value: Any, said: str) -> None:
    forge(folder, lambda config: config.update({key: value}))
    refused(folder, "config.json", said)


@pytest.mark.parametrize("text", ["[]", "{", "{}", "[" * 100_000, '{"schema": 1}', " " * 2_000_000], ids=len)
def test_what_is_no_configuration_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    seal(folder)
    refused(folder, "config.json", by=verify)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("generator", {"class_path": "DCGANGeneratr", "init_args": {}}, "did you mean DCGANGenerator"),
        ("generator", {"class_path": "canary.Net", "init_args": {}}, "unknown class 'canary.Net'"),
        ("generator", {"class_path": "zoo.backbones.DCGANGenerator"}, "unknown class"),
        ("generator", {"class_path": "torch.nn.Linear", "init_args": {}}, "unknown class"),
        ("generator", {"class_path": "Path", "init_args": {}}, "unknown class"),
        ("generator", {"class_path": ["DCGANGenerator"]}, "a class has a class_path"),
        ("generator", {"_target_": "canary.Net"}, "a class has a class_path"),
        ("generator", {"class_path": "Adam", "init_args": {}}, "must have latent_dim"),
        ("generator", "canary.Net", "must have latent_dim"),
        ("g_optimizer", "canary.Net", "WGANGP cannot be built"),
        ("stabilizers", [{"class_path": "canary.Net"}], "stabilizers[0]"),
        ("dynamics", {"class_path": "Alternating", "init_args": {"d_steps": {"class_path": "canary.Net"}}}, "d_steps"),
        ("gp_weigth", 10.0, "gp_weigth"),
        ("gp_weight", -1.0, "weight"),
        ("init_from", "somewhere", "init_from"),
    ],
)
def test_a_class_that_is_not_the_zoos_is_refused_unseen(
    folder: Path, tmp_path: Path, monkeypatch, place: str, value: Any, said: str
) -> None:
    (tmp_path / "canary.py").write_text("from torch.nn import Identity as Net")
    monkeypatch.syspath_prepend(tmp_path)
    forge(folder, lambda config: config["init_args"].update({place: value}))
    refused(folder, said)
    assert "canary" not in sys.modules


def retensor(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = {name: value.clone() for name, value in load_file(folder / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    seal(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.update(extra=torch.zeros(1)), "extra belongs to nothing"),
        (lambda t: t.pop("discriminator.head.bias"), "discriminator.head.bias is missing"),
        (lambda t: t.update({"discriminator.head.bias": torch.zeros(2)}), "(2,), config.json wants float32 (1,)"),
        (lambda t: t.update({"discriminator.head.bias": torch.zeros(1).long()}), "is int64 (1,)"),
        (lambda t: [t.pop(k) for k in list(t) if k.startswith("generator_ema")], "more"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_refused(folder: Path, change: Callable, said: str) -> None:
    retensor(folder, change)
    refused(folder, "model.safetensors", said)


# Hostile weights: (the header's length as it says, the header, bytes that follow).

ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("length", "header", "data"),
    [
        (2**63, {}, b""),
        (None, {"a": {**ONE, "shape": [2**40], "data_offsets": [0, 2**42]}}, b"\0" * 4),  # larger than its file
        (None, {"a": {**ONE, "shape": [0, 2**62], "data_offsets": [0, 0]}}, b""),
        (None, {"a": {**ONE, "shape": [1] * 100_000}}, b"\0" * 4),
        (None, {"a": {**ONE, "dtype": "F4", "shape": [8]}}, b"\0" * 4),  # two numbers to a byte
        (None, {"a": ONE, "b": ONE}, b"\0" * 4),  # one on the other
        (None, {"a": {**ONE, "dtype": "\r\x1b[2J"}}, b"\0" * 4),  # quoted by the error, it would clear the terminal
        (None, {"a": ONE}, b"\0" * 8),
        (None, [1], b""),
    ],
)
def test_hostile_weights_are_refused(folder: Path, length: int | None, header: Any, data: bytes) -> None:
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    seal(folder)
    refused(folder, "model.safetensors")
