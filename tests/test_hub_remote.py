"""Checkpoints from the Hugging Face Hub and from W&B: the same bits, or one sentence."""

from pathlib import Path

import pytest
import torch

import zoo
from tests.bundles import files, game, publish
from tests.fakes.hub import Files, Hub, Models
from zoo.hub import remote
from zoo.hub.bundle import FILES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("published") / "ring")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return files(publish(tmp_path_factory.mktemp("other") / "ring", game(1), version="2"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(monkeypatch)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Models:
    return Models(monkeypatch)


def refusal(ref: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - every test looks at the sentence
        remote.fetch(ref)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left(cache: Path) -> list[str]:
    """All files of the cache."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


EVIL = dict.fromkeys(("../../../evil", "config.json/../evil", "sub/config.json", "model.pkl"), b"evil")


# The Hugging Face Hub


def test_from_a_hub_come_the_same_files_and_samples_and_no_other_file(
    hub: Hub, folder: Path, tmp_path: Path, cache: Path
) -> None:
    hub.add("o/ring", {**EVIL, f"{tmp_path}/evil": b"evil", **files(folder)})
    assert files(remote.fetch("hf:o/ring")) == files(folder)
    assert left(cache) == sorted(FILES)
    original, loaded = (zoo.from_pretrained(ref).sample(4, seed=0) for ref in (folder, "hf:o/ring"))
    assert torch.equal(original, loaded)


def test_a_branch_moves_and_a_commit_does_not(
    hub: Hub, folder: Path, other: Files, caplog: pytest.LogCaptureFixture
) -> None:
    first = hub.add("o/ring", files(folder))
    with caplog.at_level("INFO"):
        remote.fetch("hf:o/ring")
    assert f"hf:o/ring is hf:o/ring@{first}" in caplog.text
    second = hub.add("o/ring", other)
    for ref, wanted in {"@main": other, "": other, f"@{first}": files(folder), f"@{second}": other}.items():
        assert files(remote.fetch(f"hf:o/ring{ref}")) == wanted, ref


def test_a_commit_is_asked_for_once_and_then_needs_no_network(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add("o/ring", files(folder))
    fetched = remote.fetch(ref := f"hf:o/ring@{commit}")
    hub.down = OSError("no route\nto host")
    assert remote.fetch(ref) == fetched
    assert hub.calls == ["model_info", "snapshot_download"]
    told = refusal("hf:o/ring")
    assert "cannot be reached" in told
    assert told.endswith(f"no route; the cache has {ref}")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # another Hub's folder is another
    assert "http://127.0.0.1:9 cannot be reached" in refusal(ref)


def test_an_interrupted_download_is_completed(hub: Hub, folder: Path) -> None:
    commit = hub.add("o/ring", files(folder))
    fetched = remote.fetch("hf:o/ring")
    (fetched / "samples.png").unlink()
    assert files(remote.fetch(f"hf:o/ring@{commit}")) == files(folder)


def test_what_a_hub_does_not_have_or_show(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.add("o/ring", files(folder))
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert "no such model" in (told := refusal("hf:o/rong"))
    assert told.endswith("private and `hf auth login` or $HF_TOKEN opens it")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
    assert refusal("hf:o/rong").endswith("private and your token does not open it")
    assert "o/ring has no revision 'v9'" in refusal("hf:o/ring@v9")
    hub.repos["o/ring"]["../../evil"] = hub.repos["o/ring"].pop(commit)
    assert refusal("hf:o/ring").endswith("names '../../evil' as its commit")


@pytest.mark.parametrize("gone", [("config.json",), ("samples.png", "SHA256SUMS"), FILES])
def test_another_models_repository_is_told_by_what_it_lacks(hub: Hub, folder: Path, gone: tuple[str, ...]) -> None:
    hub.add("o/bert", {"README.md": b"# BERT", **{n: d for n, d in files(folder).items() if n not in gone}})
    missing = [name for name in gone if name != "README.md"]
    assert refusal("hf:o/bert").endswith(f"is no checkpoint that the zoo published: it has no {', '.join(missing)}")
    assert hub.calls == ["model_info"]


@pytest.mark.parametrize("name", FILES)
def test_a_bit_flipped_on_the_way_or_on_the_disk_is_found_and_not_kept(
    hub: Hub, cache: Path, folder: Path, name: str
) -> None:
    commit = hub.add("o/ring", files(folder))
    hub.damaged = name
    told = refusal("hf:o/ring")
    assert told.startswith("hf:o/ring: ")
    assert name in told or name == "SHA256SUMS"
    assert str(cache) not in told  # a place that is empty by now
    assert left(cache) == []
    hub.damaged = ""
    fetched = remote.fetch("hf:o/ring")
    assert files(fetched) == files(folder)
    (fetched / name).write_bytes(files(folder)[name][:-1] + b"!")
    assert refusal(f"hf:o/ring@{commit}").startswith(f"hf:o/ring@{commit}: ")
    assert files(remote.fetch(f"hf:o/ring@{commit}")) == files(folder)


def test_what_is_too_large_is_not_downloaded(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("o/ring", files(folder))
    hub.sizes = {"model.safetensors": 1_100_000_000}
    assert "is 1100 MB, more than the 1024 MB that $GAN_ZOO_DOWNLOAD_LIMIT allows" in refusal("hf:o/ring")
    hub.sizes["README.md"] = None
    assert "is of unknown size" in refusal("hf:o/ring")
    monkeypatch.setenv("GAN_ZOO_DOWNLOAD_LIMIT", "much")
    assert refusal("hf:o/ring") == "GAN_ZOO_DOWNLOAD_LIMIT='much' is no number of MB"
    assert set(hub.calls) == {"model_info"}
    monkeypatch.setenv("GAN_ZOO_DOWNLOAD_LIMIT", "1101")
    hub.sizes = {"README.md": 1_100_000_000}
    assert files(remote.fetch("hf:o/ring")) == files(folder)


@pytest.mark.parametrize(
    "ref",
    ["hf:ring", "hf:o/ring/x", "hf:../ring", "hf:o/..", "hf:o/ring@", "hf:", "wandb:e/p", "wandb:e/../n",
     "wandb:e/p/n:", "wandb:e/p/n:a/b", "wandb:./p/n", "s3:o/ring", "o/ring"],
)  # fmt: skip
def test_other_forms_are_refused(ref: str) -> None:
    told = refusal(ref)
    assert told.startswith(f"{ref!r} is no reference")
    assert told.endswith("write hf:OWNER/REPO[@REVISION] or wandb:ENTITY/PROJECT/NAME[:ALIAS]")


# W&B


def test_from_wandb_come_the_same_files_and_samples_and_no_other_file(
    wandb: Models, folder: Path, other: Files, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wandb.add("e/p/ring", {**EVIL, **files(folder)}, "1")
    wandb.add("e/p/ring", other, "2")
    original, loaded = (zoo.from_pretrained(ref).sample(4, seed=0) for ref in (folder, "wandb:e/p/ring:1"))
    assert torch.equal(original, loaded)
    with caplog.at_level("INFO"):
        assert files(remote.fetch("wandb:e/p/ring")) == other
    assert "wandb:e/p/ring is wandb:e/p/ring:v1" in caplog.text
    assert left(cache) == sorted(FILES * 2)
    wandb.key = False
    for version, wanted in {"v0": files(folder), "v1": other}.items():  # which are in the cache by now
        assert files(remote.fetch(f"wandb:e/p/ring:{version}")) == wanted
    assert "use `wandb login` or $WANDB_API_KEY" in refusal("wandb:e/p/ring")


def test_what_wandb_has_and_is_no_published_checkpoint(wandb: Models, folder: Path, cache: Path) -> None:
    whole = files(folder)
    wandb.add("e/p/pickled", {"model.ckpt": b"a pickle", "config.json": b"{}"})
    wandb.add("e/p/linked", whole, config={"ref": "file:///etc/hostname"})
    wandb.add("e/p/large", whole, README={"size": 1_100_000_000})
    wandb.add("e/p/edited", {**whole, "config.json": whole["config.json"].replace(b"digits", b"digitz")})
    wandb.add("e/p/strange", whole).version = "../../v1"
    wandb.add("e/p/lost", whole).get_entry = lambda name: 1 / 0
    assert "shows no such model: artifact membership 'e/p/none:latest' not found" in refusal("wandb:e/p/none")
    assert refusal("wandb:e/p/pickled").endswith("it has no model.safetensors, README.md, samples.png, SHA256SUMS")
    assert refusal("wandb:e/p/linked").endswith("config.json is only a reference to another place")
    assert "is 1100 MB, more than the 1024 MB" in refusal("wandb:e/p/large")
    assert refusal("wandb:e/p/edited").startswith("wandb:e/p/edited: config.json is damaged")
    assert "as its version" in refusal("wandb:e/p/strange")
    assert refusal("wandb:e/p/lost") == "wandb:e/p/lost cannot be downloaded: division by zero"
    assert left(cache) == []
