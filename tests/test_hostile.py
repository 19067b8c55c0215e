"""Hostile files run no code, write nothing outside their folder, and take no memory unasked."""

import os
import pickle
import resource
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import torch

import zoo
from tests.bundles import forge, refused, seal
from tests.corpus.checkpoints import DESCRIPTION, GAME, generator, tensors, whole
from tests.corpus.images import EPS, TEXT_BOMB, png
from tests.fits import DIGITS, NSGAN
from zoo.cli.main import main
from zoo.hub.finetune import read as read_source

CODE = "from pathlib import Path\nPath('pwned').touch()\nfrom torch.nn import Identity as Net\n"


@pytest.fixture(autouse=True)
def armed(tmp_path: Path, monkeypatch):
    """Code that leaves a file where it ran, and can be imported by name; after the test it must not have."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "canary.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CANARY", str(tmp_path / "pwned"))
    yield
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path.parent / "escaped").exists()
    assert "canary" not in sys.modules


class Payload:
    """Unpickled, it would leave a file."""

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os.system, ("touch $CANARY",)


def test_the_payload_is_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload()))
    (tmp_path / "pwned").unlink()
    torch.save({"a": Payload()}, "x.ckpt")
    torch.load("x.ckpt", weights_only=False)
    (tmp_path / "pwned").unlink()


PLACES: dict[str, Callable[[], Any]] = {
    "itself": Payload,
    "beside": lambda: whole(extra=Payload()),
    "description": lambda: whole(hyper_parameters={**DESCRIPTION, "ema_decay": Payload()}),
    "network": lambda: whole(hyper_parameters={**DESCRIPTION, "generator": generator(width=Payload())}),
    "tensors": lambda: whole(state_dict={**tensors(), "x": Payload()}),
    "game": lambda: whole(game={**GAME, "seed": Payload()}),
    "callbacks": lambda: whole(callbacks={"RunRecord": {"wandb_id": Payload()}}),
    "optimisers": lambda: whole(optimizer_states=[Payload()]),
    "key": lambda: whole(callbacks={"RunRecord": {("a", 1): [Payload()]}}),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_pickle_runs_nothing(place: str) -> None:
    torch.save(PLACES[place](), "x.ckpt")
    for reads in (zoo.load, read_source):
        with pytest.raises(ValueError, match=r"x\.ckpt"):
            reads("x.ckpt")


@pytest.mark.parametrize("subcommand", ["fit", "validate"])
def test_going_on_from_a_pickle_runs_nothing(subcommand: str, capsys) -> None:
    torch.save(PLACES["callbacks"](), "x.ckpt")
    with pytest.raises(SystemExit):
        main([subcommand, "-c", str(NSGAN), "-c", str(DIGITS), "--ckpt_path=x.ckpt"])
    assert "x.ckpt" in capsys.readouterr().err.splitlines()[-1]


def test_a_bare_pickle_runs_nothing() -> None:
    Path("x.ckpt").write_bytes(pickle.dumps(Payload()))
    torch.save(Payload(), "old.ckpt", _use_new_zipfile_serialization=False)
    for name in ("x.ckpt", "old.ckpt"):
        with pytest.raises(ValueError, match=name):
            zoo.load(name)


@pytest.mark.parametrize(
    "changes",
    [
        {"_class_path": "os.system", "command": "touch pwned"},
        {"_class_path": "canary.Net"},
        {"_class_path": "zoo.cli.main.main"},
        {"_class_path": "zoo.variants.nsgan.torch"},
        {"generator": {"class_path": "canary.Net"}},
        {"generator": {"class_path": "os.system", "init_args": {"command": "touch pwned"}}},
        {"generator": {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "pwned"]}}},
        {"generator": {"class_path": "pathlib.Path", "init_args": {}}},
        {"generator": {"class_path": "zoo.metrics.features.Fidelity", "init_args": {"name": "vgg16"}}},
        {"generator": {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": "."}}},
        {"generator": {"class_path": "torch.jit.ScriptModule"}},
        {"generator": {"class_path": "torchvision.models.ResNet", "init_args": {}}},
        {"generator": {"class_path": "zoo.backbones.MLPGenerator", "init_args": {"norm": {"class_path": "os.system"}}}},
        {"generator": "canary.Net"},
        {"generator": "./evil.yaml"},
        {"generator": "evil"},
        {"generator": "{class_path: canary.Net}"},
        {"g_optimizer": "os.system"},
        {"g_optimizer": {"class_path": "canary.Net"}},
        {"stabilizers": [{"class_path": "canary.Net", "dict_kwargs": {}}]},
        {
            "dynamics": {
                "class_path": "zoo.dynamics.Alternating",
                "init_args": {"d_steps": {"class_path": "canary.Net"}},
            }
        },
        {"init_from": {"ref": "x", "class_path": "canary.Net"}},
    ],
    ids=repr,
)
def test_a_checkpoint_chooses_no_code(changes: dict[str, Any]) -> None:
    for name in ("evil.yaml", "evil"):
        Path(name).write_text("{class_path: canary.Net}")
    torch.save(whole(hyper_parameters={**DESCRIPTION, **changes}), "x.ckpt")
    with pytest.raises(ValueError, match=r"x\.ckpt.*(is no |if you trust|latent_dim|be built|init_from)"):
        zoo.load("x.ckpt")


def test_an_instantiator_is_not_looked_up() -> None:
    torch.save(whole(hyper_parameters={**DESCRIPTION, "_instantiator": "os.system"}), "x.ckpt")
    assert type(zoo.load("x.ckpt")).__name__ == "NSGAN"


@pytest.mark.parametrize("text", ["{class_path: canary.Net}", "class_path: canary.Net", "canary.Net"])
def test_a_source_is_no_configuration(text: str, capsys) -> None:
    """The parser would read an existing file as YAML and import what it names."""
    Path("x.ckpt").write_text(text)
    for option in (["--model.init_from=x.ckpt"], ["--model.init_from", "x.ckpt"], ["-c", "mine.yaml"]):
        Path("mine.yaml").write_text("model: {init_args: {init_from: x.ckpt}}")
        with pytest.raises(SystemExit):
            main(["fit", "-c", str(NSGAN), "-c", str(DIGITS), *option])
        assert "x.ckpt" in capsys.readouterr().err.splitlines()[-1]


def test_archives_are_not_unpacked(tmp_path: Path) -> None:
    torch.save(whole(), "good.ckpt")
    with zipfile.ZipFile("good.ckpt") as good, zipfile.ZipFile("x.ckpt", "w") as evil:
        for name in good.namelist():
            evil.writestr(name, good.read(name))
        evil.writestr("../escaped", "out")
        evil.writestr(str(tmp_path / "pwned"), "out")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"x\.ckpt"):
        zoo.load("x.ckpt")
    assert set(tmp_path.rglob("*")) == before


# Memory.

GIB = 1 << 30


@pytest.fixture
def little_memory():
    """A GiB more than now; beyond it every allocation fails."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


LARGE = [
    {"width": 10**9}, {"width": 10**5}, {"width": 10**18}, {"width": 10**30}, {"depth": 10**9}, {"depth": 10**30},
    {"latent_dim": 10**9}, {"num_classes": 10**9}, {"image_shape": [10**9]}, {"image_shape": [10**5] * 3},
]  # fmt: skip


@pytest.mark.parametrize("sizes", LARGE, ids=repr)
def test_a_network_beyond_its_file_is_never_built(sizes: dict[str, Any], little_memory) -> None:
    torch.save(whole(hyper_parameters={**DESCRIPTION, "generator": generator(**sizes)}), "x.ckpt")
    with pytest.raises(ValueError, match=r"x\.ckpt") as caught:
        zoo.load("x.ckpt")
    assert "no memory" not in str(caught.value)  # it was not even asked for


@pytest.fixture
def folder(small_bundle: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in small_bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


@pytest.mark.parametrize("sizes", LARGE, ids=repr)
def test_a_published_network_beyond_its_file_is_never_built(folder: Path, sizes, little_memory) -> None:
    forge(folder, lambda config: config["init_args"]["generator"]["init_args"].update(sizes))
    refused(folder)


def test_tensors_that_repeat_their_bytes_are_counted(little_memory) -> None:
    wide = {name: torch.zeros(1).expand(10**5, 10**5) for name in tensors()}
    torch.save(whole(state_dict=wide, hyper_parameters={**DESCRIPTION, "generator": generator(width=10**5)}), "x.ckpt")
    with pytest.raises(ValueError, match="cannot hold"):
        zoo.load("x.ckpt")


def test_a_description_that_repeats_itself_is_left_early(little_memory) -> None:
    bomb: Any = ["x"] * 10
    for _ in range(12):
        bomb = [bomb] * 10
    torch.save(whole(hyper_parameters={**DESCRIPTION, "stabilizers": bomb}), "x.ckpt")
    with pytest.raises(ValueError, match="more than 100,000"):
        zoo.load("x.ckpt")


@pytest.mark.parametrize("name", ["\ud800", "a" * 100_000, "../x", "/x", "", "generator.net.0.bias\0"])
def test_strange_names_of_tensors(folder: Path, name: str) -> None:
    head = b'{"' + name.encode("ascii", "backslashreplace") + b'":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(4))
    seal(folder)
    refused(folder, "model.safetensors")


def test_numbers_that_are_none_are_refused(folder: Path) -> None:
    forge(folder, lambda config: config["training"].update(kimg=float("nan")))
    refused(folder, "config.json", "NaN")


# Images.


def test_decompression_bombs_take_no_memory(tmp_path: Path, little_memory) -> None:
    from zoo.datamodules.image_folder import decode

    bombs = {
        "wide.png": png(2**31 - 1, 1, bytes(100)),
        "square.png": png(60_000, 60_000, bytes(100)),
        "limit.png": png(8193, 8192, bytes(100)),
        "note.png": png(8, 8, bytes(72), TEXT_BOMB),
        "frames.gif": b"GIF89a\xff\xff\xff\xff\0\0\0" + b"," + struct.pack("<HHHH", 0, 0, 65535, 65535) + b"\0\x08",
        "strip.tif": b"II*\0\x08\0\0\0\x02\0" + b"".join(struct.pack("<HHII", k, 4, 1, 2**31) for k in (256, 257)),
    }  # fmt: skip
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name) as refused:
            decode([tmp_path / name], (3, 8, 8))
        if name == "limit.png":  # which Pillow would let through
            assert "67,117,056 pixels, more than 67,108,864" in str(refused.value)


def test_many_large_images_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch) -> None:
    from zoo.datamodules import decoding
    from zoo.datamodules.image_folder import decode

    monkeypatch.setattr(decoding, "_LARGE", 10)
    inside, most = [0], [0]
    convert = decoding._convert

    def counted(*args):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        sleep(0.002)
        made = convert(*args)
        inside[0] -= 1
        return made

    monkeypatch.setattr(decoding, "_convert", counted)
    for k in range(24):
        (tmp_path / f"{k}.png").write_bytes(png(64, 64, bytes(65 * 64)))
    decode(sorted(tmp_path.glob("*.png")), (1, 8, 8))
    assert most[0] == 1


def test_an_image_starts_no_program(tmp_path: Path, monkeypatch) -> None:
    """Pillow hands EPS, whatever its file is called, to Ghostscript."""
    from zoo.datamodules.image_folder import decode

    (tmp_path / "gs").write_text("#!/bin/sh\ntouch $CANARY\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "a.png").write_bytes(EPS)
    with pytest.raises(ValueError, match=r"a\.png"):
        decode([tmp_path / "a.png"], (3, 8, 8))


# Downloads.


def test_every_download_has_a_checksum() -> None:
    """Of torchvision's sets MD5, for W&B and the Hub SHA256SUMS, of Inception the digits in its name."""
    import inspect

    from torchvision import datasets

    from zoo.datamodules.downloads import CIFAR10, MNIST, Downloaded, FashionMNIST
    from zoo.metrics.features import fidelity

    assert set(Downloaded.__subclasses__()) == {MNIST, CIFAR10}
    for kind in (MNIST, FashionMNIST):
        assert all(len(md5) == 32 for _, md5 in kind.source.resources)
    assert all(len(md5) == 32 for _, md5 in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list)
    assert len(datasets.CIFAR10.tgz_md5) == 32
    assert 'hash_prefix="6726825d"' in inspect.getsource(fidelity._find_inception)


def test_an_archive_with_another_checksum_is_not_unpacked(tmp_path: Path, monkeypatch) -> None:
    """What a server sends instead of CIFAR-10: a tar with pickles, and with a path that leads out."""
    import tarfile

    from zoo.datamodules import CIFAR10

    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as tar:
        for name in ("cifar-10-batches-py/data_batch_1", "../escaped"):
            tar.add(tmp_path / "canary.py", name)
    monkeypatch.setattr("torchvision.datasets.CIFAR10.url", (tmp_path / "evil.tar.gz").as_uri())
    with pytest.raises(ValueError, match="CIFAR10: files missing or broken"):
        CIFAR10(root=str(tmp_path / "data")).setup()
    assert not list((tmp_path / "data").rglob("data_batch_1"))


def test_batches_that_were_altered_are_not_unpickled(tmp_path: Path, monkeypatch) -> None:
    from zoo.datamodules import CIFAR10

    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("no network")))
    root = tmp_path / "data/cifar-10-batches-py"
    root.mkdir(parents=True)
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"):
        (root / name).write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ValueError, match="CIFAR10: files missing or broken"):
        CIFAR10(root=str(tmp_path / "data")).setup()
