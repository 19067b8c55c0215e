"""One run on two nodes: two agents of torchrun on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from zoo.cli.main import ROOT

pytestmark = pytest.mark.slow
STEPS = 60


def fit(variant: str, folder: Path, batch: int, *options: str) -> list[str]:
    return [
        "train.py", "fit", "-c", f"configs/{variant}.yaml", "-c", "configs/data/digits.yaml",
        "--trainer.accelerator=cpu", "--trainer.precision=64-true", f"--trainer.max_steps={STEPS}",
        f"--trainer.default_root_dir={folder}", "--trainer.logger=false", "--data.image_size=8",
        f"--data.batch_size={batch}", "--model.generator.width=4", "--model.discriminator.width=4",
        "--checkpoints.every_kimg=0.1", *options,
    ]  # fmt: skip


def nodes(command: list[str], port: int, *options: str) -> list[subprocess.Popen]:
    agent = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
        f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=two", "--local-addr=127.0.0.1", *options,
    ]  # fmt: skip
    more = ["--trainer.devices=1", "--trainer.num_nodes=2", "--trainer.strategy=ddp"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return [subprocess.Popen([*agent, *command, *more], cwd=ROOT, env=environment) for _ in range(2)]


def weights(root: Path) -> dict[str, torch.Tensor]:
    """Of the only run there is."""
    (run,) = root.iterdir()
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    return torch.load(run / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("variant", ["nsgan", "wgan_gp", "mdgan"])
def test_two_nodes_are_one_process(variant: str, tmp_path: Path) -> None:
    """In float64, without batch norms, whose statistics are each rank's own."""
    more = ["diffusion_discriminator", "encoder"] if variant == "mdgan" else []
    own = [f"--model.{name}.norm=none" for name in ["generator", "discriminator", *more]]
    own += [f"--model.{name}.width=4" for name in more]
    agents = nodes(fit(variant, tmp_path / "two", 8, *own), 29611)
    assert [agent.wait(900) for agent in agents] == [0, 0]
    alone = [sys.executable, *fit(variant, tmp_path / "one", 16, *own)]
    subprocess.run(alone, cwd=ROOT, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-9, atol=1e-9, msg=name)


def test_a_node_that_dies_begins_again_from_the_last_checkpoint(tmp_path: Path) -> None:
    command = fit("nsgan", tmp_path / "runs", 8)
    command[command.index(f"--trainer.max_steps={STEPS}")] = "--trainer.max_steps=200"
    agents = nodes(command, 29612, "--max-restarts=3")
    try:
        end = time.monotonic() + 600
        while not list(tmp_path.glob("runs/*/previous.ckpt")):
            assert time.monotonic() < end
            time.sleep(0.05)
        (worker,) = [child for child in psutil.Process(agents[1].pid).children() if "train.py" in child.cmdline()]
        worker.send_signal(signal.SIGKILL)
        assert [agent.wait(900) for agent in agents] == [0, 0]
    finally:
        for agent in agents:
            agent.kill()
    (run,) = (tmp_path / "runs").iterdir()
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["result"]["steps"]) == ("finished", 200)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kimg = [row["progress/kimg"] for row in rows if "loss/d" in row]
    assert kimg == sorted(set(kimg))
