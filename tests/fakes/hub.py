"""A Hugging Face Hub in memory: models only, read and written as `huggingface_hub` 2 does without Xet."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from hashlib import sha1, sha256

from tests.fakes import Answer, Request, Server, as_json

Files = dict[str, bytes]
_MODEL = r"/api/models/(?P<repo>[^/]+/[^/]+)"


@dataclass
class Repo:
    """Its commits, oldest first, and what names them."""

    private: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Files, revision: str = "main") -> str:
        """A new commit on a branch, as its sha."""
        parent = self.refs.get(revision, "")
        text = repr((parent, sorted((name, sha256(data).hexdigest()) for name, data in files.items())))
        sha = sha1(text.encode()).hexdigest()
        self.commits[sha] = files
        self.refs[revision] = sha
        return sha


class FakeHub(Server):
    """Serves `repos`; writing, and reading what is private, need `token`.

    `damaged` names files in which one bit is flipped on the way; `claimed` maps files to sizes that listings tell of
    them instead.
    """

    def __init__(self, token: str = "hf_secret") -> None:
        super().__init__()
        self.token = token
        self.repos: dict[str, Repo] = {}
        self.damaged: set[str] = set()
        self.claimed: dict[str, int] = {}
        self._stored: Files = {}  # uploads, by sha256

    def add(self, name: str, files: Files, *, private: bool = False) -> str:
        """Commit files to a repository, which is made if there is none; the commit's sha."""
        repo = self.repos.setdefault(name, Repo(private))
        return repo.commit(files)

    def answer(self, request: Request) -> Answer:
        for pattern, answers in (
            (rf"GET {_MODEL}(?:/revision/(?P<revision>.+))?", self._info),
            (r"(?:GET|HEAD) /(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)", self._file),
            (r"POST /api/repos/create", self._create),
            (r"POST /api/validate-yaml", self._validate),
            (rf"POST {_MODEL}/preupload/(?P<revision>.+)", self._preupload),
            (r"POST /(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", self._batch),
            (r"PUT /stored/(?P<oid>\w+)", self._store),
            (rf"POST {_MODEL}/commit/(?P<revision>.+)", self._commit),
        ):
            if match := re.fullmatch(pattern, f"{request.method} {request.path}"):
                return answers(request, **match.groupdict())
        if request.path != "/api/agent-harnesses":  # asked by clients that an agent runs, who do without
            self.unknown.append((request.method, request.path))
        return Answer(404)

    def _signed_in(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.token}"

    def _refused(self, request: Request, repo: str, revision: str | None) -> Answer | None:
        given = request.headers.get("authorization")
        if given and not self._signed_in(request):
            return as_json({}, 401, **{"X-Error-Message": "Invalid credentials in Authorization header"})
        found = self.repos.get(repo)
        if found is None or (found.private and not given):
            return as_json({}, 404 if given else 401, **{"X-Error-Code": "RepoNotFound"})
        if self._sha(repo, revision) not in found.commits:
            return as_json({}, 404, **{"X-Error-Code": "RevisionNotFound"})
        return None

    def _sha(self, repo: str, revision: str | None) -> str:
        return self.repos[repo].refs.get(revision or "main", revision or "")

    def _info(self, request: Request, repo: str, revision: str | None) -> Answer:
        if refused := self._refused(request, repo, revision):
            return refused
        sha = self._sha(repo, revision)
        siblings = [
            {"rfilename": name, "size": self.claimed.get(name, len(data)), "blobId": sha1(data).hexdigest()}
            for name, data in self.repos[repo].commits[sha].items()
        ]
        return as_json({"id": repo, "modelId": repo, "sha": sha, "private": False, "tags": [], "siblings": siblings})

    def _file(self, request: Request, repo: str, revision: str, name: str) -> Answer:
        if refused := self._refused(request, repo, revision):
            return refused
        sha = self._sha(repo, revision)
        files = self.repos[repo].commits[sha]
        if name not in files:
            return Answer(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        data = files[name]
        headers = {"ETag": f'"{sha256(data).hexdigest()}"', "X-Repo-Commit": sha}
        if name in self.damaged:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        return Answer(200, data, headers)

    def _create(self, request: Request) -> Answer:
        if not self._signed_in(request):
            return as_json({}, 401, **{"X-Error-Message": "Invalid credentials in Authorization header"})
        told = request.json()
        name = f"{told['organization']}/{told['name']}"
        if name in self.repos:
            return as_json({"error": "You already created this model repo", "url": f"{self.url}/{name}"}, 409)
        self.repos[name] = Repo()
        self.repos[name].commit({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
        return as_json({"url": f"{self.url}/{name}"})

    def _validate(self, request: Request) -> Answer:
        return as_json({"errors": [], "warnings": []})

    def _preupload(self, request: Request, repo: str, revision: str) -> Answer:
        if not self._signed_in(request):
            return as_json({}, 401, **{"X-Error-Code": "RepoNotFound"})
        large = (".safetensors", ".png")
        files = [
            {"path": f["path"], "shouldIgnore": False, "uploadMode": "lfs" if f["path"].endswith(large) else "regular"}
            for f in request.json()["files"]
        ]
        return as_json({"files": files})

    def _batch(self, request: Request, repo: str) -> Answer:
        objects = [
            {**o, "actions": {"upload": {"href": f"{self.url}/stored/{o['oid']}"}}} for o in request.json()["objects"]
        ]
        return as_json({"transfer": "basic", "objects": objects})

    def _store(self, request: Request, oid: str) -> Answer:
        self._stored[oid] = request.body
        return Answer(200 if sha256(request.body).hexdigest() == oid else 400)

    def _commit(self, request: Request, repo: str, revision: str) -> Answer:
        if not self._signed_in(request):
            return as_json({}, 401, **{"X-Error-Code": "RepoNotFound"})
        branch = self.repos[repo]
        files = dict(branch.commits[self._sha(repo, revision)])
        for line in map(json.loads, request.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self._stored[value["oid"]]
            elif line["key"] != "header":
                self.unknown.append(("commit", line["key"]))
        sha = branch.commit(files, revision)
        return as_json({"commitUrl": f"{self.url}/{repo}/commit/{sha}", "commitOid": sha, "pullRequestUrl": None})
