"""A benchmark's file, its random search, and the runs that it plans; nothing is trained here."""

import math
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from scipy.stats import kstest

from tests.games import networks
from zoo.__main__ import main as zoo_main
from zoo.benchmark.file import Range, Search, read
from zoo.benchmark.flops import flops_per_image
from zoo.benchmark.plan import PlannedRun, as_options, leaves, plan
from zoo.benchmark.resolve import resolve
from zoo.cli.main import ROOT
from zoo.dynamics import Alternating
from zoo.variants import NSGAN

TINY = {"configs": ["nsgan"], "data": "digits", "seeds": [0], "budget": {"kimg": 1}}
RATE = {"model.g_optimizer.lr": {"log_uniform": ["1e-5", 1e-2]}}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in {**TINY, **changes}.items() if v is not None}))
    return path


def searched(draws: int = 2, **ranges: object) -> dict:
    return {"draws": draws, "ranges": {"nsgan": ranges or RATE}}


def of_command(run: PlannedRun) -> dict:
    """The configuration of the command line, as `PlannedRun.config`."""
    config = leaves(resolve(run.command[4:]).config)
    del config["trainer.default_root_dir"]
    return config


MISTAKES = [
    ({"confgis": []}, ["'confgis'", "did you mean 'configs'"]),
    ({"configs": ["nsgam"]}, ["configs", "'nsgam'", "did you mean 'nsgan'"]),
    ({"configs": "nsgan"}, ["configs", "list"]),
    ({"configs": [{"config": "nsgan", "overides": {}}]}, ["'overides'", "did you mean 'overrides'"]),
    ({"configs": ["nsgan", "nsgan"]}, ["nsgan is there twice", "name"]),
    ({"configs": [{"config": "nsgan", "name": "../out"}]}, ["'../out'", "folder"]),
    ({"data": "digit"}, ["data", "'digit'", "did you mean 'digits'"]),
    ({"seeds": None}, ["seeds is missing"]),
    ({"seeds": [0, 1, 0]}, ["seeds: 0 is there twice"]),
    ({"seeds": ["a"]}, ["seeds", "'a'"]),
    ({"budget": None}, ["budget is missing"]),
    ({"budget": {"kimg": 1, "minutes": 2}}, ["one of kimg, minutes, flops", "got kimg, minutes"]),
    ({"budget": {"kimgs": 1}}, ["'kimgs'", "did you mean 'kimg'"]),
    ({"budget": {"kimg": 0}}, ["positive", "0"]),
    ({"budget": 60}, ["budget: ", "kimg", "60"]),
    ({"overrides": {"budget.kimg": 3}}, ["budget.kimg", "comes from budget"]),
    ({"overrides": {"seed_everything": 3}}, ["seed_everything", "comes from seeds"]),
    ({"overrides": {"trainer.max_steps": 3}}, ["trainer.max_steps", "comes from budget"]),
    ({"search": {**searched(), "draws": 0}}, ["search.draws", "0"]),
    ({"search": {"draws": 1, "ranges": {"wgan": RATE}}}, ["'wgan'", "nsgan"]),
    ({"search": {"draws": 1}}, ["search.ranges is missing"]),
    ({"search": {"draws": 1, "ranges": {"nsgan": {}}}}, ["none for nsgan"]),
    ({"search": searched(a={"loguniform": [1, 2]})}, ["'loguniform'", "did you mean 'log_uniform'"]),
    ({"search": searched(a={"log_uniform": [0, 1]})}, ["search.ranges.nsgan.a: log_uniform", "positive"]),
    ({"search": searched(a={"uniform": [2, 1]})}, ["low must be below high", "[2.0, 1.0]"]),
    ({"search": searched(a={"uniform": ["x", 1]})}, ["search.ranges.nsgan.a.uniform", "'x'"]),
    ({"search": searched(a={"choice": []})}, ["list of values"]),
    ({"search": searched(a={"same_as": "b"})}, ["no range for b"]),
    ({"search": searched(), "budget": {"flops": 1e15}}, ["budget", "kimg or minutes"]),
    ({"search": searched(seed_everything={"choice": [1, 2]})}, ["seed_everything", "comes from seeds"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), MISTAKES, ids=lambda v: str(v)[:40])
def test_a_mistake_is_one_line_that_names_the_file(changes, words, tmp_path) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(ValueError, match="tiny") as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert all(word in message for word in words), message


UNBUILDABLE = [
    ({"overrides": {"model.generator.widht": 3}}, ["'widht'", "did you mean 'width'"]),
    ({"configs": [{"config": "nsgan", "name": "mine", "overrides": {"model.ema_decay": 2}}]}, ["mine: ", "ema_decay"]),
    ({"overrides": {"trainer.devices": 2, "trainer.accelerator": "cpu"}}, ["trainer.devices", "one device"]),
    ({"search": searched(**{"model.ema_decay": {"uniform": [0.5, 1.0]}})}, ["ema_decay", "[0, 1)"]),
]


@pytest.mark.parametrize(("changes", "words"), UNBUILDABLE, ids=lambda v: str(v)[:40])
def test_what_train_would_refuse_is_refused_before_anything_runs(changes, words, tmp_path, capsys) -> None:
    path = written(tmp_path, **changes)
    assert zoo_main(["benchmark", str(path), "-o", str(tmp_path / "out")]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"error: {path}: ")
    assert all(word in last for word in words), last
    assert not (tmp_path / "out").exists()


def test_the_plan_is_variants_times_seeds_with_one_budget(tmp_path: Path, capsys, monkeypatch) -> None:
    wide = {"config": "nsgan", "name": "wide", "overrides": {"model.generator.width": 8}}
    path = written(
        tmp_path, configs=["nsgan", wide], seeds=[0, 3], budget={"minutes": 90.5},
        overrides={"model.generator.width": 4, "trainer.accelerator": "cpu"},
    )  # fmt: skip
    runs, data = plan(read(path), tmp_path / "out")
    assert [run.name for run in runs] == ["nsgan seed 0", "wide seed 0", "nsgan seed 3", "wide seed 3"]
    assert [run.folder for run in runs[:2]] == [tmp_path / f"out/{v}-digits/seed-0" for v in ("nsgan", "wide")]
    assert [run.config["model.generator.width"] for run in runs] == [4, 8, 4, 8]
    for run in runs:
        assert {"--budget.kimg=null", "--trainer.max_time=00:01:30:30", f"--seed_everything={run.seed}"} < {
            *run.command
        }
    assert of_command(runs[3]) == runs[3].config
    monkeypatch.setattr("zoo.benchmark.plan.plan", lambda *_: (runs, data))
    assert zoo_main(["benchmark", str(path), "-o", str(tmp_path / "out"), "--dry-run"]) == 0
    assert [shlex.split(line) for line in capsys.readouterr().out.splitlines()] == [run.command for run in runs]
    assert not (tmp_path / "out").exists()


def test_a_search_plans_each_draw_as_the_command_line_would_take_it(tmp_path: Path) -> None:
    ranges = {**RATE, "model.discriminator.init_args.norm": {"choice": ["none", "layer"]}}
    runs, _ = plan(read(written(tmp_path, search=searched(3, **ranges))), tmp_path / "out")
    assert [run.folder.relative_to(tmp_path) for run in runs] == [
        Path(f"out/nsgan-digits/draw-00{draw}/seed-0") for draw in range(3)
    ]
    assert len({run.values["model.g_optimizer.lr"] for run in runs}) == 3
    assert of_command(runs[2]) == runs[2].config


def test_a_search_may_draw_classes(tmp_path: Path) -> None:
    ranges = {**RATE, "model.d_optimizer": {"choice": ["torch.optim.SGD", "zoo.optim.Adam"]}}
    for run in plan(read(written(tmp_path, search=searched(2, **ranges))), tmp_path)[0]:
        config = of_command(run)
        assert config["model.d_optimizer.class_path"] == run.values["model.d_optimizer"]
        assert run.config.items() <= config.items(), "a run of its own is not taken for another"
        assert run.config["model.g_optimizer.lr"] == run.values["model.g_optimizer.lr"]


def test_draws_are_functions_of_their_number_and_their_option() -> None:
    ranges = {
        "a": Range(log_uniform=(1e-5, 1e-2)),
        "b": Range(same_as="a"),
        "c": Range(uniform=(-1, 3)),
        "d": Range(choice=[1, 5, "x"]),
    }
    search = Search(2, {"v": ranges}, seed=7)
    other = Search(9, {"v": {**ranges, "c": Range(choice=[0])}}, seed=7)
    draws = [search.draw("v", i) for i in range(3000)]
    assert draws[:20] == [search.draw("v", i) for i in range(20)]
    assert all({**other.draw("v", i), "c": 0} == {**draws[i], "c": 0} for i in range(20))
    assert Search(2, {"v": ranges}, seed=8).draw("v", 0) != draws[0]
    assert all(draw["b"] == draw["a"] and 1e-5 <= draw["a"] <= 1e-2 and -1 <= draw["c"] <= 3 for draw in draws)
    decades = [(math.log10(draw["a"]) + 5) / 3 for draw in draws]
    assert kstest(decades, "uniform").pvalue > 0.01
    assert kstest([(draw["c"] + 1) / 4 for draw in draws], "uniform").pvalue > 0.01
    assert all(900 < sum(draw["d"] == value for draw in draws) < 1100 for value in (1, 5, "x"))
    assert abs(sum(x * (draw["c"] - 1) for x, draw in zip(decades, draws, strict=True))) / 3000 < 0.03  # independent


def test_the_draws_of_the_shipped_search_stay_what_they_were() -> None:
    draw = read("lucic").search.draw("wgan_gp", 41)
    assert list(draw.values()) == pytest.approx([
        0.009131496149215126, 0.009131496149215126, 0.559180449900059, 0.559180449900059, 5, "none",
        0.14767663584798038,
    ])  # fmt: skip


def test_extremes_hold_every_end_and_every_choice() -> None:
    ranges = {"a": Range(uniform=(0, 1)), "b": Range(same_as="a"), "c": Range(choice=[1, 2, 3])}
    extremes = Search(1, {"v": ranges}).extremes("v")
    assert [tuple(draw.values()) for draw in extremes] == [(0, 0, 1), (1, 1, 2), (0, 0, 3)]


@pytest.mark.parametrize("d_steps", [1, 3])
def test_flops_of_an_image_are_those_counted_by_hand(d_steps: int) -> None:
    generator, discriminator = networks()
    gan = NSGAN(generator, discriminator, dynamics=Alternating(d_steps=d_steps))
    data = SimpleNamespace(image_shape=(2,), batch_size=4, num_classes=None)
    g, d = [6 * 5, 5 * 5, 5 * 2], [2 * 7, 7 * 7, 7 * 1]  # multiply-adds of each layer
    # D: sample; score real and fake; gradients of all weights, and of all inputs but the first layer's.
    d_move = sum(g) + 2 * sum(d) + 2 * sum(d) + 2 * sum(d[1:])
    # G: sample and score; back through all of D to its input, then into G.
    g_move = sum(g) + sum(d) + sum(d) + sum(g) + sum(g[1:])
    assert flops_per_image(gan, data) == pytest.approx(2 * (d_move + g_move / d_steps))


def test_a_budget_of_flops_becomes_each_variants_kimg(tmp_path: Path) -> None:
    slower = {"config": "nsgan", "name": "slower", "overrides": {"model.dynamics.g_steps": 3}}
    small = {"model.generator.width": 4, "model.discriminator.width": 4, "data.image_size": 8}
    path = written(tmp_path, configs=["nsgan", slower], budget={"flops": "1e10"}, overrides=small)
    runs, _ = plan(read(path), tmp_path)
    kimg = {run.variant: run.config["budget.kimg"] for run in runs}
    assert kimg["slower"] < 0.7 * kimg["nsgan"]
    assert all(f"--budget.kimg={kimg[run.variant]}" in run.command for run in runs)
    gan = resolve(runs[0].command[4:])
    assert 1000 * kimg["nsgan"] * flops_per_image(gan.gan, gan.data) == pytest.approx(1e10, rel=1e-3)


SHIPPED = [path for path in sorted(ROOT.glob("configs/*/*.yaml")) if path.parent.name in ("benchmarks", "sweeps")]
BENCHMARKS = [path for path in SHIPPED if "configs" in yaml.safe_load(path.read_text())]


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda p: p.stem)
def test_a_shipped_benchmark_can_be_read(path: Path) -> None:
    benchmark = read(path)
    assert benchmark.name == path.stem
    assert len(benchmark.configs) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda p: p.stem)
def test_a_shipped_benchmark_can_be_planned(path: Path, tmp_path: Path) -> None:
    benchmark = read(path)
    draws = benchmark.search.draws if benchmark.search else 1
    assert len(plan(benchmark, tmp_path)[0]) == len(benchmark.configs) * len(benchmark.seeds) * draws


def test_a_sweep_of_wandb_gives_words_that_train_takes(monkeypatch) -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    monkeypatch.chdir(ROOT)
    sweep = yaml.safe_load((ROOT / "configs/sweeps/wandb.yaml").read_text())
    drawn = {name: {"value": p.get("min", p.get("values", [0])[0])} for name, p in sweep["parameters"].items()}
    args = create_sweep_command_args({"args": drawn})["args"]
    words = [w for word in create_sweep_command(sweep["command"]) for w in (args if word == "${args}" else [word])]
    config = resolve(words[words.index("fit") + 1 :]).config["model"]["init_args"]
    assert sweep["program"] == "train.py"
    assert config["g_optimizer"]["init_args"]["lr"] == config["d_optimizer"]["init_args"]["lr"] == 1e-5
    assert (config["gp_weight"], config["dynamics"]["init_args"]["d_steps"]) == (0.1, 1)


def test_values_become_words_that_the_parser_reads_back() -> None:
    values = {"a": 1e-5, "b": None, "c": [1, 2], "d": True, "e": "zoo.X", "f": {"k": 1}}
    assert as_options(values) == ["--a=1e-05", "--b=null", "--c=[1, 2]", "--d=true", "--e=zoo.X", '--f={"k": 1}']
