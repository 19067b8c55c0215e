"""Fine-tuning as its users meet it: by the command line, and from published checkpoints."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

import zoo
from tests.finetuning import below, refused
from tests.fits import SMALL
from tests.games import same, snapshot
from zoo.backbones import DCGANDiscriminator, DCGANGenerator
from zoo.cli.main import ROOT, main
from zoo.gan import GAN
from zoo.hub import catalogue
from zoo.hub.export import export
from zoo.hub.finetune import begin
from zoo.variants.nsgan import NSGAN

QUICK = ["-c", ROOT / "configs/data/digits.yaml", "--data.image_size=8", *SMALL, "--data.batch_size=16"]
ONLY = "--trainer.callbacks=zoo.callbacks.Checkpoints"


def run(config: str, root: Path, *more: object):
    given = ["fit", "-c", ROOT / f"configs/{config}.yaml", *QUICK, f"--trainer.default_root_dir={root}", ONLY, *more]
    return main([str(word) for word in given])


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """The last checkpoint of a run of NSGAN."""
    root = tmp_path_factory.mktemp("old")
    run("nsgan", root)
    (folder,) = root.iterdir()
    return folder / "last.ckpt"


def test_the_command_line_begins_resumes_and_loads(published: Path, tmp_path: Path, capsys) -> None:
    ref = tmp_path / "ref.ckpt"
    ref.write_bytes(published.read_bytes())
    first = "discriminator.trunk.0"
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(f"model: {{init_args: {{init_from: {{ref: {ref}, freeze: [{first}]}}}}}}")
    told = ["-c", overlay]
    cli = run("lsgan", tmp_path / "runs", *told)
    assert f"Starting from {ref} (NSGAN): generator, discriminator; frozen: {first}\n" in capsys.readouterr().out
    old = zoo.load(ref)
    assert same(below(cli.model, first), below(old, first))
    assert not same(snapshot(cli.model.generator), snapshot(old.generator))
    assert (cli.model.steps, cli.model.kimg) == (5, pytest.approx(0.08))
    (folder,) = (tmp_path / "runs").iterdir()

    ref.unlink()
    loaded = zoo.load(folder / "last.ckpt")
    assert same(snapshot(loaded), snapshot(cli.model))
    assert torch.equal(loaded.sample(5, seed=2), cli.model.sample(5, seed=2))
    assert not any(p.requires_grad for k, p in loaded.named_parameters() if k.startswith(f"{first}."))
    more = ["--trainer.max_steps=7", f"--ckpt_path={folder / 'last.ckpt'}"]
    resumed = run("lsgan", tmp_path / "runs", *told, *more)
    assert resumed.model.steps == 7
    assert same(below(resumed.model, first), below(old, first))
    assert "Starting" not in capsys.readouterr().out


def test_what_is_predicted_or_measured_is_what_init_from_names(published: Path) -> None:
    given = [str(word) for word in QUICK if "max_steps" not in str(word)]
    cli = main(["predict", "-c", str(ROOT / "configs/nsgan.yaml"), *given, f"--model.init_from={published}",
                "--trainer.limit_predict_batches=1"])  # fmt: skip
    assert torch.equal(cli.model.sample(5, seed=2), zoo.load(published).sample(5, seed=2))


def said_of(capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    assert stopped.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_the_flags_that_a_refusal_names_make_it_fit(published: Path, tmp_path: Path, capsys) -> None:
    ref = f"--model.init_args.init_from={published}"
    other = ["--model.generator.width=6", "--model.generator.latent_dim=16", "--model.discriminator.width=5",
             "--data.image_size=16"]  # fmt: skip
    said = said_of(capsys, "nsgan", tmp_path, ref, *other)
    assert not list(tmp_path.iterdir())
    flags = shlex.split(re.search(r"build it alike with (.*)", said)[1])
    assert flags == ["--data.image_size", "8", "--model.generator.latent_dim", "128", "--model.generator.width", "4",
                     "--model.discriminator.width", "4"]  # fmt: skip
    gan = run("nsgan", tmp_path, ref, *other, *flags, "--trainer.max_steps=0").model
    assert same(snapshot(gan), snapshot(zoo.load(published)))


def test_a_refusal_says_how_to_leave_out_what_does_not_fit(published: Path, tmp_path: Path, capsys) -> None:
    said = said_of(capsys, "sngan", tmp_path, f"--model.init_from={published}")
    assert said.endswith(
        "build it alike with --model.discriminator.norm batch and stabilizers as there: none, not SpectralNorm"
    )
    way_out = shlex.split(re.search(r"leave it out with (--model.*?), or", said)[1])
    gan = run("sngan", tmp_path, *way_out, "--trainer.max_steps=0").model
    assert torch.equal(gan.sample(5, seed=2), zoo.load(published).sample(5, seed=2))


# Published checkpoints.


@pytest.fixture(scope="module")
def folder(published: Path, tmp_path_factory) -> Path:
    """The same as `published`, exported."""
    return export(published, tmp_path_factory.mktemp("catalogue") / "nsgan-digits", n_samples=4)


def images(cls: type[GAN], ref: object, **kwargs) -> GAN:
    torch.manual_seed(9)
    nets = DCGANGenerator((1, 8, 8), width=4), DCGANDiscriminator((1, 8, 8), width=4)
    return cls(*nets, ema_decay=0.9, init_from=str(ref), **kwargs)


def test_a_published_gan_is_begun_from_by_folder_and_by_name(
    folder: Path, published: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(catalogue, "DATA", folder.parent)
    old = zoo.from_pretrained(folder)
    for ref in (folder, "nsgan-digits", "nsgan-digits@1", published):
        gan = images(NSGAN, ref)
        begin(gan)
        assert same(snapshot(gan), snapshot(old))
        assert torch.equal(gan.sample(9, seed=4), old.sample(9, seed=4))
        assert capsys.readouterr().out == f"Starting from {ref} (NSGAN): generator, discriminator\n"


def test_a_published_gan_that_is_damaged_or_unknown_is_refused(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(catalogue, "DATA", folder.parent)
    refused(images(NSGAN, "nsgan-digit"), "init_from: the catalogue has no 'nsgan-digit'", "did you mean nsgan-digits")
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    refused(images(NSGAN, copy), f"init_from: {copy / 'model.safetensors'} is damaged")


def test_what_was_fine_tuned_and_published_needs_no_source(folder: Path, tmp_path: Path) -> None:
    ref = shutil.copytree(folder, tmp_path / "source")
    told = [f"--model.init_from.ref={ref}", "--model.init_from.freeze=[discriminator.trunk.0]"]
    gan = run("nsgan", tmp_path / "runs", *told).model
    shutil.rmtree(ref)
    (made,) = (tmp_path / "runs").iterdir()
    loaded = zoo.from_pretrained(export(made / "last.ckpt", tmp_path / "out", n_samples=4))
    assert same(snapshot(loaded), snapshot(gan))
    assert loaded.init_from is None
