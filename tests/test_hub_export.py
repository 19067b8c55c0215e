"""From a run to a published folder: the same samples, what its card says, and what it keeps to itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import zoo
from tests.fits import train
from tests.games import same, snapshot
from zoo.__main__ import main
from zoo.hub import bundle, catalogue
from zoo.hub.export import export
from zoo.hub.facts import public, scores
from zoo.run.pictures import picture


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A whole run, with scores of its beginning and its end."""
    return train("wgan_gp", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def published(run: Path, tmp_path_factory) -> Path:
    return export(run / "last.ckpt", tmp_path_factory.mktemp("published") / "one", n_samples=9)


def test_what_is_published_is_what_was_trained(run: Path, published: Path) -> None:
    """And described; test_configs.py compares the tensors and samples of every configuration."""
    trained, read = zoo.load(run / "last.ckpt"), zoo.from_pretrained(published)
    assert type(read) is type(trained)
    assert same(snapshot(read), snapshot(trained))
    assert read.kimg == trained.kimg == 0.128
    assert repr(read) == repr(trained)
    for mine, theirs in zip(read.configure_optimizers(), trained.configure_optimizers(), strict=True):
        assert (type(mine), mine.defaults) == (type(theirs), theirs.defaults)
    told = config_of(published)
    assert (told["name"], told["variant"]) == ("wgan_gp-digits", "wgan_gp")
    assert told["objective"] == type(trained).__module__.rpartition(".")[2]
    assert set(told["parts"]) == {name.partition(".")[0] for name in trained.state_dict()}
    assert sum(told["parts"].values()) == sum(value.numel() for value in trained.state_dict().values())
    for network in ("generator", "discriminator"):  # which the configuration does not say
        assert told["init_args"][network]["init_args"]["image_shape"] == [1, 8, 8]


def test_its_facts_are_the_runs(run: Path, published: Path) -> None:
    told, record = config_of(published), json.loads((run / "run.json").read_text())
    rows = [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]
    name = "fd/digits-cnn"
    assert told["scores"]["name"] == name
    assert told["scores"]["final"] == rows[-1]
    assert told["scores"]["best"] == min(rows, key=lambda row: row["scores"][name])
    assert told["scores"]["full"] is None
    assert [kimg for kimg, _ in told["scores"]["course"]] == [0.0, 0.128]
    assert told["scores"]["course"][-1][1] == rows[-1]["scores"][name]
    assert {"kimg": 0.128, "steps": 2, "seed": 0}.items() <= told["training"].items()
    assert told["training"]["git"] == record["git"]
    assert told["training"]["versions"] == record["versions"]
    assert told["training"]["seconds"] == record["result"]["seconds"]
    assert told["data"]["class_path"] == "Digits"
    assert told["data"]["init_args"]["image_size"] == 8


def test_the_picture_is_of_its_samples(published: Path) -> None:
    told = config_of(published)["samples"]
    assert told == {"n": 9, "seed": 0}
    gan = zoo.from_pretrained(published)
    assert (picture(gan.sample(9, seed=0)) == np.asarray(Image.open(published / "samples.png"))).all()


def test_card_configuration_and_catalogue_agree(published: Path, monkeypatch, capsys) -> None:
    hub = pytest.importorskip("huggingface_hub")
    told = config_of(published)
    text = (published / "README.md").read_text()
    card = hub.ModelCard(text).data
    assert (card.license, card.library_name, card.model_name) == ("mit", "gan-zoo", told["name"])
    assert {"gan", "wgan_gp"} <= set(card.tags)
    final = told["scores"]["final"]
    values = {result.metric_type: result for result in card.eval_results}
    assert "fid" not in text.lower().replace("an fid only", "")
    wanted = {key: value for key, value in final["scores"].items() if not key.startswith(("best/", "progress/"))}
    assert {key: result.metric_value for key, result in values.items()} == wanted
    protocol = values["fd/digits-cnn"].metric_args
    assert protocol == {key: final[key] for key in protocol}
    assert {"extractor", "fingerprint", "preprocessing", "n_real", "n_fake", "split", "seed", "ema"} <= set(protocol)
    assert f"| fd/digits-cnn | {final['scores']['fd/digits-cnn']:.4g} |" in text
    assert "L_D = E D(G(z)) - E D(x) + λ E (‖∇D(x̂)‖₂ - 1)²" in text
    assert "Gulrajani et al. 2017" in text

    (published.parent / "catalogue").mkdir()
    shutil.copytree(published, published.parent / "catalogue" / told["name"])
    monkeypatch.setattr(catalogue, "DATA", published.parent / "catalogue")
    assert main(["models", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    best = told["scores"]["best"]
    assert row["final"] == final["scores"]["fd/digits-cnn"]
    assert (row["best"], row["best_kimg"]) == (best["scores"]["fd/digits-cnn"], best["kimg"])
    assert (row["name"], row["objective"], row["kimg"], row["n"]) == ("wgan_gp-digits", "wgan_gp", 0.128, 1000)
    assert row["megabytes"] == round(sum(p.stat().st_size for p in published.iterdir()) / 1e6, 2)
    for form in ([], ["--markdown"]):
        assert main(["models", *form]) == 0
        said = capsys.readouterr().out
        assert f"{row['final']:.4g} (n 1000)" in said
        assert "wgan_gp-digits" in said
    assert said.splitlines()[1] == "|" + " --- |" * 11


@pytest.mark.parametrize(
    ("typed", "published"),
    [
        ("/home/someone/venv/bin/python /home/someone/zoo/train.py fit", "python train.py fit"),
        ("/home/someone/venv/bin/python -m zoo train", "python -m zoo train"),
    ],
)
def test_nothing_private_is_exported(typed: str, published: str, run: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(run, tmp_path / "someones_run"))
    record = json.loads((mine / "run.json").read_text())
    record["command"] = (
        f"{typed} -c configs/wgan_gp.yaml -c /home/someone/my.yaml "
        "--data.root hidden_faces --trainer.logger.init_args.api_key=hunter2 "
        "--trainer.default_root_dir=/scratch/someone --budget.kimg 3 --ckpt_path ../someone/last.ckpt "
        "--model.gp_weight=5"
    )
    record["error"] = "FileNotFoundError: /home/someone/x"
    (mine / "run.json").write_text(json.dumps(record))
    config = yaml.safe_load((mine / "config.yaml").read_text())
    config["data"]["init_args"] |= {"root": "hidden_faces", "cache": "/scratch/someone", "list": ["a", "~/someone"]}
    config["trainer"]["logger"] = [{"class_path": "x", "init_args": {"api_key": "hunter2", "entity": "someone"}}]
    config["trainer"]["default_root_dir"] = "someones_run"
    config["trainer"]["profiler"] = {"class_path": "x", "init_args": {"dirpath": "someone"}}
    config["ckpt_path"] = "someone/last.ckpt"
    (mine / "config.yaml").write_text(yaml.safe_dump(config))
    folder = export(mine / "last.ckpt", tmp_path / "published")
    for name in ("config.json", "README.md", "SHA256SUMS", "model.safetensors"):
        text = (folder / name).read_bytes()
        places = (str(tmp_path).encode(), str(Path.home()).encode())
        for word in (b"someone", b"hidden_faces", b"hunter2", b"scratch", *places):
            assert word not in text, (name, word)
    told = config_of(folder)
    assert told["training"]["command"] == (f"{published} -c configs/wgan_gp.yaml --budget.kimg 3 --model.gp_weight=5")
    assert told["data"]["init_args"]["list"] == ["a"]
    (mine / "run.json").write_text(json.dumps(record | {"command": f"{typed} --ckpt_path ../someone/last.ckpt"}))
    resumed = export(mine / "last.ckpt", tmp_path / "resumed")
    assert config_of(resumed)["training"]["command"] is None


def test_public_keeps_what_is_not_private() -> None:
    kept = {"lr": 0.1, "name": "ring", "monitor": "fd/digits-cnn", "keys": 3, "none": None, "token_mixer": "mlp"}
    assert public(kept) == {key: value for key, value in kept.items() if key != "token_mixer"}
    assert public({"auth_token": "x", "root": "y", "a": [{"password": "z", "b": 1}]}) == {"a": [{"b": 1}]}


def test_scores_are_of_the_checkpoints_own_time(tmp_path: Path) -> None:
    def row(kimg: float, value: Any, key: str = "fd/s") -> str:
        return json.dumps({"kimg": kimg, "extractor": "s", "scores": {key: value}}) + "\n"

    lines = [*map(row, (0, 20, 40, 20, 40, 60), (9.0, 5.0, 2.0, 5.0, "nan", 7.0)), row(60, 6.0, "full/fd/s")]
    (tmp_path / "scores.jsonl").write_text("".join(lines))

    def told(kimg: float) -> tuple:
        found = scores(tmp_path, kimg)
        values = (found[key] and next(iter(found[key]["scores"].values())) for key in ("final", "best", "full"))
        return found["name"], *values

    assert told(60) == ("fd/s", 7.0, 5.0, 6.0)  # the rows before the resume at 20 kimg are another past
    assert told(40) == ("fd/s", "nan", 5.0, None)
    assert told(30) == ("fd/s", None, 5.0, None)
    assert scores(tmp_path / "nowhere", 40) is None


def sibling(run: Path, folder: Path, seed: int, **changes: Any) -> Path:
    shutil.copytree(run, folder)
    record = json.loads((folder / "run.json").read_text())
    record["seed"] = seed
    record["result"]["score"]["last"] = 100.0 + seed
    (folder / "run.json").write_text(json.dumps({**record, **changes}))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "seed_everything": seed}))
    return folder


def test_other_seeds_are_told(run: Path, tmp_path: Path, capsys) -> None:
    others = [str(sibling(run, tmp_path / f"seed{seed}", seed)) for seed in (2, 1)]
    assert (
        main(["export", str(run / "last.ckpt"), str(tmp_path / "new"), "--name", "x-digits", "--seeds", *others]) == 0
    )
    assert "MB" in capsys.readouterr().out
    first = json.loads((run / "run.json").read_text())["result"]["score"]["last"]
    told = config_of(tmp_path / "new")
    assert [(row["seed"], row["score"]) for row in told["training"]["seeds"]] == [(0, first), (1, 101.0), (2, 102.0)]
    mean = (first + 203) / 3
    spread = (((first - mean) ** 2 + (101 - mean) ** 2 + (102 - mean) ** 2) / 2) ** 0.5
    (line,) = catalogue.rows([catalogue.Entry(tmp_path / "new")])
    assert f"3: {mean:.4g} ± {spread:.2g}" in line
    assert "101 (seed 1)" in (tmp_path / "new/README.md").read_text()


def test_another_training_is_no_other_seed(run: Path, tmp_path: Path) -> None:
    def refused(other: Path, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            export(run / "last.ckpt", tmp_path / "new", seeds=[other])
        assert not (tmp_path / "new").exists()

    refused(sibling(run, tmp_path / "same", 0), "seed 0, as another run has")
    refused(sibling(run, tmp_path / "data", 1, dataset="mnist"), "differ in dataset")
    other = sibling(run, tmp_path / "model", 1)
    config = yaml.safe_load((other / "config.yaml").read_text())
    config["model"]["init_args"]["gp_weight"] = 2.0
    (other / "config.yaml").write_text(yaml.safe_dump(config))
    refused(other, "differ in model")
    refused(tmp_path / "nowhere", "was measured")


def test_a_checkpoint_alone_needs_a_name(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "last.ckpt", tmp_path)
    with pytest.raises(ValueError, match="--name <variant>-<dataset>"):
        export(tmp_path / "last.ckpt", tmp_path / "new")
    told = config_of(export(tmp_path / "last.ckpt", tmp_path / "new", name="mine-digits", version="2.1"))
    assert (told["name"], told["version"], told["data"], told["scores"]) == ("mine-digits", "2.1", None, None)
    assert "Not measured" in (tmp_path / "new/README.md").read_text()
    for wrong in ({"name": "a/b"}, {"name": "a@1"}, {"version": "1 2"}):
        with pytest.raises(ValueError, match="letters, digits"):
            export(tmp_path / "last.ckpt", tmp_path / "other", **{"name": "x", **wrong})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told["generator"].update(class_path="tests.games.Mine"), "generator: tests.games.Mine cannot"),
        (
            lambda told: told["g_optimizer"].update(class_path="torch.optim.Adam"),
            "g_optimizer: torch.optim.Adam cannot",
        ),
        (lambda told: told.update(_class_path="tests.games.Mine"), "is no objective of zoo.variants"),
        (lambda told: told.update(gp_weight={"a": 1}), "gp_weight cannot be published"),
    ],
)
def test_what_only_this_machine_knows_is_not_published(run: Path, change, said: str) -> None:
    from zoo.hub.load import recipe_of
    from zoo.hub.recipe import described

    told = recipe_of(run / "last.ckpt")
    change(told)
    with pytest.raises(ValueError, match=said):
        described(told)


def test_what_a_run_began_with_is_told_but_not_where_it_was(run: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(run, tmp_path / "tuned"))
    config = yaml.safe_load((mine / "config.yaml").read_text())
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    elsewhere = {"nsgan-digits": True, "hf:o/r": True, f"{tmp_path}/last.ckpt": False, "../x": False}
    for ref, can_be_repeated in elsewhere.items():
        began = {"ref": ref, "parts": ["generator"], "freeze": []}
        config["model"]["init_args"]["init_from"] = checkpoint["hyper_parameters"]["init_from"] = began
        (mine / "config.yaml").write_text(yaml.safe_dump(config))
        torch.save(checkpoint, mine / "last.ckpt")
        folder = export(mine / "last.ckpt", tmp_path / "new", overwrite=True)
        told = config_of(folder)
        assert "init_from" not in told["init_args"]
        assert told["training"]["init_from"] == (began if can_be_repeated else {"parts": ["generator"], "freeze": []})
        assert (told["training"]["config"] is not None) == can_be_repeated
        assert same(snapshot(zoo.from_pretrained(folder)), snapshot(zoo.load(run / "last.ckpt")))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", '{"variant": "../x", "dataset": "digits", "status": "finished"}'),
        ("run.json", '{"variant": "nsgan", "dataset": "digits", "status": "finished", "versions": [1]}'),
        ("scores.jsonl", '{"kimg": "x", "scores": {}}\n'),
        ("scores.jsonl", '{"kimg": 0.1, "scores": {"fd/pixels8": 1}}\n'),
        ("scores.jsonl", '{"kimg": 0.1, "extractor": "pixels8", "scores": {"fd/pixels8": [1, 2]}}\n'),
        ("scores.jsonl", "[" * 100_000 + "\n"),
        ("scores.jsonl", '{"kimg": ' + "9" * 6000 + "}\n"),
        ("config.yaml", ""),
        ("config.yaml", "model: x\ndata: 3"),
    ],
)
def test_a_run_with_an_odd_file_is_refused_by_name(run: Path, tmp_path: Path, name: str, content: str) -> None:
    mine = Path(shutil.copytree(run, tmp_path / "odd"))
    (mine / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{mine}.*{name}") as refused:
        export(mine / "last.ckpt", tmp_path / "new")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "new").exists()


def test_a_refusal_of_the_command_is_a_line_and_status_2(run: Path, published: Path, capsys) -> None:
    assert main(["export", str(run / "last.ckpt"), str(published)]) == 2
    assert main(["export", str(run / "none.ckpt"), str(published)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["error:"] * 2
    bundle.verify(published)
    assert main(["export", str(run / "last.ckpt"), str(published), "--overwrite", "--samples", "4"]) == 0
    assert config_of(published)["samples"]["n"] == 4
