"""W&B's server on loopback, as far as a run of wandb 0.30 and 0.31 needs it.

    with FakeWandb() as server:
        subprocess.run([...], env={**os.environ, **server.environment(home)})
    assert server.unknown == []

Answers go by the name of the GraphQL operation; there is no schema. Clients keep credentials for the whole process, so
they belong in a subprocess.
"""

from __future__ import annotations

import base64
import http.server
import json
import re
import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

KEY = "5ec2e7" * 7  # of the account
Tree = dict[str, Any]


@dataclass
class Request:
    """What a client asked."""

    method: str
    path: str
    authorization: str
    body: bytes


@dataclass
class Answer:
    """What it is told."""

    status: int = 200
    body: Tree = field(default_factory=dict)  # of JSON


@dataclass
class Run:
    """What a run told of itself."""

    project: str
    id: str
    state: str = "running"
    config: Tree = field(default_factory=dict)  # by name: {"value": ...}
    history: list[Tree] = field(default_factory=list)


class FakeWandb:
    """Answers on a free port of 127.0.0.1, one request at a time, while it is entered; `KEY` opens it.

    `runs` are by (project, id); `unknown` is what it could not answer, which a test asserts to be empty.
    """

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str], Run] = {}
        self.unknown: list[str] = []
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self._http = _Http(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        for connection in self._http.connections:  # which clients keep for later
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def environment(self, home: Path) -> dict[str, str]:
        """A client's environment, to talk to this server and to leave nothing outside `home`."""
        return {
            "HOME": str(home),
            "NETRC": str(home / "netrc"),
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": KEY,
            "WANDB_CACHE_DIR": str(home / "wandb-cache"),
            "WANDB_CONFIG_DIR": str(home / "wandb-config"),
            "WANDB_DATA_DIR": str(home / "wandb-data"),
            "WANDB_DIR": str(home),
            "WANDB_ENTITY": "local",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_INIT_TIMEOUT": "20",
            "WANDB_MODE": "online",
        }

    def respond(self, request: Request) -> Answer:
        """The answer to any request."""
        with self._lock:
            if request.path == "/graphql":
                return self._graphql(request)
            if request.path.endswith("/file_stream"):
                project, run = request.path.split("/")[3:5]
                self._stream(self.runs[project, run], json.loads(request.body))
            elif request.method != "PUT" and not request.path.startswith("/sdk/otel/v1/"):
                self.unknown.append(f"{request.method} {request.path}")
                return Answer(404)
            return Answer()

    def _graphql(self, request: Request) -> Answer:
        asked = json.loads(request.body)
        named = re.search(r"\b(?:query|mutation)\s+(\w+)", asked["query"])
        operation = named[1] if named else ""
        if request.authorization != f"Basic {base64.b64encode(f'api:{KEY}'.encode()).decode()}":
            return Answer(401, {"errors": [{"message": "user is not logged in"}]})
        try:
            return Answer(200, {"data": self._data(operation, asked.get("variables") or {})})
        except Exception as error:  # a status of 500 would be tried again for minutes
            self.unknown.append(f"{operation}: {error!r}")
            return Answer(400, {"errors": [{"message": f"{operation}: {error!r}"}]})

    def _data(self, operation: str, told: Tree) -> Tree:
        match operation:
            case "Viewer" | "GetViewer" | "GetDefaultEntity":
                account = dict.fromkeys(("entity", "username", "name", "email"), "local")
                none: Tree = {"edges": []}
                return {"viewer": {**account, "id": "u", "admin": False, "flags": "{}", "teams": none, "apiKeys": none}}
            case "ServerFeaturesQuery":
                return {"serverInfo": {"features": []}}
            case "OrganizationCoreWeaveOrganizationID":
                return {"entity": {"organization": None}}
            case "RunResumeStatus":
                run = self.runs.get((told["project"], told["name"]))
                return {"model": {"id": "p", "name": told["project"], "bucket": run and _node(run)}}
            case "UpsertBucket":
                key = told["project"], told["name"]
                inserted = key not in self.runs
                run = self.runs.setdefault(key, Run(*key))
                run.config |= json.loads(told.get("config") or "{}")
                run.state = "running"
                return {"upsertBucket": {"inserted": inserted, "bucket": _node(run)}}
            case "CreateRunFiles":
                files = [{"name": name, "uploadUrl": f"{self.url}/files/{name}"} for name in told["files"]]
                return {"createRunFiles": {"runID": told["run"], "uploadHeaders": [], "files": files}}
        raise ValueError("it is unknown")

    def _stream(self, run: Run, told: Tree) -> None:
        if part := (told.get("files") or {}).get("wandb-history.jsonl"):
            run.history[part["offset"] :] = map(json.loads, part["content"])
        if told.get("complete"):
            run.state = "failed" if told.get("exitcode") else "finished"


def records(log: Path, kind: str) -> list[dict[str, Any]]:
    """What W&B has of a run on the disk, read by W&B's own tool."""
    spec = find_spec("wandb")
    assert spec is not None
    core = Path(spec.submodule_search_locations[0]) / "bin" / "wandb-core"
    command = [core, "leet", "inspect", "--no-observability", "--json", "--run-file", log]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return [record for record in map(json.loads, told.stdout.splitlines()) if record["type"] == kind]


def _node(run: Run) -> Tree:
    project = {"id": "p", "internalId": "cA==", "name": run.project, "entity": {"id": "e", "name": "local"}}
    return {
        "id": run.id, "name": run.id, "displayName": run.id, "tags": [], "project": project, "eventsTail": "[]",
        "config": json.dumps(run.config), "wandbConfig": json.dumps({"t": 1}) if run.config else "{}",
        "summaryMetrics": "{}", "historyLineCount": len(run.history), "eventsLineCount": 0, "logLineCount": 0,
        "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
    }  # fmt: skip


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address


def _handler(server: FakeWandb) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            authorization = self.headers.get("authorization", "")
            answer = server.respond(Request(self.command, self.path.partition("?")[0], authorization, body))
            content = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = respond  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    return Handler
