"""The command line as its users meet it: mistakes, the run's folder, resuming, sampling."""

import json
from pathlib import Path

import pytest
import torch
import yaml

import zoo
from tests.games import same, snapshot
from tests.test_configs import SMALL, fit
from zoo.__main__ import main as zoo_main
from zoo.cli.main import ROOT, snake_case
from zoo.run.records import read_metrics
from zoo.variants import nsgan

NSGAN, DIGITS = ROOT / "configs/nsgan.yaml", ROOT / "configs/data/digits.yaml"
QUICK = ["-c", NSGAN, "-c", DIGITS, "--data.image_size=8", *SMALL]


@pytest.fixture
def no_data(monkeypatch) -> None:
    """Fails the test if any data is loaded."""

    def load(self) -> None:
        raise AssertionError("data was loaded")

    monkeypatch.setattr("zoo.datamodules.digits.Digits.load", load)


MISTAKES = [
    (["--model.init_args.gp_weigth=3"], ["model.init_args.gp_weigth", "'gp_weigth'", "ema_decay"]),
    (["--model.ema_deacy=0.9"], ["'ema_deacy'", "did you mean 'ema_decay'"]),
    (["--model=NSGANN"], ["unknown class 'NSGANN'", "did you mean 'NSGAN'", "WGANGP"]),
    (["--data=Digit"], ["unknown class 'Digit'", "did you mean 'Digits'", "FashionMNIST"]),
    (["--model.ema_decay=two"], ["ema_decay", "'two'", "float"]),
    (["--model.ema_decay=1.5"], ["NSGAN", "ema_decay", "[0, 1)", "1.5"]),
    (["--modle.ema_decay=2"], ["'modle.ema_decay'"]),
    (["--trainer.max_epohcs=3"], ["'trainer.max_epohcs'", "did you mean 'trainer.max_epochs'"]),
    (
        ["--model.init_args.generator.init_args.widht=3"],
        ["generator.init_args.widht", "'widht'", "did you mean 'width'"],
    ),
    (["--model.init_args.generator.init_args.norm=bath"], ["norm", "'bath'", "batch", "instance"]),
    (
        ["--model.generator=zoo.backbones.DCGANGenerater"],
        ["generator", "DCGANGenerater", "did you mean 'DCGANGenerator'"],
    ),
    (["--model.generator=MyNet"], ["generator", "'MyNet'", "DCGANGenerator", "with its module: mymodule.MyNet"]),
    (["--data.image_size=33"], ["Digits", "image_size=33", "64"]),
    (["--data.batch_size=0"], ["Digits", "batch_size=0"]),
    (["--budget.kimg=-1"], ["kimg", "-1"]),
    (["-c", "configs/data/nope.yaml"], ["configs/data/nope.yaml"]),
    (["--model.dynamics.d_steps=0"], ["Alternating", "d_steps", "at least 1"]),
    (["--trainer.gradient_clip_val=1"], ["gradient_clip_val", "clip_norm"]),
    (["-c", "configs/wgan_gp.yaml", "--model.discriminator.norm=batch"], ["WGANGP", "batch norm", "norm: layer"]),
    (["-c", "configs/began.yaml", "--model.discriminator=zoo.backbones.DCGANDiscriminator"], ["BEGAN", "autoencoder"]),
    (["--ckpt_path=/nowhere/last.ckpt"], ["/nowhere/last.ckpt"]),
    (["--ckpt_path=last"], ["no checkpoint at last", "last.ckpt"]),
    (["--model.g_optimizer.lr=-1"], ["NSGAN", "g_optimizer", "-1"]),
    (["--model.generator.width=0"], ["DCGANGenerator", "width is 0"]),
    (["--model.generator.num_classes=10"], ["num_classes is 10 for the generator and None"]),
    (["--trainer.accelerator=cup"], ["cup"]),
    (["--trainer.logger=true"], ["trainer.logger"]),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=lambda v: v[-1] if "=" in str(v) else "")
def test_a_mistake_is_one_line_and_status_2(arguments, words, no_data, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        fit("-c", NSGAN, "-c", DIGITS, f"--trainer.default_root_dir={tmp_path}", *arguments)
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert stopped.value.code == 2
    assert said[-1].startswith("error: ")
    assert sum(line.startswith("error") for line in said) == 1
    assert all(word in said[-1] for word in words), said[-1]
    assert not list(tmp_path.iterdir())


FILES = [
    ("buget: {kimg: 5}", ["'buget'", "did you mean 'budget'"]),
    ("modle: {}", ["'modle'", "did you mean 'model'"]),
    ("budget: {kmig: {}}", ["'budget.kmig'", "did you mean 'budget.kimg'"]),
    ("model: {init_args: {generatr: {}}}", ["model.init_args", "NSGAN", "'generatr'", "did you mean 'generator'"]),
    ("model: {init_args: {generator: {init_args: {widht: 3}}}}", ["model.generator", "'widht'", "'width'"]),
    ("model: {class_path: zoo.variants.lsgan.LSGAN, init_args: {gp_weight: 3}}", ["LSGAN", "'gp_weight'"]),
    (
        "model: {init_args: {stabilizers: [{class_path: zoo.stabilizers.InstanceNoise, init_args: {sigam: 1}}]}}",
        ["model.stabilizers[0]", "'sigam'", "did you mean 'sigma'"],
    ),
    ("model: {init_arg: {ema_decay: 0.5}}", ["model.init_arg", "init_args"]),
    ("model:\n  init_args: [\n", [", line 3, column 1"]),
    ("just words", ["has no keys"]),
]


@pytest.mark.parametrize(("text", "words"), FILES)
def test_a_mistake_in_a_file_is_named_with_the_file(text, words, no_data, capsys, tmp_path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(SystemExit) as stopped:
        fit("-c", NSGAN, "-c", DIGITS, "-c", file, f"--trainer.default_root_dir={tmp_path / 'runs'}")
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert stopped.value.code == 2
    assert [line.startswith(f"error: {file}") for line in said].count(True) == 1
    assert all(word in said[-1] for word in words), said[-1]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("given", "word"), [(["-c", NSGAN], "data"), (["-c", DIGITS], "variant")])
def test_a_missing_half_is_named(given, word, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        fit(*given)
    assert stopped.value.code == 2
    assert word in capsys.readouterr().err.splitlines()[-1]


def test_a_run_keeps_everything_in_one_folder_and_can_be_repeated(tmp_path: Path) -> None:
    arguments = [*QUICK, f"--trainer.default_root_dir={tmp_path}"]
    first, second = fit(*arguments), fit(*arguments)
    assert same(snapshot(first.model), snapshot(second.model))
    runs = sorted(tmp_path.iterdir())
    assert len(runs) == 2
    for run in runs:
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
        told = yaml.safe_load((run / "config.yaml").read_text())
        assert told["model"]["class_path"] == "zoo.variants.nsgan.NSGAN"
        assert told["trainer"]["default_root_dir"] == str(tmp_path)


def test_a_saved_configuration_repeats_the_run(tmp_path: Path) -> None:
    first = fit(*QUICK, f"--trainer.default_root_dir={tmp_path / 'a'}")
    (run,) = (tmp_path / "a").iterdir()
    again = fit("-c", run / "config.yaml", f"--trainer.default_root_dir={tmp_path / 'b'}")
    assert same(snapshot(first.model), snapshot(again.model))


def test_resuming_does_not_override_the_command_line(tmp_path: Path) -> None:
    fit(*QUICK, f"--trainer.default_root_dir={tmp_path}")
    (folder,) = tmp_path.iterdir()
    resumed = fit(*QUICK, f"--ckpt_path={folder / 'last.ckpt'}", "--trainer.max_steps=6", "--model.clip_norm=3")
    assert resumed.model.clip_norm == 3
    assert resumed.model.steps == 6


def test_resuming_with_other_data_is_another_run(tmp_path: Path) -> None:
    fit(*QUICK, f"--trainer.default_root_dir={tmp_path}")
    (folder,) = tmp_path.iterdir()
    before = (folder / "run.json").read_text()
    fit(
        *QUICK, "--dataset=mine", f"--ckpt_path={folder / 'last.ckpt'}", f"--trainer.default_root_dir={tmp_path}",
        "--trainer.max_steps=6",
    )  # fmt: skip
    assert (folder / "run.json").read_text() == before
    assert [p.name[: -len("-20260101-000000")] for p in sorted(tmp_path.iterdir())] == ["nsgan-digits", "nsgan-mine"]


def test_a_resumed_optimizer_takes_the_rate_of_now(tmp_path: Path) -> None:
    fit(*QUICK, f"--trainer.default_root_dir={tmp_path}")
    (folder,) = tmp_path.iterdir()
    again = fit(*QUICK, f"--ckpt_path={folder / 'last.ckpt'}", "--trainer.max_steps=6", "--model.g_optimizer.lr=1e-6")
    assert again.model.latest["lr/g"] == again.model.optimizer_of("g").param_groups[0]["lr"] == 1e-6
    assert again.model.latest["lr/d"] == 2e-4
    step = next(iter(again.model.optimizer_of("g").state.values()))["step"]
    assert float(step) == 6


def test_wandb_is_told_what_the_run_is(tmp_path: Path) -> None:
    arguments = [a for a in QUICK if a != "--trainer.logger=false"] + [f"--trainer.default_root_dir={tmp_path}"]
    run = [*arguments, "--trainer.logger.class_path=zoo.run.loggers.WandbLogger", "--trainer.logger.mode=disabled"]
    told = fit(*run).trainer.loggers[1]._wandb_init
    (folder,) = tmp_path.iterdir()
    assert (told["dir"], told["name"], told["group"]) == (str(folder), folder.name, "nsgan-digits")
    assert told["resume"] == "allow"
    told = fit(*run, "--trainer.logger.group=mine", "--trainer.logger.name=first").trainer.loggers[1]._wandb_init
    assert (told["name"], told["group"]) == ("first", "mine")


def test_a_checkpoint_does_not_choose_what_code_runs(tmp_path: Path) -> None:
    fit(*QUICK, f"--trainer.default_root_dir={tmp_path / 'runs'}")
    (folder,) = (tmp_path / "runs").iterdir()
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    checkpoint["hyper_parameters"]["generator"]["class_path"] = "antigravity.Generator"
    torch.save(checkpoint, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match=r"antigravity\.Generator: .* --trust antigravity"):
        zoo.load(tmp_path / "evil.ckpt")


def test_the_budget_stops_the_run(tmp_path: Path) -> None:
    cli = fit(*QUICK, f"--trainer.default_root_dir={tmp_path}", "--trainer.max_steps=-1", "--budget.kimg=0.5")
    assert cli.model.images == 512  # 8 batches of 64


def test_validate_measures_a_checkpoint(tmp_path: Path, capsys) -> None:
    from zoo.cli.main import main

    trained = fit(*QUICK, f"--trainer.default_root_dir={tmp_path}")
    (folder,) = tmp_path.iterdir()
    given = [str(a) for a in QUICK if "max_steps" not in str(a)]
    cli = main(["validate", *given, f"--ckpt_path={folder / 'last.ckpt'}"])
    measured = cli.trainer.callback_metrics["full/fd/digits-cnn"].item()
    assert measured == pytest.approx(trained.trainer.callback_metrics["fd/digits-cnn"].item(), rel=1e-4)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_default_callback_is_left_out_of_the_list_of_an_older_run_too(tmp_path: Path) -> None:
    listed = "[{class_path: zoo.callbacks.Samples}, {class_path: zoo.callbacks.Checkpoints}]"
    cli = fit(*QUICK, f"--trainer.callbacks={listed}", "--without=[samples]", f"--trainer.default_root_dir={tmp_path}")
    kinds = [type(callback).__name__ for callback in cli.trainer.callbacks]
    assert "Checkpoints" in kinds
    assert "Samples" not in kinds


def test_sample_draws_the_same_picture_twice(tmp_path: Path, capsys) -> None:
    fit(*QUICK, f"--trainer.default_root_dir={tmp_path / 'runs'}")
    (folder,) = (tmp_path / "runs").iterdir()
    pictures = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        path = tmp_path / f"{name}.png"
        assert zoo_main(["sample", str(folder / "last.ckpt"), "--n", "9", "--seed", str(seed), "-o", str(path)]) == 0
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]
    assert "9 samples of NSGAN at 0.32 kimg" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_sample_refuses_what_is_no_checkpoint(content: bytes | None, tmp_path: Path, capsys) -> None:
    path = tmp_path / "x.ckpt"
    if content is not None:
        path.write_bytes(content)
    assert zoo_main(["sample", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(path) in said


def test_a_checkpoint_from_python_says_how_to_load_it(tmp_path: Path, capsys) -> None:
    from tests.games import fit as fit_bare
    from tests.games import networks, points

    trainer = fit_bare(nsgan.NSGAN(*networks()), points(2))
    trainer.save_checkpoint(tmp_path / "bare.ckpt")
    assert zoo_main(["sample", str(tmp_path / "bare.ckpt")]) == 2
    assert "load_from_checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [("FashionMNIST", "fashion_mnist"), ("WGANGP", "wgangp"), ("CIFAR10", "cifar10"), ("ImageFolder", "image_folder")],
)
def test_snake_case(name: str, words: str) -> None:
    assert snake_case(name) == words
