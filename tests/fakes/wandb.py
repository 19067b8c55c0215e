"""A W&B server in memory, for the client of wandb 0.30 and 0.31: runs, media, sweeps, workspaces and reports.

    with FakeWandb() as server:
        subprocess.run([...], env={**os.environ, **server.environment(home)})
    assert server.unknown == []

Answers go by the name of the GraphQL operation, with all the fields that clients ask for in any of them; there is no
schema. Clients keep credentials for the whole process, so they belong in a subprocess.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fakes import Answer, Request, Server, as_json
from tests.fakes.wandb_graphql import Tree, Variables, answers, page, table
from tests.fakes.wandb_sweeps import Sweep, Sweeps

KEY = "5ec2e7" * 7  # of the account; no word of any message


@dataclass
class Run:
    """What a run told of itself."""

    project: str
    id: str
    name: str = ""
    group: str = ""
    job: str = ""
    notes: str = ""
    sweep: str | None = None
    state: str = "running"
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)  # by name: {"value": ...}
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    created: str = ""


class FakeWandb(Sweeps, Server):
    """Everything belongs to one entity; `key` is the only key that opens it, or None: any does.

    `runs` are by (project, id), `sweeps` by id, `views` (workspaces and reports) by id, `blobs` are
    the uploads, by path; `asked` has every request and `operations` the names and variables of GraphQL's.
    """

    def __init__(self, entity: str = "local", key: str | None = None) -> None:
        super().__init__()
        self.entity, self.key = entity, key
        self.runs: dict[tuple[str, str], Run] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.views: dict[str, Tree] = {}
        self.blobs: dict[str, bytes] = {}
        self.alerts: list[Variables] = []  # as they were sent
        self.operations: list[tuple[str, Variables]] = []
        self._answers = table(self)

    def environment(self, home: Path) -> dict[str, str]:
        """What a client needs in its environment to talk to this server and to leave nothing outside `home`."""
        return {
            "HOME": str(home),
            "NETRC": str(home / "netrc"),
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": self.key or KEY,
            "WANDB_CACHE_DIR": str(home / "wandb-cache"),
            "WANDB_CONFIG_DIR": str(home / "wandb-config"),
            "WANDB_DATA_DIR": str(home / "wandb-data"),
            "WANDB_DIR": str(home),
            "WANDB_ENTITY": self.entity,
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_INIT_TIMEOUT": "20",
            "WANDB_MODE": "online",
        }

    def respond(self, request: Request) -> Answer:
        """What the client tells of itself, at moments of its own, is taken and not counted."""
        return as_json({}) if request.path.startswith("/sdk/otel/v1/") else super().respond(request)

    def answer(self, request: Request) -> Answer:
        if request.path == "/graphql":
            return self._graphql(request)
        if request.path.endswith("/file_stream"):
            project, run = request.path.split("/")[3:5]
            self._stream(self.run(project, run), request.json())
            return as_json({})
        if request.method == "PUT":
            self.blobs[request.path] = request.body
            return Answer()
        if request.path in self.blobs:
            return Answer(200, self.blobs[request.path])
        self.unknown.append((request.method, request.path))
        return Answer(404)

    def _graphql(self, request: Request) -> Answer:
        asked = request.json()
        variables = asked.get("variables") or {}
        named = re.search(r"\b(?:query|mutation)\s+(\w+)", asked["query"])
        operation = named[1] if named else ""
        self.operations.append((operation, variables))
        login = base64.b64encode(f"api:{self.key}".encode()).decode()
        if self.key is not None and request.headers.get("authorization") != f"Basic {login}":
            return as_json({"errors": [{"message": "user is not logged in"}]}, 401)
        if operation not in self._answers:
            self.unknown.append((operation, " ".join(asked["query"].split())))
            return as_json({"errors": [{"message": f"unknown operation {operation}"}]}, 400)
        try:
            return as_json({"data": self._answers[operation](variables)})
        except Exception as error:  # a status of 500 would be tried again for minutes
            self.unknown.append((operation, repr(error)))
            return as_json({"errors": [{"message": f"{operation}: {error!r}"}]}, 400)

    def _stream(self, run: Run, told: Tree) -> None:
        for name, part in (told.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                run.history[part["offset"] :] = map(json.loads, part["content"])
            elif name == "wandb-summary.json":
                run.summary = json.loads(part["content"][-1])
        if told.get("complete"):
            run.state = "failed" if told.get("exitcode") else "finished"

    def run(self, project: str, name: str) -> Run:
        """The run of an id, made if there is none."""
        made = Run(project, name, name=name, created=now())
        return self.runs.setdefault((project, name), made)

    def project_node(self, name: str) -> Tree:
        entity = {"id": "e1", "name": self.entity}
        return {
            "id": f"p-{name}", "internalId": "UHJvamVjdDox", "name": name, "entityName": self.entity, "entity": entity,
            "readOnly": False, "createdAt": now(), "isBenchmark": False, "user": None, "tags": [],
        }  # fmt: skip

    def run_node(self, run: Run) -> Tree:
        keys = sorted({key for row in run.history for key in row})
        counts = {key: {"typeCounts": [{"type": "number", "count": 1, "keys": []}]} for key in keys}
        return {
            "id": run.id, "name": run.id, "displayName": run.name, "description": None, "notes": run.notes,
            "tags": run.tags, "state": run.state, "group": run.group, "jobType": run.job, "sweepName": run.sweep,
            "commit": None, "readOnly": False, "createdAt": run.created, "heartbeatAt": now(), "systemMetrics": "{}",
            "config": json.dumps(run.config), "summaryMetrics": json.dumps(run.summary), "eventsTail": "[]",
            "wandbConfig": json.dumps({"t": 1}) if run.config else "{}",  # without "t" nothing is resumed
            "historyLineCount": len(run.history), "eventsLineCount": 0, "logLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "historyKeys": {"sets": [], "keys": counts, "lastStep": len(run.history) - 1},
            "project": self.project_node(run.project), "projectId": "1", "fileCount": len(run.files),
            "user": {"name": "tester", "username": "tester"},
        }  # fmt: skip

    # Who asks.

    @answers("Viewer", "GetViewer", "GetDefaultEntity")
    def viewer(self, told: Variables) -> Tree:
        none: Tree = {"edges": []}
        return {
            "viewer": {
                "id": "u1", "entity": self.entity, "username": "tester", "name": "tester", "email": "tester@localhost",
                "admin": False, "flags": "{}", "teams": none, "apiKeys": none,
            }
        }  # fmt: skip

    @answers("ServerFeaturesQuery")
    def features(self, told: Variables) -> Tree:
        return {"serverInfo": {"features": []}}

    @answers("OrganizationCoreWeaveOrganizationID")
    def organization(self, told: Variables) -> Tree:
        return {"entity": {"organization": None}}

    # Runs.

    @answers("UpsertBucket")
    def upsert_run(self, told: Variables) -> Tree:
        inserted = (told["project"], told["name"]) not in self.runs
        run = self.run(told["project"], told["name"])
        for theirs, ours in (
            ("displayName", "name"), ("groupName", "group"), ("jobType", "job"), ("tags", "tags"), ("notes", "notes"),
            ("sweep", "sweep"),
        ):  # fmt: skip
            if told.get(theirs) is not None:
                setattr(run, ours, told[theirs])
        run.config |= json.loads(told.get("config") or "{}")
        run.summary |= json.loads(told.get("summaryMetrics") or "{}")
        run.state = "running"
        return {"upsertBucket": {"inserted": inserted, "bucket": self.run_node(run)}}

    @answers("NotifyScriptableRunAlert")
    def alert(self, told: Variables) -> Tree:
        self.alerts.append(told)
        return {"notifyScriptableRunAlert": {"success": True}}

    @answers("RunResumeStatus")
    def resume_status(self, told: Variables) -> Tree:
        run = self.runs.get((told["project"], told["name"]))
        return {"model": {**self.project_node(told["project"]), "bucket": self.run_node(run) if run else None}}

    @answers("Runs", "LightweightRuns")
    def list_runs(self, told: Variables) -> Tree:
        wanted = json.loads(told.get("filters") or "{}")
        found = [run for (project, _), run in self.runs.items() if project == told["project"] and matches(run, wanted)]
        order = told.get("order") or "+created_at"
        found.sort(key=lambda run: sort_key(run, order[1:]), reverse=order.startswith("-"))
        nodes = page(map(self.run_node, found))
        return {"project": {**self.project_node(told["project"]), "runCount": len(found), "runs": nodes}}

    @answers("Run", "GetRun", "GetLightweightRun", "RunHistoryKeys")
    def one_run(self, told: Variables) -> Tree:
        run = self.runs.get((told["project"], told["name"]))
        return {"project": {**self.project_node(told["project"]), "run": self.run_node(run) if run else None}}

    @answers("RunFullHistory")
    def full_history(self, told: Variables) -> Tree:
        return self._told_of_run(history=[json.dumps(row) for row in self._history(told)])

    @answers("HistoryPage")
    def history_page(self, told: Variables) -> Tree:
        rows = [row for row in self._history(told) if told["minStep"] <= row["_step"] < told["maxStep"]]
        return self._told_of_run(history=[json.dumps(row) for row in rows])

    @answers("RunSampledHistory", "SampledHistoryPage")
    def sampled_history(self, told: Variables) -> Tree:
        specs = [json.loads(spec) for spec in told.get("specs") or [told["spec"]]]
        return self._told_of_run(sampledHistory=[self._sampled(told, **spec) for spec in specs])

    @answers("RunParquetHistory")
    def parquet_history(self, told: Variables) -> Tree:
        return self._told_of_run(parquetHistory={"parquetUrls": [], "liveData": self._history(told)})

    def _history(self, told: Variables) -> list[dict[str, Any]]:
        name = told.get("name") or told.get("run") or told["runName"]
        return self.runs[told["project"], name].history

    def _sampled(self, told: Variables, keys: list[str], **spec: Any) -> list[dict[str, Any]]:
        first, last = spec.get("minStep", 0), spec.get("maxStep", float("inf"))
        rows = [row for row in self._history(told) if first <= row["_step"] <= last]
        return [{key: row[key] for key in keys} for row in rows if all(key in row for key in keys)]

    @staticmethod
    def _told_of_run(**fields: Any) -> Tree:
        return {"project": {"run": fields}}

    # Files of runs.

    @answers("CreateRunFiles")
    def create_files(self, told: Variables) -> Tree:
        self.run(told["project"], told["run"]).files.update(told["files"])
        files = [
            {"name": name, "uploadUrl": self._file_url(told["project"], told["run"], name)} for name in told["files"]
        ]
        return {"createRunFiles": {"runID": told["run"], "uploadHeaders": [], "files": files}}

    @answers("RunFiles")
    def list_files(self, told: Variables) -> Tree:
        run = self.runs[told["project"], told["name"]]
        names = [name for name in sorted(run.files) if not told.get("fileNames") or name in told["fileNames"]]
        files = page(self._file_node(run, name) for name in names)
        return {"project": {**self.project_node(run.project), "run": {"fileCount": len(names), "files": files}}}

    def _file_node(self, run: Run, name: str) -> Tree:
        url = self._file_url(run.project, run.id, name)
        size = len(self.blobs.get(f"/files/{run.project}/{run.id}/{name}", b""))
        return {
            "id": name, "name": name, "url": url, "directUrl": url, "sizeBytes": size, "mimetype": "",
            "updatedAt": now(), "md5": "",
        }  # fmt: skip

    def _file_url(self, project: str, run: str, name: str) -> str:
        return f"{self.url}/files/{project}/{run}/{name}"

    # Workspaces and reports.

    @answers("ProjectInternalId")
    def internal_id(self, told: Variables) -> Tree:
        return {"project": {"internalId": "UHJvamVjdDox"}}

    @answers("GetProjects")
    def projects(self, told: Variables) -> Tree:
        names = sorted({project for project, _ in self.runs})
        return {"models": page({"__typename": "Project", **self.project_node(name)} for name in names)}

    @answers("UpsertView2", "upsertView")
    def upsert_view(self, told: Variables) -> Tree:
        name = told.get("id") or base64.b64encode(f"View:{len(self.views)}".encode()).decode()
        view = {key: told.get(key) for key in ("type", "name", "displayName", "description", "spec")}
        times = {"createdAt": now(), "updatedAt": now()}
        self.views[name] = {"id": name, **view, "project": self.project_node(told["projectName"]), **times}
        return {"upsertView": {"view": self.views[name], "inserted": True}}

    @answers("SpecificReport")
    def report(self, told: Variables) -> Tree:
        return {"view": self.views.get(told["reportId"])}

    @answers("View")
    def view(self, told: Variables) -> Tree:
        found = [view for view in self.views.values() if view["name"] == told["viewName"]]
        return {"project": {"allViews": page(found)}}


def matches(run: Run, wanted: Tree) -> bool:
    """Whether a run passes a filter in MongoDB's form."""
    return all(_passes(run, name, value) for name, value in wanted.items())


def _passes(run: Run, name: str, wanted: Any) -> bool:
    if name in {"$and", "$or"}:
        each = [matches(run, part) for part in wanted]
        return all(each) if name == "$and" else any(each) or not each
    if name.startswith("config."):
        got = run.config.get(name.split(".")[1], {}).get("value")
    elif name.startswith("summary_metrics."):
        got = run.summary.get(name.partition(".")[2])
    else:
        got = getattr(run, {"display_name": "name", "displayName": "name", "name": "id"}.get(name, name))
    values = got if isinstance(got, list) else [got]
    tests: dict[str, Callable[[Any], bool]] = {
        "$eq": lambda w: got == w, "$ne": lambda w: got != w, "$in": lambda w: any(value in w for value in values),
        "$exists": lambda w: (got is not None) == w,
    }  # fmt: skip
    return all(tests[test](w) for test, w in wanted.items()) if isinstance(wanted, dict) else wanted == got


def sort_key(run: Run, name: str) -> tuple[bool, Any]:
    """What orders runs; those that lack it come last in ascending order."""
    if not name.startswith("summary_metrics."):
        return (False, run.created)
    value = run.summary.get(name.partition(".")[2])
    return (value is None, value)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
