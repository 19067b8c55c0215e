"""Help: short, quick, and of what is typed."""

import os
import shlex
import subprocess
import sys
import warnings

import pytest

from zoo.__main__ import main as zoo_main
from zoo.backbones import DCGANGenerator, MLPDiscriminator
from zoo.cli.choices import choices_for
from zoo.cli.help import helped, parameters, short_help
from zoo.cli.main import ROOT, ZooCLI, main
from zoo.cli.quiet import hush


class Fit(ZooCLI):
    """One subcommand: the parsers of the others take their time."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {"fit": ZooCLI.subcommands()["fit"]}


@pytest.mark.parametrize(
    ("program", "words", "run"),
    [
        ("train.py", "--help", "python train.py fit"), ("train.py", "fit -h", "python train.py fit"),
        ("train.py", "", ""), ("-m zoo", "train --help", "python -m zoo train"),
    ],
)  # fmt: skip
def test_short_help_imports_no_torch(program: str, words: str, run: str) -> None:
    command = [sys.executable, "-X", "importtime", *program.replace("train.py", str(ROOT / "train.py")).split()]
    ended = subprocess.run(
        [*command, *words.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    imported = {
        line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")
    }
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
            main(["fit", *words, "--print_config"], Fit)
        assert stopped.value.code == 0, capsys.readouterr().err
    named = {
        word.rstrip(".")
        for line in text.splitlines()
        for word in line.replace(",", " ").split()
        if word.startswith("--")
    }
    values = {"--model.stabilizers+": "SpectralNorm", "--data.root": "x", "--ckpt_path": "x.ckpt", "--variant": "x",
              "--dataset": "x", "--trainer.accelerator": "cpu", "--trainer.precision": "32"}  # fmt: skip
    left = {"--help", "--help-all", "--print_config", "--OPTION", "--trainer.logger", "--data"}
    typed = [f"{option}={values.get(option, 1)}" for option in named if option not in left and ".help" not in option]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "-c", "configs/nsgan.yaml", "-c", "configs/data/mnist.yaml", *typed, "--print_config"], Fit)
    assert stopped.value.code == 0, capsys.readouterr().err


def test_help_beside_a_configuration_is_of_its_classes(capsys) -> None:
    assert helped(["fit", "-c", str(ROOT / "configs/wgan_gp.yaml"), "-c", str(ROOT / "configs/demo.yaml"), "--help"])
    said = capsys.readouterr().out
    for option in (
        "--model.gp_weight",
        "--model.generator.width",
        "--model.dynamics.d_steps",
        "--model.d_optimizer.lr",
    ):
        assert option in said
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
        main(["fit", "--help-all"], Fit)
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
    generators, discriminators = (
        {c.__name__ for c in choices_for(f"model.{n}")} for n in ("generator", "discriminator")
    )
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
