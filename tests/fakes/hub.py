"""In place of the clients of the Hugging Face Hub and of W&B: published checkpoints in memory."""

from __future__ import annotations

from fnmatch import fnmatch
from hashlib import sha1
from pathlib import Path
from types import SimpleNamespace as Space
from typing import Any

import pytest
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

Files = dict[str, bytes]


def _error(kind: type[Exception]) -> Exception:
    return kind("no", response=Space(headers={}, request=None))


class Hub:
    """`HfApi` and `snapshot_download` for `repos`: commits by their sha, oldest first, of which main is the last.

    `sizes` are told in place of files' own; a bit is flipped in the file `damaged`; `calls` are the methods called.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.repos: dict[str, dict[str, Files]] = {}
        self.sizes: dict[str, int | None] = {}
        self.damaged = ""
        self.calls: list[str] = []
        self.down: Exception | None = None
        patch.setattr("huggingface_hub.HfApi", lambda: self)
        patch.setattr("huggingface_hub.snapshot_download", self.snapshot_download)

    def add(self, name: str, files: Files) -> str:
        """A new commit's sha."""
        sha = sha1(repr((name, len(self.repos.get(name, ())), sorted(files))).encode()).hexdigest()
        self.repos.setdefault(name, {})[sha] = dict(files)
        return sha

    def model_info(self, name: str, *, revision: str | None, timeout: float, files_metadata: bool) -> Space:
        self.calls.append("model_info")
        assert files_metadata
        if self.down is not None:
            raise self.down
        if name not in self.repos:
            raise _error(RepositoryNotFoundError)
        commits = self.repos[name]
        sha = list(commits)[-1] if revision in (None, "main") else revision
        if sha not in commits:
            raise _error(RevisionNotFoundError)
        siblings = [Space(rfilename=n, size=self.sizes.get(n, len(data))) for n, data in commits[sha].items()]
        return Space(sha=sha, siblings=siblings)

    def snapshot_download(self, name: str, *, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        self.calls.append("snapshot_download")
        for file, data in self.repos[name][revision].items():
            if any(fnmatch(file, pattern) for pattern in allow_patterns) and not (local_dir / file).exists():
                write(local_dir, file, data, self.damaged == file)
        (local_dir / ".cache").mkdir(exist_ok=True)  # where the client keeps its notes

    def create_repo(self, name: str, *, exist_ok: bool) -> None:
        self.calls.append("create_repo")
        if self.down is not None:
            raise self.down
        assert exist_ok or name not in self.repos

    def upload_folder(
        self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], commit_message: str
    ) -> Space:
        self.calls.append(commit_message)
        names = [path.name for path in folder_path.iterdir()]
        sent = [name for name in names if any(fnmatch(name, pattern) for pattern in allow_patterns)]
        return Space(oid=self.add(repo_id, {name: (folder_path / name).read_bytes() for name in sent}))


class Models:
    """`wandb.Api` for artifacts by NAME:ALIAS; `Run` takes the place of what `wandb.init` starts."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.artifacts: dict[str, Space] = {}
        self.key = True
        self.settings: Any = None
        patch.setattr("wandb.login", lambda **options: self.key)
        patch.setattr("wandb.Api", lambda **options: self)
        patch.setattr("wandb.init", self.init)

    def add(self, name: str, files: Files, *aliases: str, **claims: dict[str, Any]) -> Space:
        """A new version under all its names; `claims` alter what is told of files, by their stems."""
        version = f"v{sum(key.startswith(f'{name}:v') for key in self.artifacts)}"
        entries = {
            file: Space(
                **{"ref": None, "size": len(data), **claims.get(Path(file).stem, {})}, download=_get(file, data)
            )
            for file, data in files.items()
        }
        digest = sha1(repr(sorted(files.items())).encode()).hexdigest()
        made = Space(version=version, digest=digest, manifest=Space(entries=entries), get_entry=entries.__getitem__)
        self.artifacts |= {f"{name}:{alias}": made for alias in (version, *aliases, "latest")}
        return made

    def artifact(self, name: str, *, type: str) -> Space:
        assert type == "model"
        if name not in self.artifacts:
            raise ValueError(f"artifact membership '{name}' not found\nin a second line")
        return self.artifacts[name]

    def init(self, *, entity: str, project: str, mode: str, settings: Any, **options: Any) -> Run:
        assert mode == "online"
        self.settings = settings
        return Run(self, f"{entity}/{project}")


class Run:
    """A context in which artifacts are logged."""

    def __init__(self, models: Models, project: str) -> None:
        self.models, self.project = models, project

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def log_artifact(self, artifact: Any, *, aliases: list[str]) -> Space:
        files = {name: Path(entry.local_path).read_bytes() for name, entry in artifact.manifest.entries.items()}
        made = self.models.add(f"{self.project}/{artifact.name}", files, *aliases)
        made.metadata, made.type = artifact.metadata, artifact.type
        return Space(wait=lambda: made)


def _get(name: str, data: bytes) -> Any:
    def download(*, root: str, skip_cache: bool) -> None:
        write(Path(root), name, data)

    return download


def write(folder: Path, name: str, data: bytes, damaged: bool = False) -> None:
    """A file, with a bit flipped in its middle."""
    folder.mkdir(parents=True, exist_ok=True)
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    (folder / name).write_bytes(flipped if damaged else data)
