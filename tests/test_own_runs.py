"""A run of one's own is opened by every command, as it is typed, each in a fresh process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import zoo
from zoo.__main__ import main as zoo_main
from zoo.benchmark.resolve import resolve
from zoo.cli.choices import find_class
from zoo.cli.main import ROOT
from zoo.run.folders import checkpoint_of

NETS = """
from zoo.backbones import MLPGenerator


class Own(MLPGenerator):
    pass
"""
YAML = "model: {init_args: {generator: {class_path: ownnets.Own, init_args: {latent_dim: 4, width: 4}}}}"


def typed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A working folder with a run of a network of one's own, by the default logger."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "ownnets.py").write_text(NETS)
    (folder / "own.yaml").write_text(YAML)
    (folder / "train.py").write_text((ROOT / "train.py").read_text())
    done = typed(
        folder, "train.py", "fit", "-c", f"{ROOT}/configs/nsgan.yaml", "-c", f"{ROOT}/configs/data/digits.yaml",
        "-c", "own.yaml", "--budget.kimg=0.2", "--data.image_size=8", "--model.discriminator.width=4",
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
    assert typed(home, "-m", "zoo", "sample", "latest", "--trust", "ownnets", "-o", "a.png").returncode == 0
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


def test_other_networks_are_refused_with_the_runs_own_configuration(home: Path) -> None:
    done = typed(
        home, "train.py", "fit", "-c", f"{ROOT}/configs/nsgan.yaml", "-c", f"{ROOT}/configs/data/digits.yaml",
        "--ckpt_path", "latest",
    )  # fmt: skip
    assert done.returncode == 2
    assert "does not fit the model" in done.stderr
    assert "config.yaml, taken where -c is left out" in done.stderr


def test_a_run_that_never_began_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text((ROOT / "train.py").read_text())
    done = typed(
        tmp_path, "train.py", "fit", "-c", f"{ROOT}/configs/nsgan.yaml", "-c", f"{ROOT}/configs/data/image_folder.yaml",
        "--data.root=nowhere",
    )  # fmt: skip
    assert done.returncode == 2
    assert not list((tmp_path / "runs").iterdir())


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
QUICK = ("wgan_gp", "mdgan", "progressive_growing")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS]
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
