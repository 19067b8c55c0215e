"""Two processes with half a batch each take the steps of one process with all of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo.cli import ROOT


def run(objective: str, processes: int, out: Path) -> list[dict]:
    command = [sys.executable, "-m", "tests.ranks_script", objective, str(processes), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GAN_ZOO_CACHE": str(out.parent)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(f"{out}-{rank}.pt") for rank in range(processes)]


@pytest.mark.parametrize("objective", ["WGANGP", "BEGAN"])
def test_two_ranks_equal_one(objective: str, tmp_path: Path) -> None:
    (alone,) = run(objective, 1, tmp_path / "one")
    first, second = run(objective, 2, tmp_path / "two")
    assert (alone["steps"], alone["images"]) == (first["steps"], first["images"]) == (6, 48)
    for name, value in alone["state"].items():
        assert torch.equal(first["state"][name], second["state"][name]), name
        torch.testing.assert_close(first["state"][name], value, rtol=0, atol=1e-10, msg=name)
    for name, value in alone["logged"].items():
        torch.testing.assert_close(first["logged"][name], value, rtol=1e-5, atol=1e-6, msg=name)
    assert first["scores"] == second["scores"]
    assert len(first["scores"]) == 6
    assert first["scores"] == pytest.approx(alone["scores"], rel=1e-6)
    assert len(alone["readings"]) == 3
    for here, there, whole in zip(first["readings"], second["readings"], alone["readings"], strict=True):
        assert str(here) == str(there)  # NaN too
        apart = {"diversity", "movement", "sway"}  # of the rows that a rank was dealt, as many as it has
        told = [{k: v for k, v in row.items() if k not in apart} for row in (here, whole)]
        assert told[0] == pytest.approx(told[1], rel=1e-5, abs=1e-6, nan_ok=True)
    if objective == "BEGAN":
        assert alone["state"]["k"] != 0
