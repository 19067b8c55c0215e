"""Any input at all ends in a ValueError of one line, or works: never in another exception, a hang, or much memory."""

import io
import json
import resource
import shutil
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import zoo
from tests.bundles import seal
from tests.compare_runs import FACTS, write_run
from tests.corpus.checkpoints import whole
from zoo.benchmark.file import read as read_benchmark
from zoo.benchmark.resolve import Unplayed
from zoo.cli.configs import check_files, read_file
from zoo.cli.main import ROOT, main
from zoo.compare import compare, html
from zoo.compare.numbers import as_json
from zoo.hub import bundle
from zoo.run.records import read_metrics, read_record

QUIET = {
    "deadline": None, "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}  # fmt: skip
FEW, SOME = 8, 20  # examples, always the same ones
MANY = 40  # times as many, and always others: make slow

SIZES = st.sampled_from([-1, 0, 1, 2, 3, 2**16, 2**31, 2**63, 10**9, 10**30])
WORDS = st.sampled_from(
    ["", "x", "batch", "os.system", "zoo.gan.GAN", "DCGANGenerator", "../x", "\0", "1e5", "null", "{", "ü"]
)
LEAVES = st.none() | st.booleans() | SIZES | st.floats() | WORDS | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.sampled_from(["class_path", "init_args", "dict_kwargs"]), inner, max_size=3)
    ),
    max_leaves=6,
)
CONFIG = yaml.safe_load((ROOT / "configs/nsgan.yaml").read_text()) | yaml.safe_load(
    (ROOT / "configs/data/digits.yaml").read_text()
)


def places(tree: Any, path: tuple = ()) -> list[tuple]:
    """Where something can be replaced."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for key, part in inside for place in places(part, (*path, key)))]


def replaced(tree: Any, path: tuple, value: Any) -> Any:
    if not path:
        return value
    copy = tree.copy()
    copy[path[0]] = replaced(tree[path[0]], path[1:], value)
    return copy


def mutants(tree: Any) -> st.SearchStrategy[Any]:
    """The tree with up to three of its parts replaced."""

    def one(tree: Any, change: tuple[int, Any]) -> Any:
        among = places(tree)[1:]
        return replaced(tree, among[change[0] % len(among)], change[1]) if among else tree

    return st.lists(st.tuples(st.integers(0, 10**4), VALUES), min_size=1, max_size=3).map(
        lambda c: reduce(one, c, tree)
    )


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """A file with bytes flipped, cut away or put in."""

    def change(told: tuple[int, int, bytes]) -> bytes:
        at, cut, more = told
        at %= len(content) + 1
        return content[:at] + more + content[at + cut :]

    return st.tuples(st.integers(0, 1 << 40), st.integers(0, 64), st.binary(max_size=64)).map(change)


def one_line(call: Callable[[], object]) -> None:
    """It works, or refuses in one line."""
    told = "fine"
    try:
        call()
    except ValueError as error:
        told = str(error)
    assert len(told.strip().splitlines()) == 1, told


def profiles(strategy: st.SearchStrategy[Any], few: int) -> Callable:
    """The test twice: with few examples, always the same, and with many, marked slow."""

    def made(test: Callable) -> Callable:
        @pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)])
        def run(many: bool, tmp_path: Path, small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
            monkeypatch.chdir(tmp_path)

            @settings(max_examples=few * (MANY if many else 1), derandomize=not many, **QUIET)
            @given(strategy)
            def each(content: Any) -> None:
                test(tmp_path, small_bundle, content)

            each()

        return run

    return made


@profiles(mutants(CONFIG), FEW)
def test_any_configuration(folder: Path, source: Path, tree: Any) -> None:
    """Through the command line, up to the fit."""
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(tree, allow_unicode=True))
    words = [f"--trainer.default_root_dir={folder / 'runs'}", "--trainer.logger=false", "--trainer.callbacks=[]"]
    said, status = io.StringIO(), 0
    with redirect_stderr(said), redirect_stdout(said):
        try:
            main(["fit", "-c", str(file), *words], Unplayed)
        except SystemExit as stopped:
            status = stopped.code
    lines = [line for line in said.getvalue().splitlines() if line.startswith("error")]
    assert (status, len(lines)) in {(0, 0), (2, 1)}
    assert said.getvalue().rstrip().endswith(tuple(lines) or "")
    shutil.rmtree(folder / "runs", ignore_errors=True)


@profiles(st.text(max_size=200) | st.binary(max_size=200), SOME)
def test_any_text_as_a_configuration(folder: Path, source: Path, content: str | bytes) -> None:
    file = folder / "mine.yaml"
    file.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    one_line(lambda: read_file(file))
    one_line(lambda: check_files([file], ["model", "data", "budget.kimg", "trainer.max_steps"]))
    one_line(lambda: read_benchmark(file))
    one_line(lambda: read_metrics(file))
    one_line(lambda: read_record(file))


SEARCH = yaml.safe_load((ROOT / "configs/sweeps/lucic.yaml").read_text())


@profiles(mutants(SEARCH), SOME)
def test_any_benchmark(folder: Path, source: Path, tree: Any) -> None:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(tree, allow_unicode=True))
    one_line(lambda: read_benchmark(file))


def archive(content: Any) -> bytes:
    memory = io.BytesIO()
    torch.save(content, memory)
    return memory.getvalue()


SEALED = archive(whole())


def repacked(content: bytes) -> bytes:
    """The archive with this for its pickle, and checksums that are right."""
    memory = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(SEALED)) as good, zipfile.ZipFile(memory, "w") as made:
        for name in good.namelist():
            made.writestr(name, content if name.endswith("data.pkl") else good.read(name))
    return memory.getvalue()


def pickle_of(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as made:
        return made.read(next(name for name in made.namelist() if name.endswith("data.pkl")))


@profiles(damaged(SEALED) | damaged(pickle_of(SEALED)).map(repacked) | st.binary(max_size=300).map(repacked), SOME)
def test_any_bytes_as_a_checkpoint(folder: Path, source: Path, content: bytes) -> None:
    (folder / "x.ckpt").write_bytes(content)
    one_line(lambda: zoo.load(folder / "x.ckpt"))


@profiles(mutants({k: v for k, v in whole().items() if k != "state_dict"}), SOME)
def test_any_plain_values_in_a_checkpoint(folder: Path, source: Path, tree: Any) -> None:
    torch.save({**tree, "state_dict": whole()["state_dict"]} if isinstance(tree, dict) else tree, folder / "x.ckpt")
    one_line(lambda: zoo.load(folder / "x.ckpt"))


def copied(source: Path, folder: Path) -> Path:
    shutil.rmtree(folder / "copy", ignore_errors=True)
    return Path(shutil.copytree(source, folder / "copy"))


NETWORK = {"class_path": "MLPGenerator", "init_args": {"image_shape": [1, 8, 8], "width": 4, "depth": 1}}
BUNDLE = {
    "init_args": {"generator": NETWORK, "discriminator": {**NETWORK, "class_path": "MLPDiscriminator"}},
    "game": {"steps": 7, "images": 448, "g_moves": 2, "seed": 5}, "objective": "wgan_gp", "schema": 1, "version": "1",
}  # fmt: skip


@profiles(mutants(BUNDLE), SOME)
def test_any_values_in_a_bundle(folder: Path, source: Path, tree: dict[str, Any]) -> None:
    copy = copied(source, folder)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **tree}))
    seal(copy)
    one_line(lambda: bundle.read(copy))


@profiles(st.tuples(st.sampled_from(bundle.FILES), st.binary(max_size=100), st.integers(0, 4000)), SOME)
def test_any_bytes_in_a_bundle(folder: Path, source: Path, told: tuple[str, bytes, int]) -> None:
    name, more, at = told
    copy = copied(source, folder)
    content = (copy / name).read_bytes()
    at %= len(content)
    (copy / name).write_bytes(content[:at] + more + content[at + len(more) :])
    if name != "SHA256SUMS":
        seal(copy)
    one_line(lambda: bundle.read(copy))


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@profiles(mutants({"a": ENTRY, "b": {**ENTRY, "data_offsets": [4, 8]}, "__metadata__": {"format": "pt"}}), SOME)
def test_any_head_of_safetensors(folder: Path, source: Path, head: Any) -> None:
    text = json.dumps(head).encode()
    copy = copied(source, folder)
    (copy / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    seal(copy)
    one_line(lambda: bundle.read(copy))


ROWS = [{"step": 0, "time": 1.0, "fd/digits-cnn": 3.0, "loss/d": 1.0, "progress/kimg": 0.0}] * 2
SCORES = [{"kimg": 0.0, **FACTS, "scores": {"fd/digits-cnn": 3.0}}]
RECORD = {
    "variant": "nsgan", "dataset": "digits", "seed": 0, "status": "finished", "error": None, "device": "cpu",
    "started": "2026-01-01T00:00:00+00:00", "git": {"commit": "0123456789", "dirty": True},
    "diagnosis": [{"name": "mode collapse", "kimg": 3.0, "evidence": "x", "advice": "y"}],
    "result": {"kimg": 20.0, "steps": 1, "seconds": 2.0, "score": None, "metrics": {}, "checkpoints": []},
}  # fmt: skip


def lines(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in (rows if isinstance(rows, list) else [rows])).encode()


def png() -> bytes:
    memory = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(memory, "PNG")
    return memory.getvalue()


def of_a_run() -> st.SearchStrategy[tuple[str, bytes]]:
    whole = {"run.json": lines(RECORD), "metrics.jsonl": lines(ROWS), "scores.jsonl": lines(SCORES)}
    trees = {"run.json": RECORD, "metrics.jsonl": ROWS, "scores.jsonl": SCORES}
    picture = "samples/000020.000.png"
    return st.one_of(
        *(st.tuples(st.just(name), mutants(tree).map(lines)) for name, tree in trees.items()),
        *(st.tuples(st.just(name), damaged(content)) for name, content in {**whole, picture: png()}.items()),
    )


@profiles(of_a_run(), FEW)
def test_any_file_of_a_run_leaves_the_page_of_the_others(folder: Path, source: Path, told: tuple[str, bytes]) -> None:
    name, content = told
    for run in ("good", "bad"):
        shutil.rmtree(folder / run, ignore_errors=True)
        write_run(folder / run, fd=[3.0, 2.0], pathologies=RECORD["diagnosis"], picture=np.zeros((8, 8, 3), np.uint8))
    (folder / "bad" / name).write_bytes(content)
    comparison = compare([folder])
    assert "good" in {run.folder.name for run in comparison.runs}
    assert len(html(comparison)) < 10**6
    json.dumps(as_json(comparison), allow_nan=False)


def test_all_that_took_little_memory() -> None:
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20  # KiB
