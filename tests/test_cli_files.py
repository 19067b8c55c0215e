"""Names of configurations, and names of classes that older files use."""

import importlib
import sys
from pathlib import Path

import pytest
import yaml

from zoo.cli.configs import CONFIGS, find_config, read_file, renamed, with_files


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
        ("zzz", ("benchmarks", "sweeps"), r"no configuration 'zzz' \(choose from digits, fashion_mnist, lucic, or"),
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
