"""Trained GANs by reference: which reference means what, and every command that takes one."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

import zoo
from tests.bundles import forge, publish
from tests.fits import DIGITS, train
from tests.games import same, snapshot
from zoo.__main__ import main
from zoo.hub import catalogue
from zoo.hub.export import export
from zoo.hub.pretrained import resolve, trained

NAME = "wgan_gp-digits"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return train("wgan_gp", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def shelf(run: Path, tmp_path_factory) -> Path:
    """A catalogue of two, one of which was trained here."""
    folder = tmp_path_factory.mktemp("catalogue")
    export(run / "last.ckpt", folder / NAME, version="2")
    publish(folder / "made-up")
    forge(folder / "made-up", lambda config: config.update(name="made-up"))
    return folder


@pytest.fixture(autouse=True)
def elsewhere(shelf: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(catalogue, "DATA", shelf)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))


def test_a_name_is_the_catalogues(shelf: Path) -> None:
    assert resolve(NAME) == resolve(f"{NAME}@2") == shelf / NAME
    assert catalogue.names() == ["made-up", NAME]


def test_a_path_is_a_folder(shelf: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(shelf / NAME, "mine")
    assert resolve("./mine") == resolve(Path("mine")) == resolve("mine") == Path("mine")
    assert resolve(str(tmp_path / "mine")) == tmp_path / "mine"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/mine") == tmp_path / "mine"


def test_a_name_that_is_a_folder_here_too_is_ambiguous(shelf: Path) -> None:
    shutil.copytree(shelf / "made-up", NAME)
    with pytest.raises(ValueError, match=rf"\./{NAME}"):
        resolve(NAME)
    assert resolve(f"./{NAME}") == Path(NAME)
    assert resolve(f"{NAME}@2") == shelf / NAME


@pytest.mark.parametrize("ref", ["hf:owner/repo@main", "hf:repo", "wandb:e/p/n:latest"])
def test_a_scheme_is_a_server(ref: str, monkeypatch, shelf: Path) -> None:
    remote = SimpleNamespace(fetch=lambda asked: shelf / asked.replace("/", "_"))
    monkeypatch.setitem(sys.modules, "zoo.hub.remote", remote)
    monkeypatch.setattr("zoo.hub.remote", remote, raising=False)
    Path(ref).mkdir(parents=True)
    assert resolve(ref) == shelf / ref.replace("/", "_")


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("wgan_gp-digit", f"did you mean {NAME}"),
        ("zzz", f"choose from made-up, {NAME}"),
        (f"{NAME}@1", f"has version 2 of {NAME}, not '1'"),
        ("", "the catalogue has no"),
        ("..", "config.json"),
        ("owner/repo", "did you mean hf:owner/repo"),
        ("./nowhere", "there is no folder nowhere"),
        ("ftp:x", "the catalogue has no 'ftp:x'"),
        ("file.txt", "is a file"),
        ("./file.txt", "is a file"),
    ],
)
def test_what_is_nothing_is_refused_with_what_there_is(ref: str, said: str) -> None:
    Path("file.txt").write_text("")
    with pytest.raises(ValueError, match=said) as caught:
        zoo.from_pretrained(ref)
    assert "\n" not in str(caught.value)


def test_every_way_gives_the_same_samples(run: Path, shelf: Path, capsys) -> None:
    wanted = zoo.load(run / "last.ckpt").sample(9, seed=4)
    for ref in (NAME, f"{NAME}@2", shelf / NAME, str(shelf / NAME)):
        assert torch.equal(zoo.from_pretrained(ref).sample(9, seed=4), wanted)
    assert torch.equal(trained(str(run / "last.ckpt")).sample(9, seed=4), wanted)
    pictures = []
    for ref in (NAME, str(shelf / NAME), str(run / "last.ckpt")):
        assert main(["sample", ref, "--n", "9", "--seed", "4", "-o", "out.png"]) == 0
        pictures.append(Path("out.png").read_bytes())
    assert pictures[0] == pictures[1] == pictures[2]
    assert capsys.readouterr().out.count("9 samples of WGANGP at 0.128 kimg") == 3


def test_it_goes_to_a_device(shelf: Path) -> None:
    gan = zoo.from_pretrained(NAME, map_location="meta")
    assert {x.device.type for x in gan.state_dict().values()} == {"meta"}


def test_the_published_score_is_measured_again(shelf: Path) -> None:
    words = ["-c", str(DIGITS), "--data.image_size", "8", "--n", "1000", "--metrics", "fd"]
    assert main(["evaluate", NAME, *words, "--json", "scores.json"]) == 0
    told = catalogue.Entry(shelf / NAME).config["scores"]["final"]
    again = json.loads(Path("scores.json").read_text())
    assert again["scores"]["fd/digits-cnn"] == pytest.approx(told["scores"]["fd/digits-cnn"], rel=1e-4)
    same_in_both = ("extractor", "fingerprint", "n_real", "n_fake", "split", "seed", "ema")
    assert [again[key] for key in same_in_both] == [told[key] for key in same_in_both]


def test_the_catalogue_is_a_table(shelf: Path, capsys) -> None:
    assert main(["models"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == list(catalogue.HEADS)
    assert first.split() == ["made-up", "wgan_gp", "2", "0.448", "-", "-", "-", "-", "1", "-", first.split()[-1]]
    assert second.startswith(f"{NAME}")
    assert first.index("0.448") == second.index("0.128") == head.index("kimg")


def test_an_empty_catalogue_is_an_empty_table(monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setattr(catalogue, "DATA", tmp_path / "nowhere")
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    with pytest.raises(ValueError, match="it is empty"):
        resolve(NAME)


def test_reproduce_trains_the_same_once_more(run: Path, tmp_path: Path) -> None:
    root = ["--trainer.default_root_dir", str(tmp_path / "again")]
    assert main(["reproduce", NAME, *root, "--trainer.accelerator=cpu", "--trainer.logger=false"]) == 0
    (again,) = (tmp_path / "again").iterdir()
    assert same(snapshot(zoo.load(again / "last.ckpt")), snapshot(zoo.from_pretrained(NAME)))
    assert again.name.startswith("wgan_gp-digits-")
    mine, theirs = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (again, run))
    assert all(mine[key] == theirs[key] for key in ("model", "data", "seed_everything", "variant", "dataset"))


@pytest.mark.parametrize("ref", ["./hostile", "hostile", "hf:owner/hostile", "wandb:e/p/n"])
def test_reproduce_takes_nothing_from_elsewhere(ref: str, shelf: Path, monkeypatch, capsys) -> None:
    shutil.copytree(shelf / NAME, "hostile")
    monkeypatch.setattr("zoo.cli.main.main", lambda args: pytest.fail("it trained"))
    assert main(["reproduce", ref]) == 2
    assert "trusts a configuration from there only" in capsys.readouterr().err


def test_reproduce_says_where_it_cannot(capsys, shelf: Path, monkeypatch, tmp_path: Path) -> None:
    shutil.copytree(shelf / NAME, tmp_path / "shelf" / NAME)
    monkeypatch.setattr(catalogue, "DATA", tmp_path / "shelf")
    forge(tmp_path / "shelf" / NAME, lambda config: config["training"].update(config=None))
    assert main(["reproduce", NAME]) == 2
    assert "left no configuration" in capsys.readouterr().err
    (tmp_path / "shelf" / NAME / "config.json").write_text((shelf / NAME / "config.json").read_text())
    assert main(["reproduce", NAME]) == 2
    assert "is damaged" in capsys.readouterr().err
