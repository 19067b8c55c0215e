"""Publishing: the files of the plan are sent, once, and load as the same GAN."""

import json
from pathlib import Path

import pytest
import torch

import zoo
from tests import bundles
from tests.bundles import files
from tests.fakes.hub import Hub, Models
from zoo.__main__ import main
from zoo.hub import space
from zoo.hub.bundle import FILES
from zoo.hub.publish import Plan, publish
from zoo.hub.remote import fetch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = bundles.publish(tmp_path_factory.mktemp("published") / "ring")
    (made / "notes.txt").write_text("nobody else's business")
    for name, text in space.FILES.items():
        (made / name).write_text(text)
    return made


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A Hub, with a token for it."""
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return Hub(monkeypatch)


@pytest.fixture
def stranger(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The same, and no token."""
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    return hub


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Models:
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    return Models(monkeypatch)


def own(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(folder).items() if name in FILES}


def sent_to_the_hub(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(folder).items() if name in {*FILES, *space.FILES}}


# The Hugging Face Hub


def test_a_hub_has_the_files_in_one_commit_and_gives_the_same_gan(
    hub: Hub, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(folder), "--hf", "me/ring"]) == 0
    [(commit, sent)] = hub.repos["me/ring"].items()
    assert sent == sent_to_the_hub(folder)
    assert hub.calls == ["create_repo", "wgan_gp-digits, version 1"]
    told = capsys.readouterr()
    assert f"published; zoo.from_pretrained('hf:me/ring@{commit}') loads it" in told.out
    assert "hf_secret" not in told.out + told.err
    original, loaded = (zoo.from_pretrained(r).sample(4, seed=0) for r in (folder, f"hf:me/ring@{commit}"))
    assert torch.equal(original, loaded)
    newer = bundles.publish(tmp_path / "newer", bundles.game(1), version="2")
    second = publish(newer, hf="me/ring")
    assert files(fetch(f"hf:me/ring@{commit}")) == own(folder)  # what a page needs is not fetched
    assert files(fetch(str(second))) == files(fetch("hf:me/ring")) == files(newer)


def test_without_a_token_it_only_says_what_it_would_send(
    stranger: Hub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(folder), "--hf", "me/ring"]) == 0
    told = capsys.readouterr().out
    assert "https://huggingface.co/me/ring, one commit on main" in told
    assert "the Hugging Face Hub has no token here" in told
    for name, data in sent_to_the_hub(folder).items():
        assert f"{len(data):>12,} B  {name}\n" in told
    assert f"{sum(map(len, sent_to_the_hub(folder).values())):>12,} B  in all" in told
    assert "notes.txt" not in told
    assert main(["publish", str(folder), "--hf", "me/ring", "--no-dry-run"]) == 2
    told = capsys.readouterr().err
    assert told == "error: hf:me/ring: the Hugging Face Hub has no token here: use `hf auth login` or $HF_TOKEN\n"
    assert stranger.calls == []


def test_a_dry_run_can_be_asked_for(hub: Hub, folder: Path) -> None:
    assert isinstance(publish(folder, hf="me/ring", dry_run=True), Plan)
    assert main(["publish", str(folder), "--hf", "me/ring", "--dry-run"]) == 0
    assert hub.calls == []


def test_a_hub_that_refuses(hub: Hub, folder: Path) -> None:
    hub.down = PermissionError("\n401 Unauthorized\nRequest id")
    with pytest.raises(ValueError, match=r"^hf:me/ring is not published: 401 Unauthorized$"):
        publish(folder, hf="me/ring")


def test_a_folder_is_verified_before_anybody_is_asked(hub: Hub, folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name, data in own(folder).items():
        (damaged / name).write_bytes(data[:-1] + b"!" if name == "README.md" else data)
    for bad, words in {damaged: "README.md is damaged", tmp_path / "none": "is not there"}.items():
        for dry_run in (True, False, None):
            with pytest.raises(ValueError, match=words):
                publish(bad, hf="me/ring", dry_run=dry_run)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({}, "publish to one place"),
        ({"hf": "me/ring", "wandb": "me/zoo/ring"}, "publish to one place"),
        ({"hf": "ring"}, "no reference to a published checkpoint"),
        ({"hf": "../ring"}, "no reference to a published checkpoint"),
        ({"hf": "me/ring@v1"}, "leave 'v1' out"),
        ({"wandb": "zoo/ring"}, "no reference to a published checkpoint"),
        ({"wandb": "me/zoo/ring:best"}, "leave 'best' out"),
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


def test_wandb_has_the_five_files_in_one_version_and_gives_the_same_gan(wandb: Models, folder: Path) -> None:
    assert publish(folder, wandb="me/zoo/ring") == "wandb:me/zoo/ring:v0"
    assert set(wandb.artifacts) == {f"me/zoo/ring:{alias}" for alias in ("v0", "1", "latest")}
    sent = wandb.artifacts["me/zoo/ring:1"]
    assert (sent.type, sent.metadata) == ("model", json.loads((folder / "config.json").read_text()))
    assert set(sent.manifest.entries) == set(FILES)
    told = wandb.settings  # of the run that logs it: nothing of this machine
    assert (told.x_disable_meta, told.x_disable_stats, told.x_save_requirements, told.console) == (
        True, True, False, "off",
    )  # fmt: skip
    loaded = zoo.from_pretrained("wandb:me/zoo/ring:1").sample(4, seed=0)
    assert torch.equal(loaded, zoo.from_pretrained(folder).sample(4, seed=0))


def test_without_credentials_wandb_is_sent_nothing(wandb: Models, folder: Path) -> None:
    wandb.key = False
    plan = str(publish(folder, wandb="me/zoo/ring"))
    assert plan.startswith("5 files to https://")
    assert "model me/zoo/ring with the aliases 1 and latest:\n" in plan
    assert all(f"{len(data):>12,} B  {name}" in plan for name, data in own(folder).items())
    with pytest.raises(ValueError, match=r"^wandb:me/zoo/ring: W&B has no credentials here"):
        publish(folder, wandb="me/zoo/ring", dry_run=False)
    assert wandb.artifacts == {}


def test_a_version_that_wandb_would_count_itself(tmp_path: Path) -> None:
    folder = bundles.publish(tmp_path / "ring", version="v1")
    with pytest.raises(ValueError, match=r"^wandb:me/zoo/ring: W&B counts versions v0, v1, \.\.\. itself"):
        publish(folder, wandb="me/zoo/ring")
