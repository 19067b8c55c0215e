"""The dashboard shows the keys that runs log; what is saved is what a dry run shows."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
import yaml

import zoo.dashboard
from tests.processes import typed
from zoo.__main__ import main
from zoo.dashboard.keys import Keys, features_of
from zoo.dashboard.views import spec_of
from zoo.run.records import read_metrics

ROOT = Path(__file__).parent.parent
PLACE = ["dashboard", "--entity", "local", "--project", "gan-zoo"]
TWO_STEPS = ["--trainer.max_steps=2", "--trainer.log_every_n_steps=1"]


def fit(variant: str, root: Path) -> list[str]:
    """Words for a run of two steps, of both players, with all that configs/default.yaml has."""
    files = [f"--config={ROOT / 'configs' / name}.yaml" for name in (variant, "data/digits", "demo")]
    one_each = "--model.init_args.dynamics.init_args.d_steps=1"
    return ["fit", *files, *TWO_STEPS, one_each, f"--trainer.default_root_dir={root}"]


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two steps that W&B has not seen yet."""
    root = tmp_path_factory.mktemp("offline")
    done = typed(ROOT, "train.py", *fit("nsgan", root))
    assert done.returncode == 0, done.stderr
    [folder] = root.iterdir()
    return folder


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the dashboard would save, made where there is no network."""
    file = tmp_path_factory.mktemp("dry") / "new" / "dashboard.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it asked a server"))
        patch.delenv("WANDB_API_KEY", raising=False)
        assert main([*PLACE, "--dry-run", str(file)]) == 0
    told: dict[str, Any] = json.loads(file.read_text())
    return told


# What it shows


def panels(tree: Any) -> list[dict[str, Any]]:
    """All panels of a workspace or a report, wherever they are."""
    if isinstance(tree, list):
        return [panel for part in tree for panel in panels(part)]
    if not isinstance(tree, dict):
        return []
    return [tree] if "viewType" in tree else panels(list(tree.values()))


def columns(panel: dict[str, Any], kind: str) -> set[str]:
    accessors = [column["accessor"].split(":", 1) for column in panel["config"].get("columns", [])]
    return {name for found, name in accessors if found == kind}


def shown(panel: dict[str, Any]) -> set[str]:
    """The metrics and pictures that a panel names, in W&B's many ways."""
    config = panel["config"]
    names = {*config.get("metrics", []), *config.get("mediaKeys", []), *columns(panel, "summary")}
    names |= {config[key] for key in ("xAxis", "targetKey") if key in config}
    return {name.removeprefix("summary_metrics.") for name in names}


@pytest.mark.parametrize("view", ["workspace", "report"])
def test_the_list_of_keys_is_what_panels_name(dry: dict[str, Any], view: str) -> None:
    keys = Keys("digits-cnn")
    assert set().union(*map(shown, panels(dry[view]))) == {*keys.metrics, keys.samples}


def test_a_run_of_two_steps_logs_every_key(offline: Path) -> None:
    keys = Keys("digits-cnn")
    rows = read_metrics(offline / "metrics.jsonl")
    assert set(keys.metrics) - set().union(*rows) == set()
    assert all(keys.kimg in row for row in rows)
    [media] = offline.glob("wandb/offline-run-*/files/media/images")
    assert len(list(media.glob(f"{keys.samples}_*.png"))) == 2  # before and after


def test_the_settings_that_panels_name_are_in_the_configuration(dry: dict[str, Any], offline: Path) -> None:
    config = yaml.safe_load((offline / "config.yaml").read_text())
    named = set().union(*(columns(panel, "config") for panel in panels(dry)))
    [runs] = dry["workspace"]["spec"]["section"]["runSets"]
    named |= {c.split(":")[1] for c in runs["runFeed"]["columnOrder"] if c.startswith("config:")}
    assert len(named) == 5
    for name in named:
        first, _, rest = name.partition(".value")
        value = config[first]
        for part in rest.strip(".").split(".") if rest else []:
            value = value[part]
        assert value is not None, name


def test_runs_of_a_variant_are_one_line_over_kimg_with_a_band(dry: dict[str, Any]) -> None:
    drawn = [p for p in panels(dry) if p["viewType"] in {"Run History Line Plot", "Bar Chart"}]
    assert len(drawn) == 2 * (6 + 3)
    for panel in drawn:
        config = panel["config"]
        assert (config["groupBy"], config["groupAgg"], config["groupArea"]) == ("variant.value", "mean", "minmax")
        assert config.get("xAxis", "progress/kimg") == "progress/kimg"


def test_only_runs_on_the_data_are_shown_the_best_variant_first(dry: dict[str, Any]) -> None:
    grids = [block["metadata"] for block in dry["report"]["spec"]["blocks"] if block["type"] == "panel-grid"]
    runsets = [dry["workspace"]["spec"]["section"]["runSets"], *(grid["runSets"] for grid in grids)]
    for [runs] in runsets:
        [only] = runs["filters"]["filters"]
        assert (only["key"], only["op"], only["value"]) == ({"section": "config", "name": "dataset"}, "=", "digits")
    [order] = runsets[0][0]["sort"]["keys"]
    assert (order["key"]["name"], order["ascending"]) == ("best/fd/digits-cnn", True)


@pytest.mark.parametrize(
    ("data", "features"),
    [("digits", "digits-cnn"), ("fashion_mnist", "fashion-cnn"), ("image_folder", "pixels8"), ("ring", "points")],
)
def test_the_features_are_those_of_the_data(data: str, features: str) -> None:
    assert features_of(data) == features


def test_scores_in_inceptions_features_have_the_names_of_papers() -> None:
    keys = Keys("inception-v3-compat")
    assert (keys.score, keys.best, keys.recall) == ("fid", "best/fid", "recall")


# What it refuses


def test_data_of_ones_own_need_the_name_of_their_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dashboard.json"
    assert main([*PLACE, "--data", "faces", "--dry-run", str(file)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --data faces: ")
    assert "digits, fashion_mnist" in said
    assert not file.exists()
    assert main([*PLACE, "--data", "faces", "--features", "mine", "--dry-run", str(file)]) == 0
    text = file.read_text()
    assert "best/fd/mine" in text
    assert "digits" not in text


def test_without_the_package_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(zoo.dashboard, "views", raising=False)
    monkeypatch.delitem(sys.modules, "zoo.dashboard.views", raising=False)
    for name in [name for name in sys.modules if name.startswith("wandb_workspaces")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert main(PLACE) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install 'gan-zoo[dashboard]'")


def test_a_server_that_refuses_or_no_credentials_cost_one_line(monkeypatch, capsys) -> None:
    def refuse(view: wr.Report) -> None:
        raise PermissionError("\n401: user is not logged in\nRequest id")

    monkeypatch.setattr(wr.Report, "save", refuse)
    for logged_in, begin, end in (
        (False, "error: W&B has no credentials here", "--dry-run FILE needs none"),
        (True, "error: https://", " did not take the report for local/gan-zoo: 401: user is not logged in"),
    ):
        monkeypatch.setattr("wandb.login", lambda logged_in=logged_in, **options: logged_in)
        assert main(PLACE) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(begin)
        assert line.endswith(end)


def test_what_is_saved_is_what_was_shown(
    dry: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved: list[tuple[str, dict[str, Any]]] = []
    for kind, found in (("report", wr.Report), ("workspace", ws.Workspace)):
        monkeypatch.setattr(found, "save", lambda view, kind=kind: saved.append((kind, spec_of(view))))
        monkeypatch.setattr(found, "url", f"https://wandb/{kind}")
    monkeypatch.setattr("wandb.login", lambda **options: True)
    assert main(PLACE) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [f"{k}: https://wandb/{k}" for k in ("report", "workspace")]
    assert [kind for kind, _ in saved] == ["report", "workspace"]
    for kind, spec in saved:
        assert without_ids(spec) == without_ids(dry[kind]["spec"])


def without_ids(tree: Any) -> Any:
    """The same but for names that are drawn anew every time."""
    if isinstance(tree, list):
        return [without_ids(part) for part in tree]
    if isinstance(tree, dict):
        return {key: without_ids(value) for key, value in tree.items() if key not in {"id", "__id__"}}
    return tree
