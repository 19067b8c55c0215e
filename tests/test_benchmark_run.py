"""Running a plan: so many at a time, failed runs again, finished ones never again, and nothing lost on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import yaml

from zoo.__main__ import main as zoo_main
from zoo.benchmark.file import read
from zoo.benchmark.plan import PlannedRun, plan
from zoo.benchmark.report import best_draws, outcome, reason, table
from zoo.benchmark.run import Runner, environments, locked
from zoo.run import files

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


def test_a_benchmark_of_real_runs_survives_a_kill_to_the_bit(tmp_path: Path, capsys, monkeypatch) -> None:
    saving = [{"class_path": "zoo.callbacks.Checkpoints", "init_args": {"every_kimg": 0.5}}]
    benchmark = {
        "configs": [{"config": "nsgan", "name": "cut"}, {"config": "nsgan", "name": "whole"}],
        "data": "digits", "seeds": [0], "budget": {"kimg": 4},
        "overrides": {
            "model.generator.width": 4, "model.discriminator.width": 4, "data.image_size": 8, "trainer.logger": False,
            "trainer.accelerator": "cpu", "trainer.callbacks": saving,
        },
    }  # fmt: skip
    path, out = tmp_path / "tiny.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(benchmark))
    command = ["benchmark", str(path), "-o", str(out), "--jobs", "2"]
    logs = [out / f"{name}-digits/seed-0/run.log" for name in ("cut", "whole")]
    with monkeypatch.context() as patch:
        patch.setattr("zoo.benchmark.run.Runner", Killing)
        assert zoo_main(command) == 0
    said = capsys.readouterr().out
    assert "cut seed 0: restarted" in said
    assert "[2/2]" in said
    assert said.splitlines()[-1] == f"Compare: python -m zoo compare {out} -o {out}/compare.html"
    assert [log.read_text().count("$ ") for log in logs] == [2, 1]
    checkpoints = [checkpoint for log in logs for checkpoint in log.parent.glob("*/last.ckpt")]
    cut, whole = [torch.load(checkpoint, weights_only=True)["state_dict"] for checkpoint in checkpoints]
    assert all(torch.equal(cut[name], whole[name]) for name in whole)

    assert zoo_main(command) == 0
    assert [log.read_text().count("$ ") for log in logs] == [2, 1], "a second call runs nothing again"
    path.write_text(yaml.safe_dump({**benchmark, "configs": benchmark["configs"][:1], "budget": {"kimg": 7}}))
    with pytest.raises(ValueError, match=r"cut-digits.* was run with budget\.kimg 4\.0, .* 7\.0: choose another --out"):
        plan(read(path), out)
