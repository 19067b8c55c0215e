"""Checkpoints that are sealed and whole but hold the wrong things: every entry, replaced, left out or added to."""

import copy
import json
import os
import re
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

import zoo
from tests.fits import DIGITS, NSGAN
from tests.trials import Trial, differences
from zoo.hub.load import refuse_others
from zoo.run import files
from zoo.support.moments import bring

MISSING, EXTRA = "missing", "extra"
WRONG = {
    "None": None, "int": -3, "str": "x", "list": ["x"], "dict": {7: "x"}, "shape": torch.zeros(2, 3, 1),
    "dtype": torch.zeros(3, dtype=torch.int16), "complex": torch.zeros(1, dtype=torch.complex64),
    "stride": torch.zeros(()).expand(5, 7), "sparse": torch.zeros(4).to_sparse(), "rows": torch.eye(3).to_sparse_csr(),
}  # fmt: skip
SAME = {"meta": lambda x: torch.empty_like(x, device="meta"), "sparse": torch.Tensor.to_sparse}  # shape and type
ANY = {*WRONG, *SAME, MISSING, EXTRA}
GARBAGE = r"hparams_name|hyper_parameters\..*|loops\.(validate|test|predict)_loop.*"  # a fit does not read it
ACCEPTED = [  # and nothing else
    (GARBAGE, ANY),
    (r"(loops|callbacks|game|hyper_parameters)(\..*)?|.*param_groups\.0(\.betas)?", {EXTRA}),
    (r".*param_groups\.0\.(?!params).*", {"None", "int", "str", MISSING}),  # the present settings replace them
    (r"hyper_parameters|callbacks\.(?!RunRecord)[^.]+|loops\.fit_loop\.state_dict\.combined_loader(\.0)?", {MISSING}),
    (r"callbacks\.(Quality[^.]*|Checkpoints)\.\w+|callbacks\.RunRecord\.started", {"None"}),
    (r"callbacks\.(Quality[^.]*|Checkpoints)\.\w+|callbacks\.EarlyStopping\.(best|seen)", {"int"}),
    (r"callbacks\.RunRecord\.wandb_id|callbacks\.Quality.*\._best_rank\.0", {"str"}),
    (r"callbacks\.Quality.*\._best_rank", {MISSING}),
    (r".*\.readings\.\d+\.\w+|.*\.reader\.(start|norms\..*)|game\.latest\..*|game\..*\.gauss", {"int"}),
    (r".*\.readings\.\d+(\.(?!kimg)\w+)?|.*\.places\.\d+|.*\.norms\..*|.*\.reader\.counts(\.\d+)*", {MISSING}),
    (r".*\.reader\.(move|weights|step)", {"None"}),
    (r"game\.(moments|(latest|metrics|scores)\.[^.]+)", {MISSING}),
]  # fmt: skip


@pytest.fixture(scope="module")
def trial(tmp_path_factory) -> Trial:
    trial = Trial(tmp_path_factory.mktemp("malformed"), NSGAN, DIGITS)
    trial.cli = trial.run("over", "--trainer.callbacks+=zoo.callbacks.EarlyStopping", steps=9)
    trial.last = trial.only("over") / "last.ckpt"
    trial.kept = files.read(trial.last)
    return trial


def places(tree: Any, path: tuple = ()) -> Iterator[tuple]:
    """Where something stands, of each long list the first two."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree[:2]) if isinstance(tree, list | tuple) else ()
    for key, part in inside:
        yield (*path, key)
        yield from places(part, (*path, key))


def changed(tree: Any, path: tuple, value: Any) -> Any:
    """The tree with another value there; MISSING leaves it out, EXTRA puts something beside what is in it."""
    key, *rest = path
    copy = tree.copy() if isinstance(tree, dict) else list(tree)
    if rest:
        copy[key] = changed(tree[key], tuple(rest), value)
    elif value is MISSING:
        del copy[key]
    elif value is EXTRA:
        inner = copy[key]
        copy[key] = {**inner, "no such thing": [1]} if isinstance(inner, dict) else [*inner, 7]
    else:
        copy[key] = value
    return copy if not isinstance(tree, tuple) else tuple(copy)


def mutants(tree: dict[str, Any]) -> Iterator[tuple[tuple, str, dict[str, Any]]]:
    for path in places(tree):
        found = tree
        for key in path:
            found = found[key]
        for name, wrong in WRONG.items():
            if type(wrong) is not type(found) or isinstance(wrong, torch.Tensor | dict):
                yield path, name, changed(tree, path, wrong)
        if isinstance(found, torch.Tensor):
            yield from ((path, name, changed(tree, path, alike(found))) for name, alike in SAME.items())
        yield path, MISSING, changed(tree, path, MISSING)
        if isinstance(found, dict | list | tuple):
            yield path, EXTRA, changed(tree, path, EXTRA)


def may_stand(key: str, name: str) -> bool:
    return any(name in names and re.fullmatch(pattern, key) for pattern, names in ACCEPTED)


@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_every_entry_of_a_checkpoint_is_looked_at(trial: Trial, every: int, monkeypatch) -> None:
    """In one line with the place; zoo.load reads networks, game and description."""
    cli, wrong = trial.cli, []
    refuse_others(trial.last, cli.model, cli.trainer, cli.datamodule, "fit")
    for path, name, tree in islice(mutants(trial.kept), 0, None, every):
        monkeypatch.setattr(files, "read", lambda _, tree=tree: tree)
        key = ".".join(map(str, path))
        reads = [lambda: refuse_others(trial.last, cli.model, cli.trainer, cli.datamodule, "fit")]
        reads += [lambda: zoo.load(trial.last)] if path[0] in {"game", "state_dict", "hyper_parameters"} else []
        for i, read in enumerate(reads):
            try:
                read()
                if i == 0 and not may_stand(key, name):
                    wrong.append((key, name, "taken"))
            except ValueError as error:
                said = str(error)
                if len(said.splitlines()) != 1 or str(trial.last) not in said:
                    wrong.append((key, name, said))
            except Exception as error:
                wrong.append((key, name, repr(error)))
    assert wrong == []


PLACED = ("optimizer_states", 1, "state", 0, "exp_avg_sq")
POSITION = ("game", "generators", 0, "numpy", "state", "pos")


@pytest.mark.parametrize(("path", "value"), [(PLACED, torch.zeros(3)), (POSITION, 10**6)], ids=["moment", "position"])
def test_a_trainer_used_from_python_takes_nothing_that_native_code_would_not_stand(
    trial: Trial, path: tuple, value: Any, tmp_path: Path
) -> None:
    files.write(changed(trial.kept, path, value), tmp_path / "x.ckpt")
    trainer = Trainer(max_steps=11, accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(ValueError, match=rf"{path[-1]} must be|a state of numpy's generator"):
        trainer.fit(zoo.load(trial.last), trial.cli.datamodule, ckpt_path=tmp_path / "x.ckpt", weights_only=True)


def test_moments_take_the_layout_of_the_optimizers_own(trial: Trial) -> None:
    """A fused kernel reads all of its tensors in the same order, whatever their strides."""
    moment = trial.kept["optimizer_states"][1]["state"][0]["exp_avg_sq"]
    other = moment.T.clone(memory_format=torch.contiguous_format).T
    assert other.stride() != moment.stride()
    stepped = []
    for tree in map(copy.deepcopy, (trial.kept, changed(trial.kept, PLACED, other))):
        gan = zoo.load(trial.last)
        optimizers = gan.configure_optimizers()
        assert bring(tree, gan.players(), optimizers) is None
        optimizers[1].load_state_dict(tree["optimizer_states"][1])
        for p in gan.generator.parameters():
            p.grad = torch.full_like(p, 1e-6)
        optimizers[1].step()
        stepped.append(next(gan.generator.parameters()))
    assert torch.equal(*stepped)


def test_what_a_fit_does_not_read_changes_nothing(trial: Trial) -> None:
    """And settings of optimisers are the present ones."""
    tree = trial.kept
    for path in list(places(tree)):
        key = ".".join(map(str, path))
        if (re.fullmatch(GARBAGE, key) and len(path) <= 2) or re.fullmatch(r".*param_groups\.0\.(?!params)\w+", key):
            tree = changed(tree, path, "x")
    ended = []
    for name, kept in (("good", trial.kept), ("odd", tree)):
        at = trial.folder / f"{name}.ckpt"
        files.write(kept, at)
        trial.run(name, "--trainer.callbacks+=zoo.callbacks.EarlyStopping", f"--ckpt_path={at}", steps=11)
        ended.append(files.read(trial.only(name) / "last.ckpt"))
    assert ended[0]["game"]["steps"] == 11
    assert [d for d in differences(*ended) if "/seconds" not in d and "/started" not in d] == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("optimizer_states",), MISSING, "has no optimizer_states, only weights"),
        (("game", "generators", 0, "numpy", "state", "pos"), 10**6, "generators[0].numpy must be a state of numpy's"),
    ],
)
def test_the_command_line_says_so(trial: Trial, path: tuple, value: Any, said: str, tmp_path: Path, capsys) -> None:
    at = tmp_path / "x.ckpt"
    files.write(changed(trial.kept, path, value), at)
    with pytest.raises(SystemExit) as ended:
        trial.run("refused", f"--ckpt_path={at}", steps=11)
    line = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2
    assert said in line
    assert str(at) in line
    assert not (trial.folder / "refused").exists() or not list((trial.folder / "refused").iterdir())


def test_files_that_a_kill_has_torn_are_mended(trial: Trial, monkeypatch) -> None:
    """The run goes on in a copy of its folder; what is replaced there is replaced in one piece."""
    run = Path(shutil.copytree(trial.only("over"), trial.folder / "torn" / "run"))
    picture = run / "samples/000000.576.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])
    lines = (run / "scores.jsonl").read_text().splitlines(keepends=True)
    (run / "scores.jsonl").write_text("".join(lines)[:-40])
    (run / "samples/000000.640.png.part").write_bytes(b"x")
    (run / "config.yaml.part").write_text("x")
    replaced = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (replaced.append(Path(b).name), replace(a, b)))
    words = ("--trainer.callbacks+=zoo.callbacks.EarlyStopping", f"--ckpt_path={run / 'last.ckpt'}")
    trial.run("unused", *words, "--data.batch_size=64", steps=11)
    assert picture.read_bytes() == whole
    rows = [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]
    assert len(rows) == len(lines) + 1  # of two new measurements, one of them lost before
    assert not list(run.rglob("*.part"))
    assert {"config.yaml", "run.json", "last.ckpt", picture.name, "000000.704.png"} <= set(replaced)
