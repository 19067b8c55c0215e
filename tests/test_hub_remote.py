"""Checkpoints from a Hub and from W&B: the same bits, or one sentence."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import zoo
from tests.fakes.calls import Calls
from tests.fakes.hub import FakeHub
from tests.fakes.published import Files, files, publishable
from tests.fakes.wandb import KEY, FakeWandb
from zoo.hub import remote
from zoo.hub.bundle import FILES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publishable(tmp_path_factory.mktemp("published") / "ring")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return files(publishable(tmp_path_factory.mktemp("other") / "ring", seed=1, version="2"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub, and nobody signed in to it."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with FakeHub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        yield server
    assert server.unknown == []


def refusal(ref: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - every test looks at the sentence
        remote.fetch(ref)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left(cache: Path) -> list[str]:
    """All files of the cache."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def downloads(hub: FakeHub) -> set[str]:
    return {request.path.rpartition("/")[2] for request in hub.asked if "/resolve/" in request.path}


# The Hugging Face Hub


def test_from_a_hub_come_the_same_files_and_samples_and_no_other_file(hub: FakeHub, folder: Path) -> None:
    hub.add("o/ring", {**files(folder), "pytorch_model.bin": b"a pickle", ".gitattributes": b""})
    fetched = remote.fetch("hf:o/ring")
    assert files(fetched) == files(folder)
    assert downloads(hub) == set(FILES)
    original, loaded = (zoo.from_pretrained(ref).sample(4, seed=0) for ref in (folder, "hf:o/ring"))
    assert torch.equal(original, loaded)


def test_names_of_a_remote_list_write_nothing_anywhere(hub: FakeHub, folder: Path, tmp_path: Path, cache: Path) -> None:
    evil = dict.fromkeys(("../../../evil", f"{tmp_path}/evil", "config.json/../evil", "sub/config.json"), b"evil")
    hub.add("o/ring", {**evil, **files(folder)})
    assert files(remote.fetch("hf:o/ring")) == files(folder)
    assert left(cache) == sorted(FILES)
    assert not list(tmp_path.rglob("evil"))
    assert downloads(hub) == set(FILES)


def test_a_branch_moves_and_a_commit_does_not(hub: FakeHub, folder: Path, other: Files) -> None:
    first = hub.add("o/ring", files(folder))
    before = remote.fetch("hf:o/ring")
    second = hub.add("o/ring", other)
    hub.repos["o/ring"].refs["v1"] = first
    for ref, wanted in {"@main": other, "": other, f"@{first}": files(folder), f"@{second}": other}.items():
        assert files(remote.fetch(f"hf:o/ring{ref}")) == wanted, ref
    assert remote.fetch("hf:o/ring@v1") == before != remote.fetch("hf:o/ring")


def test_the_commit_behind_a_branch_is_told(hub: FakeHub, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    commit = hub.add("o/ring", files(folder))
    with caplog.at_level("INFO"):
        remote.fetch("hf:o/ring")
    assert f"hf:o/ring is hf:o/ring@{commit}" in caplog.text


def test_a_commit_is_asked_for_once_and_then_needs_no_network(hub: FakeHub, folder: Path) -> None:
    commit = hub.add("o/ring", files(folder))
    ref = f"hf:o/ring@{commit}"
    fetched = remote.fetch(ref)
    asked = len(hub.asked)
    assert remote.fetch(ref) == fetched
    assert len(hub.asked) == asked
    hub.__exit__()
    assert remote.fetch(ref) == fetched
    told = refusal("hf:o/ring")
    assert "cannot be reached" in told
    assert ref in told  # what can be had instead
    hub.__enter__()


def test_two_hubs_do_not_mix(hub: FakeHub, folder: Path, other: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.add("o/ring", files(folder))
    remote.fetch(f"hf:o/ring@{commit}")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached" in refusal(f"hf:o/ring@{commit}")


def test_what_a_hub_does_not_have_or_show(hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("o/ring", files(folder))
    hub.add("o/secret", files(folder), private=True)
    assert "no such model" in refusal("hf:o/rong")
    assert "o/ring has no revision 'v9'" in refusal("hf:o/ring@v9")
    assert "private and `hf auth login` or $HF_TOKEN opens it" in refusal("hf:o/secret")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    told = refusal("hf:o/secret")
    assert "keeps you out" in told
    assert "hf_wrong" not in told
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert files(remote.fetch("hf:o/secret")) == files(folder)
    assert "private and your token does not open it" in refusal("hf:o/rong")


@pytest.mark.parametrize("gone", [("config.json",), ("samples.png", "SHA256SUMS"), FILES])
def test_another_models_repository_is_told_by_what_it_lacks(
    hub: FakeHub, cache: Path, folder: Path, gone: tuple[str, ...]
) -> None:
    hub.add("o/bert", {"README.md": b"# BERT", **{n: d for n, d in files(folder).items() if n not in gone}})
    missing = [name for name in gone if name != "README.md"]
    assert refusal("hf:o/bert").endswith(f"is no checkpoint that the zoo published: it has no {', '.join(missing)}")
    assert not downloads(hub)


@pytest.mark.parametrize("name", FILES)
def test_a_bit_flipped_on_the_way_is_found_and_nothing_is_kept(
    hub: FakeHub, cache: Path, folder: Path, name: str
) -> None:
    hub.add("o/ring", files(folder))
    hub.damaged = {name}
    told = refusal("hf:o/ring")
    assert told.startswith("hf:o/ring: ")
    assert name in told or name == "SHA256SUMS"
    assert str(cache) not in told  # no place that is gone already
    assert left(cache) == []
    hub.damaged = set()
    assert files(remote.fetch("hf:o/ring")) == files(folder)


def test_what_is_too_large_is_not_downloaded(hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("o/ring", files(folder))
    hub.claimed = {"model.safetensors": 1_100_000_000}
    told = refusal("hf:o/ring")
    assert "is 1100 MB, more than the 1024 MB that $GAN_ZOO_DOWNLOAD_LIMIT allows" in told
    assert not downloads(hub)
    monkeypatch.setenv("GAN_ZOO_DOWNLOAD_LIMIT", "much")
    assert refusal("hf:o/ring") == "GAN_ZOO_DOWNLOAD_LIMIT='much' is no number of MB"
    monkeypatch.setenv("GAN_ZOO_DOWNLOAD_LIMIT", "1101")
    hub.claimed = {"README.md": 1_100_000_000}
    assert files(remote.fetch("hf:o/ring")) == files(folder)


def test_a_copy_that_the_disk_damaged_is_not_used(hub: FakeHub, folder: Path) -> None:
    commit = hub.add("o/ring", files(folder))
    fetched = remote.fetch("hf:o/ring")
    weights = fetched / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    for ref in ("hf:o/ring", f"hf:o/ring@{commit}"):
        told = refusal(ref)
        assert "in the cache is damaged" in told
        assert told.endswith(f"delete {fetched}")


def test_who_is_second_takes_the_folder_of_who_was_first(
    hub: FakeHub, cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add("o/ring", files(folder))
    verify = remote.verify

    def overtaken(downloaded: Path) -> dict:
        place = downloaded.parent.parent / commit
        if downloaded.name != commit:
            place.mkdir()
            for name, data in files(downloaded).items():
                (place / name).write_bytes(data)
        return verify(downloaded)

    monkeypatch.setattr(remote, "verify", overtaken)
    assert files(remote.fetch("hf:o/ring")) == files(folder)
    assert left(cache) == sorted(FILES)


@pytest.mark.parametrize(
    "ref",
    ["hf:ring", "hf:o/ring/x", "hf:../ring", "hf:o/..", "hf:o/ring@", "hf:", "wandb:e/p", "wandb:e/../n",
     "wandb:e/p/n:", "wandb:e/p/n:a/b", "wandb:./p/n", "s3:o/ring", "o/ring"],
)  # fmt: skip
def test_other_forms_are_refused(cache: Path, ref: str) -> None:
    told = refusal(ref)
    assert told.startswith(f"{ref!r} is no reference")
    assert told.endswith("write hf:OWNER/REPO[@REVISION] or wandb:ENTITY/PROJECT/NAME[:ALIAS]")


# W&B


def test_from_wandb_come_the_same_files_and_samples_and_no_other_file(
    wandb: FakeWandb, calls: Calls, folder: Path, other: Files, tmp_path: Path
) -> None:
    wandb.add("zoo", "ring", {**files(folder), "../../evil": b"evil", "model.pkl": b"a pickle"}, "1")
    wandb.add("zoo", "ring", other, "2")
    env = {"GAN_ZOO_CACHE": str(tmp_path)}
    original = zoo.from_pretrained(folder).sample(4, seed=0).tolist()
    assert calls("tests.fakes.calls.samples", "wandb:local/zoo/ring:1", env=env).value == original
    newest = calls("zoo.hub.remote.fetch", "wandb:local/zoo/ring", env=env)
    assert files(Path(newest.value)) == other
    assert "wandb:local/zoo/ring is wandb:local/zoo/ring:v1" in newest.output
    assert KEY not in newest.output
    assert left(tmp_path) == sorted(FILES * 2)
    nobody = {**env, "WANDB_API_KEY": None, "WANDB_MODE": "offline"}
    refs = ["wandb:local/zoo/ring:v0", "wandb:local/zoo/ring:v1"]  # which are in the cache by now
    kept = calls("tests.fakes.calls.fetched", refs, env=nobody).value
    assert [files(Path(path)) for path in kept] == [files(folder), other]


def test_what_wandb_does_not_have_or_show(wandb: FakeWandb, calls: Calls, folder: Path, tmp_path: Path) -> None:
    wandb.add("zoo", "circle", files(folder))
    wrong = "bad" * 14

    def told(*names: str, **env: str | None) -> list[str]:
        refs = [f"wandb:local/{name}" for name in names]
        outcome = calls("tests.fakes.calls.fetched", refs, env={"GAN_ZOO_CACHE": str(tmp_path), **env})
        for ref, error in zip(refs, outcome.value, strict=True):
            assert error.startswith(f"{ref}: ")
            assert "\n" not in error
            assert KEY not in error + outcome.output
            assert wrong not in error + outcome.output
        return outcome.value

    unknown = told("zoo/cercle", "zoo/circle:best", "zoo/circle:v7", "other/circle")
    assert all("shows no such model" in error for error in unknown)
    assert "use `wandb login` or $WANDB_API_KEY" in told("zoo/circle", WANDB_API_KEY=None)[0]
    assert "keeps you out" in told("zoo/circle", WANDB_API_KEY=wrong)[0]
    assert left(tmp_path) == []


def test_what_wandb_has_and_is_no_published_checkpoint(
    wandb: FakeWandb, calls: Calls, folder: Path, tmp_path: Path
) -> None:
    wandb.add("zoo", "pickled", {"model.ckpt": b"a pickle", "config.json": b"{}"})
    for name, file, claim in (
        ("linked", "config.json", {"ref": "file:///etc/hostname"}),
        ("large", "README.md", {"size": 1_100_000_000}),
    ):
        artifact = wandb.add("zoo", name, {**files(folder), "samples.png": name.encode()})
        contents = wandb.contents(artifact)
        wandb.rewrite(artifact, {**contents, file: {**contents[file], **claim}})
    config = json.loads((folder / "config.json").read_text())
    wandb.add("zoo", "edited", {**files(folder), "config.json": json.dumps({**config, "name": "edited"}).encode()})
    wandb.add("zoo", "flipped", files(folder))
    wandb.damaged = {"model.safetensors"}

    names = ("pickled", "linked", "large", "edited", "flipped")
    refs = [f"wandb:local/zoo/{name}" for name in names]
    told = calls("tests.fakes.calls.fetched", refs, env={"GAN_ZOO_CACHE": str(tmp_path)}).value
    wandb.damaged = set()
    pickled, linked, large, edited, flipped = told
    assert pickled.endswith("it has no model.safetensors, README.md, samples.png, SHA256SUMS")
    assert linked.endswith("config.json is only a reference to another place")
    assert "is 1100 MB, more than the 1024 MB" in large
    assert edited.startswith("wandb:local/zoo/edited: config.json is damaged")
    assert flipped.startswith("wandb:local/zoo/flipped: model.safetensors")
    assert left(tmp_path) == []
