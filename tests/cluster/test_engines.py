"""A benchmark of six runs of digits on a real SLURM and a real Ray; tasks are cancelled and machines die.

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
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow
BENCHMARK = """
name: six
configs: [nsgan, wgan_gp]
data: digits
seeds: [0, 1, 2]
budget: {kimg: 30}
overrides:
  data.image_size: 8
  model.generator.width: 8
  model.discriminator.width: 8
  trainer.logger: false
  checkpoints.every_kimg: 1
"""


class Head:
    """The `zoo benchmark` process."""

    def __init__(self, folder: Path, out: str, *options: str, **environment: str) -> None:
        (folder / "six.yaml").write_text(BENCHMARK)
        self.out, self.log = folder / out, folder / f"{out}.log"
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        command = [sys.executable, "-m", "zoo", "benchmark", str(folder / "six.yaml"), "-o", str(self.out), *options]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)

    def scores(self) -> dict[str, float]:
        """Of each run, once the benchmark has ended; every run finished once, in one folder."""
        assert self.process.wait(600) == 0, self.log.read_text()
        folders = sorted(path.parent for path in self.out.glob("*/seed-*/*/run.json"))
        records = [json.loads((folder / "run.json").read_text()) for folder in folders]
        assert [record["status"] for record in records] == ["finished"] * 6, self.log.read_text()
        return {
            str(folder.parent.relative_to(self.out)): record["result"]["score"]["last"]
            for folder, record in zip(folders, records, strict=True)
        }

    def begun(self, run: str) -> int:
        """How often a run's command was started."""
        log = self.out / run / "run.log"
        return log.read_text().count("$ ") if log.is_file() else 0

    def training(self, run: str) -> bool:
        """Whether a run has saved itself and is not over."""
        records = [path for path in (self.out / run).glob("*/run.json") if path.with_name("last.ckpt").is_file()]
        return any(json.loads(path.read_text())["status"] == "running" for path in records)


def wait(until: Callable[[], bool], seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return Head(tmp_path_factory.mktemp("local"), "local", "--jobs", "2").scores()


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    pytest.importorskip("submitit")
    if os.geteuid() or not all(map(shutil.which, ("munged", "slurmctld", "slurmd"))):
        pytest.skip("needs root and Debian's slurm-wlm")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run(["bash", str(Path(__file__).with_name("slurm.sh")), str(folder)], check=True)
    yield {"SLURM_CONF": str(folder / "slurm.conf")}
    for name in ("slurmd", "slurmctld"):
        os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGKILL)


def test_slurm_finishes_what_is_cancelled_and_requeued_as_if_nothing_had_been(tmp_path, slurm, local):
    head = Head(tmp_path, "out", "--engine", "slurm", "--engine.minutes", "20", **slurm)
    cancelled, requeued = "nsgan-digits/seed-0", "wgan_gp-digits/seed-0"

    def control(*command: str) -> None:
        subprocess.run(command, env=head.environment)

    wait(lambda: head.training(cancelled) and head.training(requeued))
    control("scancel", (head.out / cancelled / "job").read_text())
    control("scancel", "--signal=USR2", (head.out / requeued / "job").read_text())  # fails where it is quick to go
    wait(lambda: head.begun(requeued) == 2)
    head.process.kill()  # the cluster goes on; the same command waits for what is queued
    head.process.wait()
    again = Head(tmp_path, "out", "--engine", "slurm", "--engine.minutes", "20", **slurm)
    assert again.scores() == local
    assert [again.begun(run) for run in sorted(local)] == [2, 1, 1, 2, 1, 1]


def test_the_script_that_is_written_requeues_by_itself(tmp_path, slurm, local):
    script, options = tmp_path / "job.sh", {"env": {**os.environ, **slurm}, "check": True}
    assert Head(tmp_path, "out", "--write-slurm", str(script)).process.wait(200) == 0
    out = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, **options)
    job, head = out.stdout.strip(), Head(tmp_path, "out", "--dry-run")
    wait(lambda: head.training("nsgan-digits/seed-0"))
    subprocess.run(["scancel", "--batch", "--signal=USR1", f"{job}_0"], env=options["env"])
    wait(lambda: not subprocess.run(["squeue", "-h", "-j", job], capture_output=True, **options).stdout, 500)
    assert Head(tmp_path, "out").scores() == local  # nothing is left to do
    assert "saving after this batch" in (head.out / "nsgan-digits/seed-0/run.log").read_text()


def test_ray_begins_the_runs_of_a_dead_node_again(tmp_path, local):
    pytest.importorskip("ray")
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    quick = {**os.environ, "RAY_worker_niceness": "0"}
    nodes = [subprocess.Popen([*ray, "--head", "--port=6399", "--include-dashboard=false"], env=quick)]
    try:
        time.sleep(10)
        nodes += [subprocess.Popen([*ray, "--address=127.0.0.1:6399"], env=quick)]
        time.sleep(10)
        head = Head(tmp_path, "out", "--engine", "ray", "--engine.address", "127.0.0.1:6399")
        own = lambda: psutil.Process(nodes[1].pid).children(recursive=True)  # noqa: E731
        wait(lambda: any("train" in process.cmdline() for process in own()))
        time.sleep(20)  # in the middle of a run
        for process in own():
            process.kill()
        nodes[1].kill()
        assert head.scores() == local
        assert sum(head.begun(run) for run in local) == 7
    finally:
        for node in nodes:
            for process in psutil.Process(node.pid).children(recursive=True):
                process.kill()
            node.kill()
