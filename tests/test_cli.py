"""The command line as its users meet it: the run's folder, resuming, sampling; corpus/ has the mistakes."""

import importlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml
from jsonargparse import Namespace

from tests.fits import BARE, DIGITS, NSGAN, QUICK, fit, only
from tests.games import same, snapshot
from zoo.__main__ import main as zoo_main
from zoo.backbones import DCGANGenerator, MLPDiscriminator
from zoo.cli.choices import choices_for
from zoo.cli.configs import CONFIGS, find_config, read_file, renamed, with_files
from zoo.cli.help import helped, parameters, short_help
from zoo.cli.main import ROOT, ZooCLI, main, snake_case
from zoo.cli.quiet import hush
from zoo.run.records import read_metrics


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> ZooCLI:
    """A finished run of five batches."""
    return fit(*QUICK, f"--trainer.default_root_dir={tmp_path_factory.mktemp('runs')}")


@pytest.fixture
def run(first: ZooCLI, tmp_path: Path) -> Path:
    """A copy of its folder."""
    return Path(shutil.copytree(first.run.folder, tmp_path / "runs" / first.run.folder.name))


def test_mistakes_are_told_before_any_data_is_loaded(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("zoo.datamodules.digits.Digits.load", lambda self: pytest.fail("data was loaded"))
    with pytest.raises(SystemExit) as stopped:  # a constructor's, after those of files and of the parser
        fit("-c", NSGAN, "-c", DIGITS, f"--trainer.default_root_dir={tmp_path / 'runs'}", "--model.ema_decay=1.5")
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 1
    assert said.endswith("error: NSGAN: ema_decay must be in [0, 1), got 1.5\n")
    assert not list(tmp_path.glob("runs/*"))


def test_a_run_keeps_everything_in_one_folder_and_its_configuration_repeats_it(first: ZooCLI, tmp_path: Path) -> None:
    again = fit("-c", first.run.folder / "config.yaml", f"--trainer.default_root_dir={tmp_path}")
    assert same(snapshot(first.model), snapshot(again.model))
    for run, root in ((first.run.folder, first.run.folder.parent), (only(tmp_path), tmp_path)):
        kept = {p.name for p in run.iterdir()}
        assert {"config.yaml", "run.json", "metrics.jsonl", "last.ckpt", "best.ckpt", "samples"} <= kept
        record = json.loads((run / "run.json").read_text())
        assert (record["variant"], record["dataset"], record["objective"]) == ("nsgan", "digits", "NSGAN")
        assert (record["seed"], record["status"]) == (0, "finished")
        rows = read_metrics(run / "metrics.jsonl")
        assert all("progress/kimg" in row for row in rows)
        losses = [row for row in rows if "loss/d" in row]
        assert [row["step"] for row in losses] == [0, 1, 2, 3, 4]
        assert [row["progress/kimg"] for row in losses] == pytest.approx([0.064 * k for k in range(1, 6)])
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["model"]["class_path"] == "zoo.variants.nsgan.NSGAN"
        assert config["trainer"]["default_root_dir"] == str(root)


def test_resuming_takes_the_settings_of_the_command_line_and_the_moments_of_the_checkpoint(run: Path) -> None:
    more = ["--trainer.max_steps=6", "--model.clip_norm=3", "--model.g_optimizer.lr=1e-6"]
    gan = fit(*QUICK, BARE, f"--ckpt_path={run / 'last.ckpt'}", *more).model
    assert (gan.clip_norm, gan.steps) == (3, 6)
    assert gan.latest["lr/g"] == gan.optimizer_of("g").param_groups[0]["lr"] == 1e-6
    assert gan.latest["lr/d"] == 1e-3
    assert float(next(iter(gan.optimizer_of("g").state.values()))["step"]) == 6


def test_resuming_with_other_data_is_another_run(run: Path) -> None:
    before = (run / "run.json").read_text()
    root = f"--trainer.default_root_dir={run.parent}"
    fit(*QUICK, BARE, "--dataset=mine", f"--ckpt_path={run / 'last.ckpt'}", root, "--trainer.max_steps=6")
    assert (run / "run.json").read_text() == before
    names = [p.name[: -len("-20260101-000000")] for p in sorted(run.parent.iterdir())]
    assert names == ["nsgan-digits", "nsgan-mine"]


def test_wandb_is_told_what_the_run_is(tmp_path: Path) -> None:
    words = [a for a in QUICK if a != "--trainer.logger=false"] + [f"--trainer.default_root_dir={tmp_path}", BARE]
    words += ["--trainer.logger=WandbLogger", "--trainer.logger.mode=disabled", "--trainer.max_steps=1"]
    cli = fit(*words, "--trainer.logger.group=mine", "--trainer.logger.name=first")
    given = cli.trainer.loggers[1]._wandb_init
    folder = only(tmp_path)
    assert (given["dir"], given["name"], given["group"]) == (str(folder), "first", "mine")
    assert given["resume"] == "allow"
    plain = Namespace(init_args=Namespace(save_dir=None, name=None, id=None))
    cli.run.introduce(plain)
    assert (plain.init_args.name, plain.init_args.group) == (folder.name, "nsgan-digits")


def test_validate_measures_a_checkpoint(first: ZooCLI, run: Path) -> None:
    words = [str(a) for a in QUICK if "max_steps" not in str(a)]
    cli = main(["validate", *words, f"--ckpt_path={run / 'last.ckpt'}"])
    assert {"full/fd/digits-cnn", "full/recall/digits-cnn"} <= cli.trainer.callback_metrics.keys()
    assert same(snapshot(cli.model), snapshot(first.model))
    assert list(run.parent.iterdir()) == [run]


def test_sample_draws_the_same_picture_twice(run: Path, tmp_path: Path, capsys) -> None:
    pictures = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        path = tmp_path / f"{name}.png"
        assert zoo_main(["sample", str(run / "last.ckpt"), "--n", "9", "--seed", str(seed), "-o", str(path)]) == 0
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]
    assert "9 samples of NSGAN at 0.32 kimg" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"),
    [("FashionMNIST", "fashion_mnist"), ("WGANGP", "wgangp"), ("CIFAR10", "cifar10"), ("ImageFolder", "image_folder")],
)
def test_snake_case(name: str, words: str) -> None:
    assert snake_case(name) == words


# Names of configurations, and names of classes that older files use.


def test_no_name_stands_for_two_files_of_a_training() -> None:
    assert not {p.stem for p in CONFIGS.glob("*.yaml")} & {p.stem for p in CONFIGS.glob("data/*.yaml")}


def test_a_name_or_a_path_of_a_checkout_is_found_from_anywhere(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config("nsgan") == find_config("configs/nsgan.yaml") == CONFIGS / "nsgan.yaml"
    assert find_config("digits") == CONFIGS / "data/digits.yaml"
    assert find_config("digits", ("benchmarks",)) == CONFIGS / "benchmarks/digits.yaml"


def test_the_working_folder_comes_first(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("configs/data").mkdir(parents=True)
    for name in ("configs/nsgan.yaml", "configs/data/mine.yaml", "nsgan"):
        Path(name).touch()
    assert find_config("configs/nsgan.yaml") == Path("configs/nsgan.yaml")
    assert find_config("mine") == Path("configs/data/mine.yaml")
    assert find_config("nsgan") == Path("nsgan")  # a path
    Path("nsgan").unlink()
    assert find_config("nsgan") == Path("configs/nsgan.yaml")


@pytest.mark.parametrize(
    ("name", "rooms", "words"),
    [
        ("ngan", ("", "data"), "no configuration 'ngan'; did you mean .*'nsgan'"),
        ("configs/ngan.yaml", ("", "data"), "did you mean .*'configs/nsgan.yaml'"),
        ("configs/nsgan.yml", ("", "data"), "did you mean 'configs/nsgan.yaml'"),
        ("configs/data/digit.yaml", ("", "data"), "did you mean 'configs/data/digits.yaml'"),
        (
            "zzz",
            ("benchmarks", "sweeps"),
            "choose from digits, fashion_mnist, fashion_mnist_16, pacgan_grid, pacgan_ring, unrolled_stacked_mnist",
        ),
        (".", ("", "data"), r"\. is not a file"),
    ],
)
def test_a_miss_says_what_is_near(name, rooms, words, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        find_config(name, rooms)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("fit nsgan digits --data.root D", "fit -c {nsgan} -c {digits} --data.root D"),
        ("fit -c nsgan --config=digits --budget.kimg 1", "fit -c {nsgan} -c {digits} --budget.kimg 1"),
        ("fit nsgan --data digits -c demo", "fit -c {nsgan} -c {digits} -c {demo}"),
        ("fit nsgan --data=digits", "fit -c {nsgan} -c {digits}"),
        ("fit -c nsgan --data Digits", "fit -c {nsgan} --data Digits"),
        ("fit -c nsgan --data datamodules.Digits", "fit -c {nsgan} --data zoo.datamodules.Digits"),
        ("fit -c nsgan --data mine.Data --variant x", "fit -c {nsgan} --data mine.Data --variant x"),
        ("fit --budget.kimg 1 -c", "fit --budget.kimg 1 -c"),
        ("play nsgan", "play nsgan"),
        ("", ""),
    ],
)
def test_names_become_files(typed, read, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {name: str(find_config(name)) for name in ("nsgan", "digits", "demo")}
    assert with_files(typed.split(), {"fit"}) == read.format(**files).split()


def test_files_of_version_0_1_are_read(tmp_path) -> None:
    old = {"data": {"class_path": "datamodules.Digits", "init_args": {"image_size": 16}}, "more": ["datamodules.Toy"]}
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(old))
    told = read_file(tmp_path / "old.yaml")
    assert told["data"] == {"class_path": "zoo.datamodules.Digits", "init_args": {"image_size": 16}}
    assert told["more"] == ["zoo.datamodules.Toy"]
    assert renamed([".".join(("zoo", "loggers", "CSVLogger"))]) == ["zoo.run.loggers.CSVLogger"]


def test_a_package_of_the_users_own_keeps_its_name(tmp_path, monkeypatch) -> None:
    (tmp_path / "datamodules").mkdir()
    (tmp_path / "datamodules/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "datamodules", raising=False)
    importlib.invalidate_caches()
    assert renamed({"class_path": "datamodules.Digits"}) == {"class_path": "datamodules.Digits"}


# Help: short, quick, and of what is typed.


@pytest.mark.parametrize(
    ("program", "words", "run"),
    [
        ("train.py", "--help", "python train.py fit"), ("train.py", "fit -h", "python train.py fit"),
        ("train.py", "", ""), ("-m zoo", "train --help", "python -m zoo train"),
    ],
)  # fmt: skip
def test_short_help_imports_no_torch(program: str, words: str, run: str) -> None:
    command = [sys.executable, "-X", "importtime", *program.replace("train.py", str(ROOT / "train.py")).split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([*command, *words.split()], env=environment, capture_output=True, text=True, timeout=60)
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "zoo.cli.help" in imported
    assert not imported & {"torch", "lightning", "jsonargparse"}
    assert ended.returncode == (0 if words else 2)
    if words:
        assert ended.stdout.rstrip("\n") == short_help(run).rstrip("\n")


@pytest.mark.parametrize("run", ["python train.py fit", "python -m zoo train"])
def test_short_help_is_short_and_names_every_configuration(run: str) -> None:
    lines = short_help(run).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120
    names = " ".join(lines).replace(",", " ").split()
    files = [*ROOT.glob("configs/*.yaml"), *ROOT.glob("configs/data/*.yaml")]
    assert {file.stem for file in files} - {"default", "demo"} <= set(names)


@pytest.mark.parametrize("run", ["python train.py fit", "python -m zoo train"])
def test_its_examples_and_options_exist(run: str, monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    text = short_help(run)
    examples = [line.strip() for line in text.partition("examples:")[2].partition("\n\n")[0].splitlines()]
    examples = [shlex.split(line.removeprefix(run)) for line in examples if line.strip() and "latest" not in line]
    assert len(examples) == 2
    for words in examples:
        with pytest.raises(SystemExit) as stopped:
            main(["fit", *words, "--print_config"])
        assert stopped.value.code == 0, capsys.readouterr().err
    named = {word.rstrip(".") for word in text.replace(",", " ").split() if word.startswith("--")}
    values = {"--model.stabilizers+": "SpectralNorm", "--data.root": "x", "--ckpt_path": "x.ckpt", "--variant": "x",
              "--dataset": "x", "--trainer.accelerator": "cpu", "--trainer.precision": "32"}  # fmt: skip
    left = {"--help", "--help-all", "--print_config", "--OPTION", "--trainer.logger", "--data"}
    typed = [f"{option}={values.get(option, 1)}" for option in named if option not in left and ".help" not in option]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "-c", "configs/nsgan.yaml", "-c", "configs/data/mnist.yaml", *typed, "--print_config"])
    assert stopped.value.code == 0, capsys.readouterr().err


def test_help_beside_a_configuration_is_of_its_classes(capsys) -> None:
    assert helped(["fit", "-c", str(ROOT / "configs/wgan_gp.yaml"), "-c", str(ROOT / "configs/demo.yaml"), "--help"])
    said = capsys.readouterr().out
    for option in ("gp_weight", "generator.width", "dynamics.d_steps", "d_optimizer.lr"):
        assert f"--model.{option}" in said
    assert "default: 16" in said  # the demo's width
    assert "--trainer" not in said


def test_help_of_a_class_is_of_that_alone(capsys) -> None:
    assert helped(["fit", "--model.help", "WGANGP"])
    said = capsys.readouterr().out
    assert "--model.gp_weight float" in said
    assert "torch." not in said.replace("torch.compile", "")
    assert len(said.splitlines()) < 45


def test_help_of_an_option_lists_its_classes(capsys) -> None:
    assert helped(["fit", "--data.help"])
    said = capsys.readouterr().out
    assert "FashionMNIST" in said
    assert "TensorLoader" not in said
    assert not helped(["fit", "--trainer.help"])


def test_all_help_is_there(capsys) -> None:
    assert not helped(["fit", "--help-all"])
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--help-all"])
    assert not stopped.value.code
    assert "--trainer.gradient_clip_val" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["model.generator", "model.discriminator", "model.encoder"])
def test_every_argument_of_a_network_is_described(key: str) -> None:
    for network in choices_for(key):
        lacking = [name for name, (_, _, text) in parameters(network).items() if not text]
        assert not lacking, f"{network.__name__}: {lacking}"


def test_parameters_have_type_default_and_text() -> None:
    kind, default, text = parameters(DCGANGenerator)["norm"]
    assert (kind, default) == ("batch|layer|instance|none", "batch")
    assert text
    assert parameters(MLPDiscriminator)["input_scale"] == ("float", 1.0, "factor on x.")


def test_choices_are_of_the_right_kind() -> None:
    roles = ("model.generator", "model.discriminator")
    generators, discriminators = ({c.__name__ for c in choices_for(role)} for role in roles)
    assert "DCGANGenerator" in generators
    assert {"DCGANDiscriminator", "Autoencoder", "PairDiscriminator"} <= discriminators
    assert not generators & discriminators
    assert not {"Generator", "Discriminator", "Encoder"} & (generators | discriminators)
    assert choices_for("model.init_args.diffusion_discriminator") == choices_for("model.discriminator")
    assert choices_for("trainer.max_steps") == []


def test_without_a_command_there_is_the_short_help(capsys) -> None:
    assert zoo_main([]) == 0
    said = capsys.readouterr().out
    assert "usage:" in said
    assert "compare" in said


def test_a_warning_is_a_line_without_the_programs_place(monkeypatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    hush()
    assert warnings.formatwarning(UserWarning("2 images"), UserWarning, "a.py", 3) == "warning: 2 images\n"
    assert "a.py:3" in warnings.formatwarning(RuntimeWarning("x"), RuntimeWarning, "a.py", 3)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["smaple", "latest"], "error: no command 'smaple'; did you mean 'sample'?; see python -m zoo --help"),
        (["frobnicate"], "error: no command 'frobnicate' (choose from advise, benchmark, "),
        (["sample", "latest", "--colums", "3"],
         "error: unrecognized arguments: --colums 3; did you mean '--columns'?; see python -m zoo sample --help"),
    ],
)  # fmt: skip
def test_a_misspelt_command_or_option_of_the_zoo_is_answered_by_the_one_that_is_meant(words, line, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        zoo_main(words)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize(("words", "where"), [(["models"], "commands.models.run"), (["train"], "commands.train.train")])
def test_ctrl_c_ends_a_command_in_one_line(words: list[str], where: str, monkeypatch, capsys) -> None:
    """While it reads, samples or measures; a fit that has begun saves, and its status is Lightning's."""

    def pressed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"zoo.{where}", pressed)
    assert zoo_main(words) == 130
    assert capsys.readouterr().err == "Interrupted.\n"
