"""A benchmark's file, its random search, and the runs that it plans; nothing is trained here."""

import argparse
import contextlib
import json
import math
import os
import pickle
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from scipy.stats import kstest

from tests.games import networks
from zoo.__main__ import main as zoo_main
from zoo.benchmark.engines import Slurm, Task, cluster, slurm_script
from zoo.benchmark.file import Range, Search, read
from zoo.benchmark.flops import flops_per_image
from zoo.benchmark.plan import PlannedRun, as_options, leaves, plan
from zoo.benchmark.report import best_draws, outcome, reason, table
from zoo.benchmark.resolve import resolve
from zoo.benchmark.run import Runner, environments, locked
from zoo.cli.main import ROOT
from zoo.commands import benchmark as benchmark_command
from zoo.dynamics import Alternating
from zoo.run import files
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
    ({"budget": {"kimg": 1, "minutes": 2}}, ["one of kimg, minutes, steps, flops", "got kimg, minutes"]),
    ({"budget": {"kimgs": 1}}, ["'kimgs'", "did you mean 'kimg'"]),
    ({"budget": {"kimg": 0}}, ["positive", "0"]),
    ({"budget": {"kimg": "nan"}}, ["budget.kimg", "float", "'nan'"]),
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
    ({"search": searched(a={"uniform": 3})}, ["search.ranges", "uniform"]),
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
    monkeypatch.chdir(tmp_path)
    (batches,), _ = plan(read(written(tmp_path, configs=["nsgan"], seeds=[0], budget={"steps": 70})), tmp_path / "out")
    assert batches.command[3:8] == ["train", "-c", "configs/nsgan.yaml", "-c", "configs/data/digits.yaml"]
    assert (batches.config["budget.kimg"], batches.config["trainer.max_steps"]) == (None, 70)
    monkeypatch.setattr("zoo.benchmark.plan.plan", lambda *_: (runs, data))
    assert zoo_main(["benchmark", str(path), "-o", str(tmp_path / "out"), "--dry-run"]) == 0
    assert [shlex.split(line) for line in capsys.readouterr().out.splitlines()] == [run.command for run in runs]
    assert not (tmp_path / "out").exists()


def test_a_search_plans_each_draw_as_the_command_line_would_take_it(tmp_path: Path) -> None:
    """A draw may name a class, whose arguments only the command line knows."""
    ranges = {**RATE, "model.d_optimizer": {"choice": ["torch.optim.SGD", "zoo.optim.Adam"]}}
    runs, _ = plan(read(written(tmp_path, search=searched(3, **ranges))), tmp_path / "out")
    assert [run.folder.relative_to(tmp_path) for run in runs] == [
        Path(f"out/nsgan-digits/draw-00{draw}/seed-0") for draw in range(3)
    ]
    assert len({run.values["model.g_optimizer.lr"] for run in runs}) == 3
    run = next(run for run in runs if run.values["model.d_optimizer"] == "torch.optim.SGD")
    config = of_command(run)
    assert config["model.d_optimizer.class_path"] == "torch.optim.SGD"
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


# Running a plan: so many at a time, failed runs again, finished ones never again, and nothing lost on the way.


# A run without torch: argv is its parent folder, what to do, for how many seconds, and perhaps --ckpt_path.
SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
parent, what, seconds, *resumed = sys.argv[1:]
began = time.time()
run = Path(resumed[0].partition("=")[2]).parent if resumed else Path(parent, f"run-{time.time_ns()}")
run.mkdir(exist_ok=True)
def leave(status, error=None, kimg=5.0):
    result = {"kimg": kimg, "seconds": 90.0, "score": {"name": "fd/x", "last": 3.0, "best": 2.0}}
    told = {"variant": "v", "dataset": "d", "status": status, "error": error, "result": result}
    (run / "run.json").write_text(json.dumps(told))
def save(*_):
    (run / "last.ckpt").touch()
    leave("interrupted", kimg=1.0)
    sys.exit(143)
leave("running")
signal.signal(signal.SIGTERM, save)
if what == "patient" and not resumed:
    time.sleep(60)
time.sleep(float(seconds))
if what == "dies":
    leave("failed", "RuntimeError: no luck")
    sys.exit("no luck")
if what == "dies once" and not resumed:
    (run / "last.ckpt").touch()
    os.kill(os.getpid(), signal.SIGKILL)
(run / "last.ckpt").touch()
leave("finished")
with open(Path(parent, "..", "times"), "a") as file:
    file.write(f"{began} {time.time()}\\n")
sys.exit(1 if what == "stumbles at the end" else 0)
"""


def run(folder: Path, name: str, what: str = "goes well", seconds: float = 0.0, **facts) -> PlannedRun:
    command = [sys.executable, "-S", "-c", SCRIPT, str(folder / name), what, str(seconds)]
    return PlannedRun(name, 0, facts.get("draw"), facts.get("values", {}), folder / name, command, {})


def play(
    folder: Path, runs: list[PlannedRun], *, jobs: int = 2, restarts: int = 2
) -> tuple[bool, list[tuple[str, str]]]:
    heard: list[tuple[str, str]] = []
    with locked(folder) as lock:
        runner = Runner(
            [dict(os.environ)] * jobs, restarts, lock, lambda run, state, _: heard.append((run.variant, state))
        )
        return runner.run(runs), heard


def begun(run: PlannedRun) -> int:
    return run.log.read_text().count("$ ")


def test_as_many_at_a_time_as_there_are_jobs_and_never_more(tmp_path: Path) -> None:
    runs = [run(tmp_path, f"v{i}", seconds=0.3) for i in range(5)]
    whole, heard = play(tmp_path, runs, jobs=2)
    times = [tuple(map(float, line.split())) for line in (tmp_path / "times").read_text().splitlines()]
    at_once = [sum(a <= began < b for a, b in times) for began, _ in times]
    assert whole
    assert sorted(heard) == [(f"v{i}", "finished") for i in range(5)]
    assert max(at_once) == 2


def test_what_fails_is_begun_again_and_reported_while_others_finish(tmp_path: Path) -> None:
    runs = [run(tmp_path, "bad", "dies"), run(tmp_path, "good"), run(tmp_path, "odd", "stumbles at the end")]
    whole, heard = play(tmp_path, runs, restarts=2)
    assert whole
    assert [state for name, state in heard if name == "bad"] == ["restarted", "restarted", "failed"]
    assert {("good", "finished"), ("odd", "finished")} < {*heard}
    assert begun(runs[0]) == 3
    assert len(runs[0].tries()) == 1, "what left no checkpoint is taken away before the next try"
    assert reason(runs[0]) == "RuntimeError: no luck"
    assert table(runs).splitlines()[1].split() == ["bad", "0/1", "-", "-", "-", "-"]
    _, heard = play(tmp_path, runs, restarts=0)
    assert heard == [("bad", "failed")], "only what is unfinished"
    assert [begun(each) for each in runs] == [4, 1, 1]


def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    one = run(tmp_path, "one", "dies once")
    _, heard = play(tmp_path, [one])
    assert heard == [("one", "restarted"), ("one", "finished")]
    assert "--ckpt_path=" in one.log.read_text().splitlines()[-1]
    assert len(one.tries()) == 1


def test_a_run_goes_on_from_the_one_before_a_damaged_checkpoint(tmp_path: Path) -> None:
    one = run(tmp_path, "one", "dies once")
    play(tmp_path, [one], restarts=0)
    (folder,) = one.tries()
    assert one.checkpoint() == folder / "last.ckpt"  # of no bytes; but there is no other
    files.write({}, folder / "previous.ckpt")
    assert one.checkpoint() == folder / "previous.ckpt"
    files.write({}, folder / "last.ckpt")
    assert one.checkpoint() == folder / "last.ckpt"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_runs_save_and_a_second_call_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    runs = [run(tmp_path, "a", "patient"), run(tmp_path, "b", "patient"), run(tmp_path, "c")]

    def stop() -> None:
        while not all(each.tries() for each in runs[:2]):
            time.sleep(0.02)
        time.sleep(0.2)  # for the script to listen
        os.kill(os.getpid(), number)

    threading.Thread(target=stop).start()
    before = signal.getsignal(number)
    whole, heard = play(tmp_path, runs, jobs=2)
    assert not whole
    assert sorted(heard) == [("a", "stopped"), ("b", "stopped")]
    assert reason(runs[0]) == "saved at 1 kimg"
    assert signal.getsignal(number) is before
    whole, heard = play(tmp_path, runs, jobs=2)
    assert whole
    assert sorted(heard) == [("a", "finished"), ("b", "finished"), ("c", "finished")]
    assert [len(each.tries()) for each in runs] == [1, 1, 1]


def test_a_folder_is_one_benchmarks_and_that_of_runs_which_outlive_it(tmp_path: Path) -> None:
    with locked(tmp_path) as lock:
        orphan = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=-1, pass_fds=(lock.fileno(),))
        with pytest.raises(ValueError, match="another benchmark"), locked(tmp_path):
            pass
    with pytest.raises(ValueError, match="outlived"), locked(tmp_path):
        pass
    orphan.communicate(b"\n")
    with locked(tmp_path):
        pass


def test_a_run_has_its_share_of_the_resources(monkeypatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("zoo.benchmark.run._gpus", lambda: ["4", "7"])
    for accelerator, jobs, expected in [
        ("auto", None, [("4", "4"), ("7", "4")]),
        ("auto", 3, [("4", "2"), ("7", "2"), ("4", "2")]),
        ("cpu", 2, [(None, "4"), (None, "4")]),
        ("cpu", None, [(None, "1")] * 6),
    ]:
        config = {"trainer.accelerator": accelerator}
        planned = [PlannedRun(f"v{i}", 0, None, {}, Path(), [], config) for i in range(6)]
        given = environments(planned, jobs)
        assert [(each.get("CUDA_VISIBLE_DEVICES"), each["OMP_NUM_THREADS"]) for each in given] == expected
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environments(planned, 2)[0]["OMP_NUM_THREADS"] == "3"


def test_the_table_takes_seeds_together_and_a_search_names_its_best_draw(tmp_path: Path) -> None:
    def done(variant: str, seed: int, draw: int, best: object, last: object, status: str = "finished") -> PlannedRun:
        planned = PlannedRun(variant, seed, draw, {"lr": draw / 8}, tmp_path / f"{variant}{draw}{seed}", [], {})
        score = {"name": "fd/x", "best": best, "last": last}
        result = {"kimg": 5.0, "seconds": 90.0, "score": score}
        record = {"variant": variant, "dataset": "d", "status": status, "error": None, "result": result}
        (planned.folder / "run").mkdir(parents=True)
        (planned.folder / "run/run.json").write_text(json.dumps(record))
        return planned

    runs = [
        done("a", 0, 0, 2.0, 4.0), done("a", 1, 0, 6.0, 8.0), done("a", 0, 1, 3.0, 3.0), done("a", 1, 1, 3.0, "nan"),
        done("a", 0, 2, 1.0, 1.0), done("a", 1, 2, 0.1, 0.1, "running"), done("b", 0, 0, None, "nan"),
    ]  # fmt: skip
    rows = [line.split("  ") for line in table(runs).splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[1] == ["a", "5/6", "3 ± 1.9", "nan", "5", "1.5 min"]  # 2, 6, 3, 3, 1
    assert cells[2] == ["b", "1/1", "nan", "nan", "5", "1.5 min"]
    assert best_draws(runs).splitlines() == [
        "a: best of 2 draws is 1, 3: lr 0.125",
        "b: no draw has a score of every seed",
    ]
    assert outcome(runs[0]) == "fd/x 4, best 2, 5 kimg in 1.5 min"


class Killing(Runner):
    """Kills one variant's first try as soon as it has saved itself."""

    def _start(self, run: PlannedRun, slot: int) -> subprocess.Popen[bytes]:
        process = super()._start(run, slot)
        if run.variant == "cut" and run.checkpoint() is None:

            def kill() -> None:
                while run.checkpoint() is None and process.poll() is None:
                    time.sleep(0.01)
                process.kill()

            threading.Thread(target=kill).start()
        return process


@pytest.mark.parametrize("killed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_benchmark_of_real_runs_survives_a_kill_to_the_bit(killed: bool, tmp_path: Path, capsys, monkeypatch) -> None:
    """In the fast half there is one run, which nobody kills."""
    saving = [{"class_path": "zoo.callbacks.Checkpoints", "init_args": {"every_kimg": 0.5}}]
    benchmark = {
        "configs": [{"config": "nsgan", "name": name} for name in ["whole"] + ["cut"] * killed],
        "data": "digits", "seeds": [0], "budget": {"kimg": 4 if killed else 0.2},
        "overrides": {
            "model.generator.width": 4, "model.discriminator.width": 4, "data.image_size": 8, "trainer.logger": False,
            "trainer.accelerator": "cpu", "trainer.callbacks": saving,
        },
    }  # fmt: skip
    path, out = tmp_path / "tiny.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(benchmark))
    command = ["benchmark", str(path), "-o", str(out), "--jobs", "2"]
    logs = [out / f"{each['name']}-digits/seed-0/run.log" for each in benchmark["configs"]]
    with monkeypatch.context() as patch:
        patch.setattr("zoo.benchmark.run.Runner", Killing)
        assert zoo_main(command) == 0
    said = capsys.readouterr().out
    assert ("cut seed 0: restarted" in said) == killed
    assert f"[{len(logs)}/{len(logs)}]" in said
    assert said.splitlines()[-1] == f"Compare: python -m zoo compare {out} -o {out}/compare.html"
    begun = [log.read_text().count("$ ") for log in logs]
    assert begun == [1, 2][: len(logs)]
    checkpoints = [checkpoint for log in logs for checkpoint in log.parent.glob("*/last.ckpt")]
    whole, *others = [torch.load(checkpoint, weights_only=True)["state_dict"] for checkpoint in checkpoints]
    assert len(others) == killed
    assert all(torch.equal(cut[name], whole[name]) for cut in others for name in whole)

    assert zoo_main(command) == 0
    assert [log.read_text().count("$ ") for log in logs] == begun, "a second call runs nothing again"
    path.write_text(yaml.safe_dump({**benchmark, "budget": {"kimg": 7}}))
    with pytest.raises(ValueError, match=r"whole-digits.* was run with budget\.kimg .*, .* 7\.0: choose another --out"):
        plan(read(path), out)


# Clusters. The real ones are in tests/cluster.


def test_a_task_is_a_run_that_continues_and_raises_unless_it_finishes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    good, bad = run(tmp_path, "good", "dies once"), run(tmp_path, "bad", "dies")
    task = pickle.loads(pickle.dumps(Task(good, threads=3)))
    with pytest.raises(RuntimeError, match="good seed 0: "):
        task()
    task()
    task()
    assert begun(good) == 2
    assert "--ckpt_path=" in good.log.read_text()
    with pytest.raises(RuntimeError, match="no luck"):
        Task(bad, threads=1)()


def test_a_task_saves_its_run_before_it_is_requeued(tmp_path: Path) -> None:
    patient = run(tmp_path, "patient", "patient")
    task = Task(patient, threads=1)
    requeued = []

    def save(*_: object) -> None:
        requeued.append(task.checkpoint())

    monkey = signal.signal(signal.SIGUSR2, save)
    try:
        threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGUSR2)).start()
        with pytest.raises(RuntimeError, match="saved at 1 kimg"):
            task()
    finally:
        signal.signal(signal.SIGUSR2, monkey)
    pickle.loads(pickle.dumps(requeued[0].function))()
    assert patient.result() is not None


def test_slurm_waits_for_what_is_queued_and_submits_the_rest_again(tmp_path: Path, monkeypatch) -> None:
    """Jobs of this cluster run as they are submitted, and leave the queue with the next look at it."""
    runs = [run(tmp_path, "good"), run(tmp_path, "bad", "dies"), run(tmp_path, "once", "dies once"), run(tmp_path, "q")]
    runs[3].folder.mkdir()
    (runs[3].folder / "job").write_text("5_2")
    queue, submitted, heard = ["5_2", "6"], [], []

    def look() -> set[str]:
        if submitted and "5_2" in queue:
            queue.remove("5_2")
            Task(runs[3], 1)()
        return set(queue)

    def submit(self: Slurm, again: list[PlannedRun]) -> dict[Path, str]:
        submitted.append([each.variant for each in again])
        for each in again:
            with contextlib.suppress(RuntimeError):
                Task(each, 1)()
        return {each.folder: f"9_{i}" for i, each in enumerate(again)}

    monkeypatch.setattr("zoo.benchmark.engines._queued", look)
    monkeypatch.setattr(Slurm, "_submit", submit)
    engine = Slurm(tmp_path, 1, lambda run, state, _: heard.append((run.variant, state)), poll=0)
    assert engine.run(runs)
    assert [names for names in submitted if names] == [["good", "bad", "once"], ["bad", "once"]]
    assert sorted(heard) == [
        ("bad", "failed"), ("bad", "restarted"), ("good", "finished"), ("once", "finished"), ("once", "restarted"),
        ("q", "finished"),
    ]  # fmt: skip


def test_the_written_script_has_a_task_for_each_run(tmp_path: Path) -> None:
    runs = [run(tmp_path / "with space", "a"), run(tmp_path / "with space", "b")]
    script = slurm_script(runs, tmp_path / "with space", chosen())
    (tmp_path / "job.sh").write_text(script)
    assert "#SBATCH --array=0-1\n" in script
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "1", "SLURM_CPUS_PER_TASK": "1"}
    subprocess.run(["bash", str(tmp_path / "job.sh")], env=environment, check=True)
    assert [each.result() is None for each in runs] == [True, False]
    assert (
        slurm_script(runs, tmp_path, chosen()).count(f"--ckpt_path={runs[1].checkpoint()}") == 1
    )  # a run that has begun goes on


def test_the_written_script_has_the_options_of_slurm(tmp_path: Path) -> None:
    words = [
        "--engine.partition=long", "--engine.account=lab", "--engine.qos=low", "--engine.gpus=2", "--engine.cpus=3",
        "--engine.minutes=90", "--engine.parallel=4", "--engine.option=mem=8G", "--engine.option=output=log-%a",
    ]  # fmt: skip
    lines = slurm_script([run(tmp_path, "a")], tmp_path, chosen(*words)).splitlines()
    flags = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
    assert sorted(flags) == [
        "account=lab", "array=0-0%4", "cpus-per-task=3", "gpus-per-node=2", f"job-name={tmp_path.name}", "mem=8G",
        "output=log-%a", "partition=long", "qos=low", "requeue", "signal=B:USR1@120", "time=90",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"--engine\.address is an option of --engine ray, not of slurm"):
        slurm_script([], tmp_path, chosen("--engine.address=x"))
    with pytest.raises(ValueError, match="for SLURM, not for --engine ray"):
        slurm_script([], tmp_path, chosen("--engine=ray"))


def chosen(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    benchmark_command.arguments(parser)
    return parser.parse_args(["digits", *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["slurm", "--jobs", "2"], "--jobs is an option of --engine local"),
        (["slurm", "--engine.address", "x"], "--engine.address is an option of --engine ray, not of slurm"),
        (["ray", "--engine.qos", "x"], "--engine.qos is an option of --engine slurm, not of ray"),
        (["local", "--engine.minutes", "5"], "--engine.minutes is an option of --engine slurm, not of local"),
        (["slurm"], "no sbatch"),
    ],
)
def test_an_engine_refuses_what_it_cannot_do(words, said, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=said):
        cluster(chosen("--engine", *words), tmp_path, lambda *_: None)
