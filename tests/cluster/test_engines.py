"""Twelve runs of digits on this machine, on a real SLURM and on a real Ray; tasks are cancelled and machines die.

Skipped where SLURM (Debian's slurm-wlm, root, see `slurm.sh`), submitit or ray is missing. All on this machine.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes import typed
from zoo.cli.main import ROOT

pytestmark = pytest.mark.slow
BENCHMARK = """
name: twelve
configs: [wgan_gp, nsgan, lsgan]
data: digits
seeds: [0, 1, 2, 3]
budget: {kimg: 16}
overrides:
  data.image_size: 8
  model.generator.width: 4
  model.discriminator.width: 4
  trainer.logger: false
  checkpoints.every_kimg: 0.5
  quality.n: 200
  quality.full_n: 200
"""
OF_TIME = {"seconds", "images_per_second"}  # in `compare --json`


class Head:
    """The `zoo benchmark` process."""

    def __init__(self, folder: Path, *options: str, seeds: str = "[0, 1, 2, 3]", **environment: str) -> None:
        (folder / "twelve.yaml").write_text(BENCHMARK.replace("[0, 1, 2, 3]", seeds))
        self.out, self.log = folder / "out", folder / "head.log"
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        command = [sys.executable, "-m", "zoo", "benchmark", str(folder / "twelve.yaml"), "-o", str(self.out), *options]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment, cwd=ROOT)

    def done(self) -> None:
        """Wait; RuntimeError unless every run has finished."""
        if self.process.wait(1500):
            logs = [path.read_text()[-2000:] for path in [self.log, *self.out.glob("*/*/run.log")]]
            raise RuntimeError("\n".join(logs))

    def begun(self, run: str) -> int:
        """How often a run's command was started."""
        log = self.out / run / "run.log"
        return log.read_text().count("$ ") if log.is_file() else 0

    def training(self, run: str) -> bool:
        """Whether a run has saved itself and is not over."""
        records = [path for path in (self.out / run).glob("*/run.json") if path.with_name("last.ckpt").is_file()]
        return any(json.loads(path.read_text())["status"] == "running" for path in records)


def numbers(out: Path) -> Any:
    """`zoo compare --json`, without times, and with the runs' own folders in place of the folders of their tries."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(part) for key, part in value.items() if key not in OF_TIME}
        return [plain(part) for part in value] if isinstance(value, list) else value

    shown = typed(out, "-m", "zoo", "compare", out, "--json", "-o", out / "compare.html").stdout
    compared = plain(json.loads(shown))
    runs = [run for section in compared["sections"] for variant in section["variants"] for run in variant["runs"]]
    for run in runs:
        run["folder"] = str(Path(run["folder"]).parent.relative_to(out.resolve()))
    return compared


def wait(until: Callable[[], bool], seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Any:
    head = Head(tmp_path_factory.mktemp("local"), "--jobs", "2")
    head.done()
    compared = numbers(head.out)
    (section,) = compared["sections"]
    assert [len(variant["runs"]) for variant in section["variants"]] == [4, 4, 4]
    assert section["measures"][0]["variants"].keys() == {"wgan_gp", "nsgan", "lsgan"}
    return compared


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    pytest.importorskip("submitit")
    if os.geteuid() or not all(map(shutil.which, ("munged", "slurmctld", "slurmd"))):
        pytest.skip("needs root and Debian's slurm-wlm")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run(["bash", str(Path(__file__).with_name("slurm.sh")), str(folder)], check=True)
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    yield environment
    subprocess.run(["scancel", "--me", "--full", "--signal=KILL"], env={**os.environ, **environment})
    for name in ("slurmd", "slurmctld"):
        os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGKILL)


def test_slurm_finishes_what_is_cancelled_and_requeued_as_if_nothing_had_been(tmp_path, slurm, local):
    if not shutil.which("srun"):
        pytest.skip("submitit starts tasks by srun")
    options = ["--engine", "slurm", "--engine.minutes", "60"]
    head = Head(tmp_path, *options, **slurm)
    cancelled, requeued = "nsgan-digits/seed-0", "wgan_gp-digits/seed-0"
    commands, signallers = {cancelled: ["scancel"], requeued: ["scancel", "--signal=USR2"]}, {}
    while commands:
        wait(lambda: any(map(head.training, commands)))
        for run in [run for run in commands if head.training(run)]:
            command = [*commands.pop(run), (head.out / run / "job").read_text()]
            signallers[run] = subprocess.Popen(command, env=head.environment)
    wait(lambda: "SIGTERM: saving after this batch" in (head.out / requeued / "run.log").read_text())
    signallers[requeued].kill()  # it tries again and again where a job is quick to go
    wait(lambda: head.begun(requeued) == 2)
    head.process.kill()  # the cluster goes on; the same command waits for what is queued
    head.process.wait()
    again = Head(tmp_path, *options, **slurm)
    again.done()
    assert numbers(head.out) == local
    runs = sorted(path.parent for path in head.out.glob("*/*/run.log"))
    begun = {str(run.relative_to(head.out)): head.begun(str(run)) for run in runs}
    assert begun == {run: 1 + (run in {cancelled, requeued}) for run in begun}


def test_the_script_that_is_written_requeues_by_itself(tmp_path, slurm, local):
    script, environment = tmp_path / "job.sh", {**os.environ, **slurm}
    head = Head(tmp_path, "--write-slurm", str(script), "--engine.minutes", "60", seeds="[0]")
    assert head.process.wait(600) == 0
    job = subprocess.check_output(["sbatch", "--parsable", str(script)], text=True, env=environment).strip()
    signalled = "nsgan-digits/seed-0"
    wait(lambda: head.training(signalled))
    subprocess.run(["scancel", "--batch", "--signal=USR1", f"{job}_1"], env=environment)
    wait(lambda: not subprocess.check_output(["squeue", "-h", "-j", job], env=environment))
    assert "SIGUSR1: saving after this batch" in (head.out / signalled / "run.log").read_text()
    folders = [path.parent for path in head.out.glob("*/*/*/run.json")]
    assert len(folders) == 3  # the requeued run went on in its folder
    assert scores(numbers(head.out)) == {label: values[:1] for label, values in scores(local).items()}


def scores(compared: Any) -> dict[str, list[float]]:
    """The final scores of each variant, seed by seed."""
    variants = compared["sections"][0]["measures"][0]["variants"]
    return {label: measured["final"]["values"] for label, measured in variants.items()}


def test_ray_begins_the_runs_of_a_dead_node_again(tmp_path, local):
    pytest.importorskip("ray")
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    quick = {**os.environ, "RAY_worker_niceness": "0"}
    nodes = [subprocess.Popen([*ray, "--head", "--port=6399", "--include-dashboard=false"], env=quick)]
    own = lambda node: psutil.Process(nodes[node].pid).children(recursive=True)  # noqa: E731
    try:
        wait(lambda: any("raylet" in process.name() for process in own(0)))
        nodes += [subprocess.Popen([*ray, "--address=127.0.0.1:6399"], env=quick)]
        wait(lambda: any("raylet" in process.name() for process in own(1)))
        head = Head(tmp_path, "--engine", "ray", "--engine.address", "127.0.0.1:6399")

        def lost() -> str | None:
            """The run that the second node trains."""
            for process in own(1):
                with suppress(psutil.Error):
                    for word in process.cmdline():
                        if word.startswith("--trainer.default_root_dir="):
                            return str(Path(word.partition("=")[2]).relative_to(head.out))
            return None

        wait(lambda: (run := lost()) is not None and head.training(run))
        killed = lost()
        for process in own(1):
            with suppress(psutil.Error):
                process.kill()
        nodes[1].kill()
        head.done()
        assert numbers(head.out) == local
        runs = sorted(path.parent for path in head.out.glob("*/*/run.log"))
        begun = {str(run.relative_to(head.out)): head.begun(str(run)) for run in runs}
        assert begun == {run: 1 + (run == killed) for run in begun}
    finally:
        for node in nodes:
            with suppress(psutil.Error):
                for process in psutil.Process(node.pid).children(recursive=True):
                    process.kill()
            node.kill()
