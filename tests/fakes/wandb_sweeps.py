"""Sweeps of the fake W&B server, and the agents that run them."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.fakes.wandb_graphql import Tree, Variables, answers


@dataclass
class Sweep:
    """What `wandb sweep` told, and the runs that its agents were given."""

    id: str
    project: str
    config: str  # YAML
    state: str = "PENDING"
    runs: list[str] = field(default_factory=list)


class Sweeps:
    """The part of the server that answers for sweeps; an agent is given `sweep_runs` runs, then told to exit.

    The values of a run are not searched for: the k-th run takes the k-th combination of `values`, and `min` where there
    is a range.
    """

    sweeps: dict[str, Sweep]
    runs: dict[tuple[str, str], Any]
    sweep_runs = 2

    def project_node(self, name: str) -> Tree:
        raise NotImplementedError

    def run_node(self, run: Any) -> Tree:
        raise NotImplementedError

    def sweep_node(self, sweep: Sweep) -> Tree:
        told = yaml.safe_load(sweep.config)
        metric = told.get("metric") or {}
        runs = [run for (_, name), run in self.runs.items() if name in sweep.runs]
        losses = [run.summary[metric["name"]] for run in runs if metric.get("name") in run.summary]
        best = max if metric.get("goal") == "maximize" else min
        nodes = [
            {**self.run_node(run), "exitcode": None, "shouldStop": False, "failed": False, "stopped": False,
             "running": run.state == "running", "sampledHistory": [[]]} for run in runs
        ]  # fmt: skip
        return {
            "__typename": "Sweep", "id": sweep.id, "name": sweep.id, "displayName": told.get("name"),
            "method": told["method"], "state": sweep.state, "description": told.get("description"),
            "config": sweep.config, "createdAt": "2026-01-01T00:00:00", "updatedAt": None, "heartbeatAt": None,
            "earlyStopJobRunning": False, "bestLoss": best(losses, default=None), "controller": None,
            "scheduler": None, "runCount": len(runs), "runCountExpected": None, "priorRuns": {"edges": []},
            "runs": {"edges": [{"node": node} for node in nodes]},
            "project": self.project_node(sweep.project), "user": {"name": "tester", "username": "tester"},
        }  # fmt: skip

    @answers("UpsertSweep")
    def upsert_sweep(self, told: Variables) -> Tree:
        sweep = self.sweeps.get(told.get("id") or "")
        if sweep is None:
            sweep = Sweep(f"sweep{len(self.sweeps)}", told["projectName"], told["config"])
            self.sweeps[sweep.id] = sweep
        sweep.config = told.get("config") or sweep.config
        sweep.state = told.get("state") or sweep.state
        return {"upsertSweep": {"sweep": self.sweep_node(sweep), "configValidationWarnings": []}}

    @answers("SweepWithRuns", "GetSweep", "GetSweepState")
    def sweep(self, told: Variables) -> Tree:
        found = self.sweeps.get(told.get("sweep") or told["name"])
        return {"project": {"sweep": self.sweep_node(found) if found else None}}

    @answers("CreateAgent")
    def create_agent(self, told: Variables) -> Tree:
        return {"createAgent": {"agent": {"id": told["sweep"]}}}

    @answers("Heartbeat")
    def heartbeat(self, told: Variables) -> Tree:
        sweep = self.sweeps[told["id"]]
        commands: list[Tree] = []
        if not any(json.loads(told["runState"]).values()):
            commands = [self._next(sweep)]
        return {"agentHeartbeat": {"agent": {"id": sweep.id}, "commands": json.dumps(commands)}}

    def _next(self, sweep: Sweep) -> Tree:
        told = yaml.safe_load(sweep.config)
        count = len(sweep.runs)
        if count >= self.sweep_runs:
            sweep.state = "FINISHED"
            return {"type": "exit"}
        sweep.state = "RUNNING"
        sweep.runs.append(f"{sweep.id}-run{count}")
        arguments = {name: {"value": value} for name, value in combination(told["parameters"], count).items()}
        return {"type": "run", "run_id": sweep.runs[-1], "program": told.get("program"), "args": arguments}


def combination(parameters: Tree, count: int) -> dict[str, Any]:
    """The values of the count-th run, over and over."""
    choices = [
        p["values"] if "values" in p else [p.get("value", p.get("min", p.get("mu")))] for p in parameters.values()
    ]
    chosen = list(itertools.product(*choices))
    return dict(zip(parameters, chosen[count % len(chosen)], strict=True))
