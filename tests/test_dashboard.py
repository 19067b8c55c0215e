"""The dashboard shows what runs log; and everything that is sent to W&B, there and back, on a server in memory."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import zoo.dashboard
from tests.fakes.calls import Calls
from tests.fakes.wandb import KEY, FakeWandb
from zoo.__main__ import main
from zoo.dashboard.keys import Keys, features_of
from zoo.run.loggers import read_metrics

ROOT = Path(__file__).parent.parent
PLACE = ["dashboard", "--entity", "local", "--project", "gan-zoo"]
TWO_STEPS = ["--trainer.max_steps=2", "--trainer.log_every_n_steps=1"]  # every option with its value, as a sweep has it


def fit(variant: str, root: Path, *more: str) -> list[str]:
    """Words for a run of two steps, of both players, with all that configs/default.yaml has."""
    files = [f"--config={ROOT / 'configs' / name}.yaml" for name in (variant, "data/digits", "demo")]
    one_each = "--model.init_args.dynamics.init_args.d_steps=1"
    return ["fit", *files, *TWO_STEPS, one_each, f"--trainer.default_root_dir={root}", *more]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeWandb]:
    with FakeWandb(key=KEY) as made:
        yield made
    assert made.unknown == []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def calls(server: FakeWandb, home: Path) -> Iterator[Calls]:
    with Calls(server.environment(home)) as made:
        yield made


@pytest.fixture(scope="module")
def offline(calls: Calls, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two steps that W&B has not seen yet."""
    root = tmp_path_factory.mktemp("offline")
    calls("zoo.cli.main.main", fit("nsgan", root, "--seed_everything=1"), env={"WANDB_MODE": "offline"})
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


def test_without_credentials_there_is_a_way_out(calls: Calls, server: FakeWandb, tmp_path: Path) -> None:
    nobody = {"WANDB_API_KEY": None, "NETRC": str(tmp_path / "netrc"), "HOME": str(tmp_path)}
    for env in (nobody, {"WANDB_MODE": "offline"}):
        outcome = calls("zoo.__main__.main", PLACE, env=env)
        assert outcome.value == 2
        assert outcome.output.splitlines()[-1].startswith("error: W&B has no credentials here")
        assert outcome.output.endswith("--dry-run FILE needs none\n")
    assert server.views == {}


def test_a_key_that_does_not_work_costs_one_line(calls: Calls, server: FakeWandb) -> None:
    outcome = calls("zoo.__main__.main", PLACE, env={"WANDB_API_KEY": "bad" * 14})
    assert outcome.value == 2
    [line] = [line for line in outcome.output.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {server.url} did not take the report for local/gan-zoo: ")
    assert outcome.output.endswith(f"{line}\n")


# There and back


def command(server: FakeWandb, home: Path, *words: str) -> str:
    """What W&B's own command line says, of one who has logged in."""
    env = {**os.environ, **server.environment(home), "OMP_NUM_THREADS": "1"}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"  # an agent runs what is called python there
    del env["WANDB_API_KEY"]
    told = subprocess.run(
        [sys.executable, "-m", "wandb", *words], cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout
    return told.stdout


def read_runs(variant: str) -> list[dict[str, Any]]:
    """The runs of a variant, as W&B's client reads them back."""
    import wandb

    return [
        {
            "group": run.group,
            "state": run.state,
            "config": dict(run.config),
            "rows": list(run.scan_history()),
            "summary": {key: run.summary[key] for key in ("best/fd/digits-cnn", "fd/digits-cnn")},
            "files": [file.name for file in run.files()],
        }
        for run in wandb.Api().runs("local/gan-zoo", filters={"config.variant": variant})
    ]


def read_views(workspace: str, report: str) -> list[Any]:
    """The names of both, and of their sections."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    desk, text = ws.Workspace.from_url(workspace), wr.Report.from_url(report)
    headings = [block.text for block in text.blocks if isinstance(block, wr.H1)]
    return [desk.name, [section.name for section in desk.sections], text.title, headings]


@pytest.fixture(scope="module")
def login(server: FakeWandb, home: Path) -> None:
    command(server, home, "login", "--verify", KEY)
    assert (home / "netrc").is_file()


@pytest.fixture(scope="module")
def online(login: None, calls: Calls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of runs of two steps whose rows went to the server, by their variants."""
    folders = {}
    for variant in ("nsgan", "lsgan"):
        root = tmp_path_factory.mktemp(variant)
        calls("zoo.cli.main.main", fit(variant, root), env={"WANDB_API_KEY": None})
        [folders[variant]] = root.iterdir()
    return folders


@pytest.mark.slow
def test_two_variants_and_a_run_that_was_offline_are_read_back(
    server: FakeWandb, calls: Calls, home: Path, online: dict[str, Path], offline: Path
) -> None:
    [unsent] = offline.glob("wandb/offline-run-*")
    command(server, home, "sync", "--yes", str(unsent))
    keys = Keys("digits-cnn")
    for variant, folders in (("nsgan", {0: online["nsgan"], 1: offline}), ("lsgan", {0: online["lsgan"]})):
        runs = calls("tests.test_dashboard.read_runs", variant).value
        assert sorted(run["config"]["seed_everything"] for run in runs) == sorted(folders)
        for run in runs:
            ours = read_metrics(folders[run["config"]["seed_everything"]] / "metrics.jsonl")
            assert (run["group"], run["state"]) == (f"{variant}-digits", "finished")
            assert (run["config"]["variant"], run["config"]["dataset"]) == (variant, "digits")
            assert all(keys.kimg in row for row in run["rows"])
            for key in keys.metrics:
                theirs = [row[key] for row in run["rows"] if key in row and keys.samples not in row]
                assert theirs == [row[key] for row in ours if key in row], key
            assert run["summary"][keys.best] == min(row[keys.score] for row in ours if keys.score in row)
            pictures = [row[keys.samples]["path"] for row in run["rows"] if keys.samples in row]
            assert len(pictures) == 2
            assert set(pictures) <= set(run["files"])


@pytest.mark.slow
def test_the_dashboard_is_saved_as_it_was_shown_and_read_back(
    server: FakeWandb, calls: Calls, online: dict[str, Path], dry: dict[str, Any]
) -> None:
    outcome = calls("zoo.__main__.main", PLACE, env={"WANDB_API_KEY": None})
    assert outcome.value == 0, outcome.output
    said = dict(line.split(": ", 1) for line in outcome.output.splitlines() if line.startswith(("report: ", "works")))
    names = ["Quality", "Samples", "Stability", "Hyper-parameters"]
    read = calls("tests.test_dashboard.read_views", said["workspace"], said["report"]).value
    assert read == ["GAN zoo: digits", names, "GAN variants on digits", names]
    assert sorted(view["type"] for view in server.views.values()) == ["project-view", "runs"]
    for view in server.views.values():
        shown_before = dry["report" if view["type"] == "runs" else "workspace"]["spec"]
        assert without_ids(json.loads(view["spec"])) == without_ids(shown_before)


def without_ids(tree: Any) -> Any:
    """The same but for names that are drawn anew every time."""
    if isinstance(tree, list):
        return [without_ids(part) for part in tree]
    if isinstance(tree, dict):
        return {key: without_ids(value) for key, value in tree.items() if key not in {"id", "__id__"}}
    return tree


@pytest.mark.slow
def test_an_agent_trains_what_a_sweep_tells_it(server: FakeWandb, home: Path, login: None, tmp_path: Path) -> None:
    sweep = yaml.safe_load((ROOT / "configs/sweeps/wandb.yaml").read_text())
    sweep["command"][-1:] = [*TWO_STEPS, f"--trainer.default_root_dir={tmp_path / 'runs'}", sweep["command"][-1]]
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep))
    command(server, home, "sweep", "--entity", "local", str(file))
    [made] = server.sweeps.values()
    command(server, home, "agent", "--count", "1", f"local/{made.project}/{made.id}")
    [name] = made.runs
    run = server.runs[made.project, name]
    assert (run.project, run.sweep, run.group, run.state) == ("gan-zoo", made.id, "wgan_gp-digits", "finished")
    model = run.config["model"]["value"]["init_args"]
    assert model["g_optimizer"]["init_args"]["lr"] == model["d_optimizer"]["init_args"]["lr"] == 1e-5
    assert (model["gp_weight"], model["dynamics"]["init_args"]["d_steps"]) == (0.1, 1)
    assert run.config["seed_everything"]["value"] == 0
    assert sweep["metric"]["name"] in run.summary
