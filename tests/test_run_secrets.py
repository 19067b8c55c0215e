"""Credentials in the environment and on the command line are in nothing that a run, its log or its export leaves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fits import QUICK, fit
from zoo.__main__ import main as zoo_main
from zoo.callbacks import record
from zoo.cli.main import ROOT
from zoo.run.loggers import WandbLogger
from zoo.run.secrets import HIDDEN, is_secret, redacted, redacted_words

ENVIRONMENT = {
    "WANDB_API_KEY": "canary1-" + "0" * 32, "HF_TOKEN": "canary2-hftoken", "AWS_SECRET_ACCESS_KEY": "canary3-aws",
    "MY_PASSWORD": "canary4-password", "GITHUB_TOKEN": "canary5-github", "SOME_CREDENTIALS": "canary6-credentials",
    "apiKey": "canary7-camel",
}  # fmt: skip
OPTIONS = [
    "--trainer.logger.class_path=zoo.run.loggers.WandbLogger", "--trainer.logger.mode=offline",
    "--trainer.logger.init_args.dict_kwargs.notes=https://user:canary8-url@example.org/x",
    "--trainer.logger.init_args.dict_kwargs.tags=[canary2-hftoken]",
    "--trainer.logger.init_args.dict_kwargs.config={api_key: canary9-option}",
]  # fmt: skip


def leaks(folder: Path) -> list[tuple[Path, str]]:
    """Files, names and contents, in which a canary sings."""
    found = []
    for path in folder.rglob("*"):
        content = path.name.encode() + (path.read_bytes() if path.is_file() else b"")
        found += [(path, content[at : at + 20].decode("latin-1")) for at in [content.find(b"canary")] if at >= 0]
    return found


@pytest.fixture
def armed(monkeypatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_a_run_and_its_export_hold_no_credentials(armed, tmp_path: Path, monkeypatch, capfd) -> None:
    words = [str(word) for word in QUICK if "logger" not in str(word)]
    words += [*OPTIONS, f"--trainer.default_root_dir={tmp_path / 'runs'}", "--trainer.max_steps=2"]
    typed = [*words, "--token", "canary10-word", "--some.api_key=canary11-word"]  # as others might be
    monkeypatch.setattr(sys, "orig_argv", ["python", "train.py", "fit", *typed])
    monkeypatch.setattr(sys, "argv", ["train.py", "fit", *typed])
    fit(*words)
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "wandb").is_dir()
    assert zoo_main(["export", str(run / "last.ckpt"), str(tmp_path / "published")]) == 0
    assert leaks(tmp_path) == []
    assert HIDDEN in (run / "run.json").read_text()
    assert HIDDEN in (run / "config.yaml").read_text()
    said = capfd.readouterr()
    assert "canary" not in said.out + said.err


def test_an_error_holds_no_credentials(armed, tmp_path: Path) -> None:
    from lightning.pytorch import Trainer
    from torch.utils.data import DataLoader

    from tests.games import networks, points
    from zoo.variants.nsgan import NSGAN

    class Leaky(NSGAN):
        def training_step(self, *args) -> None:
            raise RuntimeError(f"no login with {os.environ['HF_TOKEN']} at https://a:canary8-url@x")

    kept = record.RunRecord(tmp_path, "v", "d")
    trainer = Trainer(max_steps=1, callbacks=[kept], logger=False, enable_checkpointing=False, accelerator="cpu",
                      enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    with pytest.raises(RuntimeError, match="canary"):
        trainer.fit(Leaky(*networks()), DataLoader(points(2), batch_size=None))
    assert leaks(tmp_path) == []
    assert HIDDEN in (tmp_path / "run.json").read_text()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://user:pw@host/x", f"https://{HIDDEN}@host/x"),
        ("s3://b/k?X-Amz-Signature=ab&x=1", f"s3://b/k?X-Amz-Signature={HIDDEN}&x=1"),
        ("hf_" + "a" * 30, HIDDEN),
        ("ghp_" + "a" * 30, HIDDEN),
        ("AKIAIOSFODNN7EXAMPLE", HIDDEN),
        ("a canary2-hftoken b", f"a {HIDDEN} b"),
        ("fd/digits-cnn", "fd/digits-cnn"),
        ("git@github.com:a/b", "git@github.com:a/b"),
        ("http://host/a@b", "http://host/a@b"),
        ("hf:owner/repo@" + "0" * 40, "hf:owner/repo@" + "0" * 40),
        ("sk-learn", "sk-learn"),
    ],
)
def test_texts(armed, text: str, wanted: str) -> None:
    assert redacted(text) == wanted
    assert redacted({"a": [text]}) == {"a": [wanted]}


def test_names_and_words() -> None:
    secret = "token HF_TOKEN api_key apiKey apikey AWS_SECRET_ACCESS_KEY db.password passwd credentials"
    assert all(map(is_secret, secret.split()))
    assert not any(map(is_secret, ["monitor", "keyboard", "tokenizer", "keys", "secretary", "monkey", 3]))
    assert redacted({"token": "x", "key": 3, "empty_key": ""}) == {"token": HIDDEN, "key": 3, "empty_key": ""}
    words = ["train.py", "--a.api_key=x", "--token", "y", "--lr", "1", "--password", "--z", "https://a:b@c"]
    shown = f"train.py --a.api_key={HIDDEN} --token {HIDDEN} --lr 1 --password --z https://{HIDDEN}@c"
    assert " ".join(redacted_words(words)) == shown


def test_wandb_is_shown_no_credential_of_the_command_line(tmp_path: Path, monkeypatch) -> None:
    """Its client keeps `sys.argv` in the run."""
    import wandb

    shown: list[list[str]] = []

    def init(**_: object) -> None:
        shown.append(sys.argv[1:])
        raise RuntimeError("that is enough")

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(sys, "argv", ["train.py", "--token", "canary"])
    with pytest.raises(RuntimeError, match="enough"):
        WandbLogger(mode="offline", save_dir=tmp_path).experiment  # noqa: B018
    assert shown == [["--token", HIDDEN]]
    assert sys.argv == ["train.py", "--token", "canary"]


@pytest.mark.slow
def test_a_real_process_leaves_no_credentials(armed, tmp_path: Path) -> None:
    words = [str(word) for word in QUICK if "logger" not in str(word)]
    command = [sys.executable, str(ROOT / "train.py"), "fit", *words, *OPTIONS, "--trainer.max_steps=2"]
    root = f"--trainer.default_root_dir={tmp_path / 'runs'}"
    ended = subprocess.run([*command, root], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
                           capture_output=True, text=True, timeout=300)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "canary" not in ended.stdout + ended.stderr
    assert leaks(tmp_path) == []
