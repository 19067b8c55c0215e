"""Publishing: what is sent is what is said, once, and loads as what it was."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import zoo
from tests.fakes.calls import Calls
from tests.fakes.hub import FakeHub
from tests.fakes.published import files, publishable
from tests.fakes.wandb import KEY, FakeWandb
from zoo.__main__ import main
from zoo.hub.bundle import FILES
from zoo.hub.publish import Plan, publish
from zoo.hub.remote import fetch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = publishable(tmp_path_factory.mktemp("published") / "ring")
    (made / "notes.txt").write_text("nobody else's business")
    return made


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub, and nobody signed in to it."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    with FakeHub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield server
    assert server.unknown == []


def own(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(folder).items() if name in FILES}


# The Hugging Face Hub


def test_a_hub_has_the_five_files_in_one_commit_and_gives_the_same_gan(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    ref = publish(folder, hf="me/ring")
    repo = hub.repos["me/ring"]
    assert ref == f"hf:me/ring@{repo.refs['main']}"
    assert len(repo.commits) == 2  # the Hub's own, with .gitattributes, and ours
    sent = repo.commits[repo.refs["main"]]
    assert {name: data for name, data in sent.items() if name != ".gitattributes"} == own(folder)
    original, loaded = (zoo.from_pretrained(r).sample(4, seed=0) for r in (folder, ref))
    assert torch.equal(original, loaded)


def test_a_second_version_leaves_the_first_where_it_was(
    hub: FakeHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    newer = publishable(tmp_path / "newer", seed=1, version="2")
    first, second = publish(folder, hf="me/ring"), publish(newer, hf="me/ring")
    assert first != second
    assert files(fetch(str(first))) == own(folder)
    assert files(fetch(str(second))) == files(fetch("hf:me/ring")) == files(newer)


def test_without_a_token_it_only_says_what_it_would_send(
    hub: FakeHub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(folder), "--hf", "me/ring"]) == 0
    told = capsys.readouterr().out
    assert f"{hub.url}/me/ring, one commit on main" in told
    assert "the Hugging Face Hub has no token here" in told
    for name, data in own(folder).items():
        assert f"{len(data):>12,} B  {name}\n" in told
    assert f"{sum(map(len, own(folder).values())):>12,} B  in all" in told
    assert "notes.txt" not in told
    assert hub.asked == []


def test_no_dry_run_without_a_token_is_an_error_and_sends_nothing(
    hub: FakeHub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(folder), "--hf", "me/ring", "--no-dry-run"]) == 2
    told = capsys.readouterr().err
    assert told == "error: hf:me/ring: the Hugging Face Hub has no token here: use `hf auth login` or $HF_TOKEN\n"
    assert hub.asked == []


def test_a_dry_run_can_be_asked_for_and_the_token_is_told_to_nobody(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert isinstance(publish(folder, hf="me/ring", dry_run=True), Plan)
    assert main(["publish", str(folder), "--hf", "me/ring", "--dry-run"]) == 0
    assert hub.asked == []
    assert main(["publish", str(folder), "--hf", "me/ring"]) == 0
    told = capsys.readouterr()
    commit = hub.repos["me/ring"].refs["main"]
    assert f"published; zoo.from_pretrained('hf:me/ring@{commit}') loads it" in told.out
    assert hub.token not in told.out + told.err


def test_a_token_that_the_hub_refuses(hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ValueError, match=r"^hf:me/ring is not published: .*401") as caught:
        publish(folder, hf="me/ring")
    assert "hf_wrong" not in str(caught.value)
    assert hub.repos == {}


def test_a_folder_is_verified_before_anybody_is_asked(
    hub: FakeHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name, data in own(folder).items():
        (damaged / name).write_bytes(data[:-1] + b"!" if name == "README.md" else data)
    for bad, words in {damaged: "README.md is damaged", tmp_path / "none": "is not there"}.items():
        for dry_run in (True, False, None):
            with pytest.raises(ValueError, match=words):
                publish(bad, hf="me/ring", dry_run=dry_run)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({}, "publish to one place"),
        ({"hf": "me/ring", "wandb": "me/zoo/ring"}, "publish to one place"),
        ({"hf": "ring"}, "no reference to a published checkpoint"),
        ({"hf": "../ring"}, "no reference to a published checkpoint"),
        ({"hf": "me/ring@v1"}, "gets a revision of its own"),
        ({"wandb": "zoo/ring"}, "no reference to a published checkpoint"),
        ({"wandb": "me/zoo/ring:best"}, "gets a revision of its own"),
    ],
)
def test_places_that_are_none(folder: Path, places: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        publish(folder, **places)


def test_the_command_takes_one_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--hf", "me/ring", "--wandb", "me/zoo/ring"]):
        with pytest.raises(SystemExit, match="2"):
            main(["publish", str(folder), *words])
        assert "--hf" in capsys.readouterr().err


# W&B


def test_wandb_has_the_five_files_in_one_version_and_gives_the_same_gan(
    wandb: FakeWandb, calls: Calls, folder: Path, tmp_path: Path
) -> None:
    sent = calls("zoo.hub.publish.publish", folder, wandb="local/zoo/ring")
    assert sent.error == ""
    assert sent.value == "wandb:local/zoo/ring:v0"
    assert KEY not in sent.output
    (artifact,) = wandb.artifacts.values()
    assert (artifact.type, artifact.state, artifact.aliases) == ("model", "COMMITTED", {"v0", "1", "latest"})
    assert json.loads(artifact.metadata) == json.loads((folder / "config.json").read_text())
    assert set(wandb.contents(artifact)) == set(FILES)
    (run,) = wandb.runs.values()
    assert (run.state, run.job) == ("finished", "publish")
    assert not {"wandb-metadata.json", "requirements.txt", "diff.patch"} & run.files  # nothing of this machine
    loaded = calls("tests.fakes.calls.samples", "wandb:local/zoo/ring:1", env={"GAN_ZOO_CACHE": str(tmp_path)})
    assert loaded.value == zoo.from_pretrained(folder).sample(4, seed=0).tolist()


def test_without_credentials_wandb_is_sent_nothing(wandb: FakeWandb, calls: Calls, folder: Path) -> None:
    before = len(wandb.asked)
    nobody = {"WANDB_API_KEY": None}
    plan = calls("zoo.hub.publish.publish", folder, wandb="local/zoo/other", env=nobody)
    assert f"5 files to {wandb.url}, model local/zoo/other with the aliases 1 and latest" in plan.value
    assert all(f"{len(data):>12,} B  {name}" in plan.value for name, data in own(folder).items())
    refused = calls("zoo.hub.publish.publish", folder, wandb="local/zoo/other", dry_run=False, env=nobody)
    assert refused.error.startswith("wandb:local/zoo/other: W&B has no credentials here")
    assert len(wandb.asked) == before


def test_a_version_that_wandb_would_count_itself(calls: Calls, tmp_path: Path) -> None:
    folder = publishable(tmp_path / "ring", version="v1")
    told = calls("zoo.hub.publish.publish", folder, wandb="local/zoo/ring", dry_run=False).error
    assert told.startswith("wandb:local/zoo/ring: W&B counts versions v0, v1, ... itself")
