"""A run of one's own is opened by every command, as it is typed, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

import zoo
from tests.fits import BARE, QUICK
from tests.processes import typed
from zoo.__main__ import main as zoo_main
from zoo.benchmark.resolve import resolve
from zoo.cli.choices import find_class
from zoo.cli.main import ROOT
from zoo.run.folders import checkpoint_of
from zoo.run.records import read_metrics

NETS = """
from zoo.backbones import MLPGenerator


class Own(MLPGenerator):
    pass
"""
YAML = "model: {init_args: {generator: {class_path: ownnets.Own, init_args: {latent_dim: 4, width: 4}}}}"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A working folder with a run of a network of one's own, by the default logger; `tmp` is the system's folder."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "tmp").mkdir()
    (folder / "ownnets.py").write_text(NETS)
    (folder / "own.yaml").write_text(YAML)
    done = typed(
        folder, "train.py", "fit", "-c", f"{ROOT}/configs/nsgan.yaml", "-c", f"{ROOT}/configs/data/digits.yaml",
        "-c", "own.yaml", "--budget.kimg=0.2", "--data.image_size=8", "--model.discriminator.width=4", fresh=True,
        TMPDIR=str(folder / "tmp"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_own_modules_are_imported_where_they_are_trusted(home: Path) -> None:
    refused = typed(home, "-m", "zoo", "sample", "latest", "-o", "a.png")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "ownnets.Own" in refused.stderr
    assert "--trust ownnets" in refused.stderr
    assert not (home / "a.png").exists()
    done = typed(home, "-m", "zoo", "sample", "latest", "--trust", "ownnets", "-o", "a.png")
    assert done.returncode == 0, done.stderr
    assert (home / "a.png").is_file()
    loads = "import zoo; print(zoo.load('latest', trust=['ownnets']).sample(2, seed=0).shape)"
    assert "[2, 1, 8, 8]" in typed(home, "-c", loads).stdout


def test_how_a_class_or_a_module_of_ones_own_is_written(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit\n\nclass MyNet(Base):\n    pass\n")  # read, not run
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"unknown class 'MyNet'; did you mean 'mine\.MyNet'\?"):
        find_class("MyNet", "model.generator")
    for typed_name in ("mine.py", "./mine.py", "nets/mine.py"):
        with pytest.raises(SystemExit) as stopped:
            zoo_main(["sample", "latest", "--trust", typed_name])
        assert stopped.value.code == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"{typed_name!r} is not the name of a module; write mine, and run in the folder of mine.py" in said
    with pytest.raises(ValueError, match="write mine"):
        zoo.load("latest", trust=["mine.py"])


def test_a_run_is_resumed_and_measured_by_its_name_alone(home: Path) -> None:
    (run,) = (home / "runs").iterdir()
    done = typed(home, "train.py", "fit", "--ckpt_path", "latest", "--budget.kimg", "0.3")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (home / "runs").iterdir()] == [run.name]
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["result"]["steps"]) == ("finished", 5)
    measured = typed(
        home, "-m", "zoo", "evaluate", str(run), "--trust=ownnets", "--n=200", "--features=pixels8", "--json=a.json"
    )
    assert measured.returncode == 0, measured.stderr
    assert json.loads((home / "a.json").read_text())["n_real"] == 200


def test_which_checkpoint_a_reference_names(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="latest: there is no run"):
        checkpoint_of("latest")
    for age, name in enumerate(("new", "old")):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "run.json").touch()
        (run / "last.ckpt").touch()
        os.utime(run / "run.json", (1000 - age, 1000 - age))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/run.json").touch()
    with pytest.raises(ValueError, match="without a checkpoint"):
        checkpoint_of("empty")
    assert checkpoint_of("latest") == Path("runs/new/last.ckpt")
    (tmp_path / "runs/old/best.ckpt").touch()
    assert checkpoint_of("runs/old") == Path("runs/old/best.ckpt")
    assert checkpoint_of("runs/old", prefer="last") == Path("runs/old/last.ckpt")
    for kimg, name in ((0.0, "last.ckpt"), (0.8, "best.ckpt")):  # untrained noise is nobody's best
        names = {"variant": "nsgan", "dataset": "digits", "status": "finished"}
        (tmp_path / "runs/old/run.json").write_text(json.dumps({**names, "result": {"score": {"best_kimg": kimg}}}))
        assert checkpoint_of("runs/old") == Path("runs/old", name)
    assert checkpoint_of("lsgan-fashion_mnist") is None


CONFIGS = sorted(path.stem for path in ROOT.glob("configs/*.yaml") if path.stem not in ("default", "demo"))
FAST = ("mdgan",)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS]
)
def test_a_saved_configuration_is_read_back_as_it_was(name: str, tmp_path: Path, monkeypatch) -> None:
    """With the default loggers and callbacks."""
    monkeypatch.chdir(tmp_path)
    words = ["-c", f"{ROOT}/configs/{name}.yaml", "-c", f"{ROOT}/configs/data/digits.yaml"]
    first = resolve(words).config
    Path("saved.yaml").write_text(yaml.safe_dump(first))
    again = resolve(["-c", "saved.yaml"]).config
    for config in (first, again):
        del config["trainer"]["default_root_dir"]  # a temporary folder
    assert again == first


def test_a_team_and_tags_of_wandb_are_set_in_a_file(tmp_path: Path) -> None:
    logger = {"class_path": "zoo.run.loggers.WandbLogger", "init_args": {"entity": "team", "tags": ["a"], "group": "g"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"trainer": {"logger": [logger]}}))
    words = ["-c", f"{ROOT}/configs/nsgan.yaml", "-c", f"{ROOT}/configs/data/digits.yaml"]
    for more in (["-c", str(tmp_path / "mine.yaml")], ["--trainer.logger=WandbLogger", "--trainer.logger.entity=team"]):
        config = resolve([*words, *more]).config["trainer"]["logger"]
        chosen = config[0] if isinstance(config, list) else config
        assert (chosen["class_path"], chosen["init_args"]["entity"]) == ("zoo.run.loggers.WandbLogger", "team")


# A paper that brings a network of its own is one Python file and one YAML, and edits nothing of the zoo.


PAPER = '''
"""VEEGAN: Srivastava et al. 2017, "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning"."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.gan import GAN
from zoo.types import Batch, Critic, Output, Role, Terms


class VEEGAN(GAN):
    """A reconstructor F leads from x back to z; D tells (x, F(x)) from (G(z), z)."""

    paired = True

    def __init__(self, generator: nn.Module, discriminator: nn.Module, reconstructor: nn.Module, **kwargs: Any) -> None:
        super().__init__(generator, discriminator, networks={"reconstructor": reconstructor}, **kwargs)

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    def given(self, batch: Batch, role: Role) -> tuple[Tensor, ...]:
        return (self.reconstructor(batch.real) if role == "real" else batch.z,)

    def players(self) -> dict[str, nn.Module]:
        return {"d": self.discriminator, "g": nn.ModuleList([self.generator, self.reconstructor])}

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        pairs = critic(batch.real, "real").score.mean() - fake.score.mean()
        return {"adversarial": pairs, "reconstruction": F.mse_loss(self.reconstructor(batch.fake), batch.z)}
'''

CONFIG = """
variant: veegan
model:
  class_path: veegan.VEEGAN
  init_args:
    generator:
      class_path: zoo.backbones.DCGANGenerator
      init_args: {latent_dim: 12, width: 4}
    discriminator:
      class_path: zoo.backbones.PairDiscriminator
      init_args: {width: 4}
    reconstructor:
      class_path: zoo.backbones.Encoder
      init_args: {width: 4}
"""


def test_a_paper_with_a_third_network_is_one_file_and_one_yaml(tmp_path: Path) -> None:
    (tmp_path / "veegan.py").write_text(PAPER, encoding="utf-8")
    (tmp_path / "veegan.yaml").write_text(CONFIG, encoding="utf-8")
    words = [
        "fit", "-c", "veegan.yaml", "--data", "digits", "--data.image_size=8", "--model.g_optimizer.lr=1e-3",
        "--trainer.max_steps=3", "--trainer.log_every_n_steps=1", "--trainer.logger=false",
        "--trainer.accelerator=cpu", "--without=[quality,samples,diagnostics,progress]",
    ]  # fmt: skip
    done = typed(tmp_path, "train.py", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = (tmp_path / "runs").iterdir()
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["loss/g/reconstruction"] > 0 for row in rows] == [True] * 3
    assert (rows[0]["lr/g"], rows[0]["lr/d"]) == pytest.approx((1e-3, 2e-4))
    state = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    heads = [state[f"reconstructor.head.{part}"] for part in ("weight", "bias")]
    assert [len(head) for head in heads] == [12, 12]  # latent_dim is the generator's


# What other systems lack or do otherwise, emulated in processes of this one.


WITHOUT = f"""
import importlib, runpy, signal, sys
kept = signal.SIGUSR1
del signal.SIGUSR1
import zoo.callbacks.interrupts
importlib.reload(zoo.callbacks.interrupts)
signal.SIGUSR1 = kept  # Lightning asks for the platform instead
sys.argv[0] = "train.py"
runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
"""


def test_a_fit_needs_no_sigusr1(tmp_path: Path) -> None:
    done = typed(tmp_path, "-c", WITHOUT, "fit", *QUICK, BARE)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("runs/*/last.ckpt"))


def test_a_benchmark_needs_no_fcntl(tmp_path: Path) -> None:
    code = "import sys; sys.modules['fcntl'] = None; sys.modules.pop('zoo.benchmark.run', None)\n"
    code += "import zoo.benchmark.run, pathlib\n"
    code += "with zoo.benchmark.run.locked(pathlib.Path(sys.argv[1])): print('locked')"
    done = typed(tmp_path, "-c", code, tmp_path / "out")
    assert done.stdout == "locked\n", done.stderr


@pytest.mark.parametrize("words", [["lab"], ["models"]])
def test_letters_that_a_pipe_cannot_encode_end_no_command(words: list[str], tmp_path: Path) -> None:
    code = "import sys; sys.stdout.reconfigure(encoding='cp1252', errors='strict')\n"
    done = typed(tmp_path, "-c", f"{code}from zoo.__main__ import main; sys.exit(main(sys.argv[1:]))", *words)
    assert done.returncode == 0, done.stderr


# A run leaves nothing in the system's temporary folder, however it ends.


def check(folder: Path) -> None:
    assert list(folder.glob("runs/*/wandb/offline-run-*"))
    deadline = time.monotonic() + 60  # W&B's own service ends a moment later
    while list(folder.glob("tmp/*wandb*")) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert list(folder.glob("tmp/*wandb*")) == []


def test_no_folder_of_wandb_is_left(home: Path) -> None:
    check(home)


@pytest.mark.slow
def test_nor_by_a_kill(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    words = [word for word in QUICK if "logger" not in str(word) and "max_steps" not in str(word)]
    words += [BARE, "--budget.kimg=100", "--checkpoints.every_kimg=0.1"]
    command = [sys.executable, ROOT / "train.py", "fit", *words]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(list(map(str, command)), cwd=tmp_path, env=environment) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/last.ckpt")) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.kill()
        assert process.wait(timeout=180) == -signal.SIGKILL
    check(tmp_path)
