"""Artifacts of the fake W&B server: log, alias, version, wait, use, download."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from hashlib import md5

from tests.fakes.wandb_graphql import Tree, Variables, answers, page

_CREATED = "2026-01-01T00:00:00Z"


@dataclass
class Artifact:
    """One version of a collection."""

    id: str
    project: str
    collection: str
    type: str
    digest: str
    version: int
    metadata: str = "{}"  # JSON
    description: str | None = None
    run: str | None = None  # that logged it
    state: str = "PENDING"
    manifest: str = ""  # path among the blobs
    aliases: set[str] = field(default_factory=set)


class Artifacts:
    """The part of the server that answers for artifacts."""

    url: str
    blobs: dict[str, bytes]
    artifacts: dict[str, Artifact]
    damaged: set[str]

    def project_node(self, name: str) -> Tree:
        raise NotImplementedError

    def add(self, project: str, name: str, files: dict[str, bytes], *aliases: str) -> Artifact:
        """Log a model as if a client had, with these aliases and latest."""
        digests = {file: md5(data).digest() for file, data in files.items()}
        self.blobs |= {f"/blobs/{digests[file].hex()}": data for file, data in files.items()}
        aliases_told = [{"alias": alias} for alias in (*aliases, "latest")]
        digest = md5(b"".join(digests.values())).hexdigest()
        told = {"projectName": project, "artifactCollectionName": name, "artifactTypeName": "model", "digest": digest}
        made = self.create_artifact({"input": {**told, "aliases": aliases_told}})
        artifact = self.artifacts[made["createArtifact"]["artifact"]["id"]]
        artifact.state, artifact.manifest = "COMMITTED", f"/manifest/{artifact.id}"
        contents = {
            file: {
                "digest": base64.b64encode(digests[file]).decode(),
                "size": len(data),
                "birthArtifactID": artifact.id,
            }
            for file, data in files.items()
        }
        manifest = {
            "version": 1, "storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": {"storageLayout": "V2"},
            "contents": contents,
        }  # fmt: skip
        self.blobs[artifact.manifest] = json.dumps(manifest).encode()
        return artifact

    def contents(self, artifact: Artifact) -> dict[str, Tree]:
        """The manifest's entries, by name; a test may write other ones with `rewrite`."""
        return json.loads(self.blobs.get(artifact.manifest, b'{"contents": {}}'))["contents"]

    def rewrite(self, artifact: Artifact, contents: dict[str, Tree]) -> None:
        """Let the manifest claim other entries."""
        manifest = json.loads(self.blobs[artifact.manifest])
        self.blobs[artifact.manifest] = json.dumps({**manifest, "contents": contents}).encode()

    def _transmitted(self, path: str) -> bytes:
        data = self.blobs[path]
        for artifact in self.artifacts.values():
            for name, entry in self.contents(artifact).items():
                if name in self.damaged and path == f"/blobs/{_digest(entry)}":
                    middle = len(data) // 2
                    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        return data

    def _collection(self, project: str, name: str) -> list[Artifact]:
        return [a for a in self.artifacts.values() if (a.project, a.collection) == (project, name)]

    def artifact_node(self, artifact: Artifact) -> Tree:
        collection = {
            "__typename": "ArtifactSequence", "id": artifact.collection, "name": artifact.collection,
            "project": self.project_node(artifact.project), "type": {"name": artifact.type},
            "latestArtifact": {"id": artifact.id} if artifact.state == "COMMITTED" else None,
        }  # fmt: skip
        contents = self.contents(artifact).values()
        aliases = [
            {"__typename": "ArtifactAlias", "id": f"{artifact.id}-{a}", "alias": a, "artifactCollection": collection}
            for a in sorted(artifact.aliases)
        ]
        return {
            "__typename": "Artifact", "id": artifact.id, "state": artifact.state, "digest": artifact.digest,
            "artifactSequence": collection, "artifactType": {"name": artifact.type}, "versionIndex": artifact.version,
            "description": artifact.description, "metadata": artifact.metadata, "ttlDurationSeconds": -2,
            "ttlIsInherited": False, "tags": [], "historyStep": None, "commitHash": artifact.digest[:12],
            "size": sum(int(entry.get("size") or 0) for entry in contents), "fileCount": len(contents),
            "createdAt": _CREATED, "updatedAt": None, "aliases": aliases,
            "currentManifest": {"id": "m", "file": {"directUrl": self.url + artifact.manifest}},
        }  # fmt: skip

    @answers("CreateArtifact")
    def create_artifact(self, told: Variables) -> Tree:
        given = told["input"]
        name = (given.get("artifactCollectionNames") or [given.get("artifactCollectionName")])[0]
        before = self._collection(given["projectName"], name)
        aliases = {alias["alias"] for alias in given.get("aliases") or []}
        artifact = next((a for a in before if a.digest == given["digest"]), None)
        if artifact is None:
            artifact = Artifact(
                f"artifact{len(self.artifacts)}", given["projectName"], name, given["artifactTypeName"],
                given["digest"], len(before), given.get("metadata") or "{}", given.get("description"),
                given.get("runName"), aliases={f"v{len(before)}"},
            )  # fmt: skip
            self.artifacts[artifact.id] = artifact
        for other in before:
            other.aliases -= aliases
        artifact.aliases |= aliases
        return {"createArtifact": {"artifact": self.artifact_node(artifact)}}

    @answers("CreateArtifactManifest")
    def create_manifest(self, told: Variables) -> Tree:
        artifact = self.artifacts[told["artifactID"]]
        artifact.manifest = f"/manifest/{artifact.id}"
        return {"createArtifactManifest": {"artifactManifest": self._manifest_node(artifact.id)}}

    @answers("UpdateArtifactManifest")
    def update_manifest(self, told: Variables) -> Tree:
        return {"updateArtifactManifest": {"artifactManifest": self._manifest_node(told["artifactManifestID"])}}

    def _manifest_node(self, name: str) -> Tree:
        return {"id": name, "file": {"id": name, "uploadUrl": f"{self.url}/manifest/{name}", "uploadHeaders": []}}

    @answers("CreateArtifactFiles")
    def create_artifact_files(self, told: Variables) -> Tree:
        nodes = []
        for file in told["input"]["artifactFiles"]:
            path = f"blobs/{base64.b64decode(file['md5']).hex()}"
            nodes.append(
                {
                    "id": "file", "name": file["name"], "displayName": file["name"], "storagePath": path,
                    "uploadUrl": f"{self.url}/{path}", "uploadHeaders": [], "uploadMultipartUrls": None,
                    "artifact": {"id": file["artifactID"]},
                }
            )  # fmt: skip
        return {"createArtifactFiles": {"files": page(nodes)}}

    @answers("CommitArtifact")
    def commit_artifact(self, told: Variables) -> Tree:
        artifact = self.artifacts[told["artifactID"]]
        artifact.state = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}

    @answers("ArtifactByID", "FetchArtifactManifest", "ArtifactManifest")
    def artifact_by_id(self, told: Variables) -> Tree:
        return {"artifact": self.artifact_node(self.artifacts[told.get("id") or told["artifact_id"]])}

    @answers("ArtifactType")
    def artifact_type(self, told: Variables) -> Tree:
        found = self._collection(told["project"], told["name"].partition(":")[0])
        node = {"artifactType": {"name": found[-1].type}} if found else None
        return {"project": {"artifact": node}}

    @answers("ArtifactMembershipByName")
    def artifact_by_name(self, told: Variables) -> Tree:
        name, _, alias = told["name"].partition(":")
        wanted = alias or "latest"
        found = [a for a in self._collection(told["project"], name) if wanted in a.aliases | {a.digest}]
        if not found:
            return {"project": {"artifactCollectionMembership": None}}
        node = self.artifact_node(found[-1])
        membership = {
            "__typename": "ArtifactCollectionMembership", "id": f"membership-{node['id']}", "artifact": node,
            "createdAt": _CREATED, "artifactCollection": node["artifactSequence"],
            "versionIndex": node["versionIndex"], "aliases": node["aliases"],
        }  # fmt: skip
        return {"project": {"artifactCollectionMembership": membership}}

    @answers("GetArtifactMembershipFileUrls")
    def artifact_files(self, told: Variables) -> Tree:
        found = [a for a in self._collection(told["project"], told["collection"]) if told["alias"] in a.aliases]
        nodes = [
            {"__typename": "File", "name": name, "directUrl": self._blob_url(entry)}
            for name, entry in self.contents(found[-1]).items()
        ]
        collection = {"__typename": "ArtifactSequence", "artifactMembership": {"files": page(nodes)}}
        return {"project": {"artifactCollection": collection}}

    @answers("ArtifactFileURLsByManifestEntries")
    def entries(self, told: Variables) -> Tree:
        contents = self.contents(self.artifacts[told["id"]])
        urls = {entry["name"]: self._blob_url(contents[entry["name"]]) for entry in told["entries"]}
        nodes = [{"name": name, "directUrl": url, "url": url} for name, url in urls.items()]
        return {"artifact": {"filesByManifestEntries": page(nodes)}}

    @answers("UseArtifact")
    def use_artifact(self, told: Variables) -> Tree:
        return {"useArtifact": {"artifact": self.artifact_node(self.artifacts[told["input"]["artifactID"]])}}

    def _blob_url(self, entry: Tree) -> str:
        return f"{self.url}/blobs/{_digest(entry)}"


def _digest(entry: Tree) -> str:
    return base64.b64decode(entry["digest"]).hex()
