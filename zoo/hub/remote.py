"""Published checkpoints from the Hugging Face Hub and from W&B, in the user's cache."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from lightning.pytorch.utilities import rank_zero_info

from zoo.cli.errors import first_line
from zoo.hub.bundle import FILES, verify
from zoo.metrics.features.memory import cache_folder

LIMIT = "GAN_ZOO_DOWNLOAD_LIMIT"
TIMEOUT = 20  # seconds for a server's answer
FORMS = "hf:OWNER/REPO[@REVISION] or wandb:ENTITY/PROJECT/NAME[:ALIAS]"
NO_WANDB = "W&B has no credentials here, or $WANDB_MODE is offline: use `wandb login` or $WANDB_API_KEY"
_DEFAULT_LIMIT = 1024  # MB
_NAME = r"\w[\w.-]*"  # neither "." nor "..": names become folders
_PATTERNS = {
    "hf": rf"(?P<name>{_NAME}/{_NAME})(?:@(?P<revision>[^@]+))?",
    "wandb": rf"(?P<name>{_NAME}/{_NAME}/{_NAME})(?::(?P<revision>[^/:]+))?",
}


class Reference(NamedTuple):
    """A checkpoint on a server."""

    scheme: str  # "hf" or "wandb"
    name: str  # OWNER/REPO or ENTITY/PROJECT/NAME
    revision: str | None  # a branch, tag or commit; an alias or version

    def __str__(self) -> str:
        separator = "@" if self.scheme == "hf" else ":"
        return f"{self.scheme}:{self.name}" + (f"{separator}{self.revision}" if self.revision else "")

    def place(self, server: str) -> Path:
        """The cache's folder for all versions of this name."""
        return cache_folder() / "pretrained" / urlsplit(server).netloc.replace(":", "_") / self.name

    def at(self, folder: Path) -> Reference:
        """The reference to the version in a folder of the cache."""
        return self._replace(revision=folder.name.partition("-")[0])

    def unavailable(self, server: str, error: Exception) -> ValueError:
        """The error for a server without an answer, with the versions in the cache."""
        kept = ", ".join(str(self.at(folder)) for folder in sorted(self.place(server).glob("*")) if _is_whole(folder))
        return ValueError(
            f"{self}: {server} cannot be reached, keeps you out, or shows no such model: {first_line(error)}"
            + (f"; the cache has {kept}" if kept else "")
        )


def parse(text: str) -> Reference:
    """The parts of :data:`FORMS`; ValueError for another form."""
    scheme, _, name = text.partition(":")
    match = re.fullmatch(_PATTERNS.get(scheme, "(?!)"), name, re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is no reference to a published checkpoint: write {FORMS}")
    return Reference(scheme, match["name"], match["revision"])


def fetch(text: str) -> Path:
    """The folder of a published checkpoint, complete and verified, in the cache ($GAN_ZOO_CACHE).

    Only the files of the format are downloaded, and no more than $GAN_ZOO_DOWNLOAD_LIMIT MB of them (1024 if unset).
    Each commit or version has its own folder. A commit or version that is there needs no server; for any other
    reference, the server is asked every time.

    Args:
        text: "hf:OWNER/REPO[@REVISION]", by default main, or "wandb:ENTITY/PROJECT/NAME[:ALIAS]", by default latest.

    Raises:
        ValueError: for a reference of another form; where the server cannot be reached, or has or shows no such
            checkpoint; where files are missing, too large, or differ from their checksums, which are deleted then.
    """
    ref = parse(text)
    folder = _from_hub(ref) if ref.scheme == "hf" else _from_wandb(ref)
    try:
        verify(folder)
    except ValueError as error:
        for name in FILES:  # or the next call would find them in place
            (folder / name).unlink(missing_ok=True)
        raise ValueError(f"{ref}: {str(error).replace(f'{folder}{os.sep}', '')}") from error
    return folder


def _from_hub(ref: Reference) -> Path:
    from huggingface_hub import HfApi, constants, get_token, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    server = constants.ENDPOINT
    if _is_commit(ref.revision) and _is_whole(kept := ref.place(server) / str(ref.revision)):
        return kept
    way_in = "your token does not open it" if get_token() else "`hf auth login` or $HF_TOKEN opens it"
    try:
        info = HfApi().model_info(ref.name, revision=ref.revision, timeout=TIMEOUT, files_metadata=True)
    except GatedRepoError as error:
        raise ValueError(f"{ref}: its owner gives access on request, and {way_in}") from error
    except RepositoryNotFoundError as error:
        raise ValueError(f"{ref}: no such model at {server}, or it is private and {way_in}") from error
    except RevisionNotFoundError as error:
        raise ValueError(f"{ref}: {ref.name} has no revision {ref.revision!r}") from error
    except Exception as error:  # of the HTTP library below
        raise ref.unavailable(server, error) from error
    if not _is_commit(info.sha):
        raise ValueError(f"{ref}: {server} names {info.sha!r} as its commit")
    _check_sizes(ref, {file.rfilename: file.size for file in info.siblings or ()})
    folder = ref.place(server) / str(info.sha)
    try:
        snapshot_download(ref.name, revision=info.sha, local_dir=folder, allow_patterns=list(FILES))
    except Exception as error:
        raise ValueError(f"{ref} cannot be downloaded: {first_line(error)}") from error
    rank_zero_info(f"{ref} is {ref.at(folder)}")
    return folder


def _from_wandb(ref: Reference) -> Path:
    import wandb

    server = wandb.setup().settings.base_url
    if re.fullmatch(r"v\d+", ref.revision or ""):
        kept = [folder for folder in ref.place(server).glob(f"{ref.revision}-*") if _is_whole(folder)]
        if len(kept) == 1:  # two are of artifacts that had one name after another
            return kept[0]
    if not wandb_credentials():
        raise ValueError(f"{ref}: {NO_WANDB}")
    try:
        artifact = wandb.Api(timeout=TIMEOUT).artifact(f"{ref.name}:{ref.revision or 'latest'}", type="model")
        entries = artifact.manifest.entries
    except Exception as error:  # not found, forbidden and cut off are errors of a dozen classes
        raise ref.unavailable(server, error) from error
    elsewhere = [name for name in FILES if name in entries and entries[name].ref is not None]
    if elsewhere:
        raise ValueError(f"{ref}: {', '.join(elsewhere)} is only a reference to another place")
    version = f"{artifact.version}-{artifact.digest}"
    if not re.fullmatch(r"v\d+-\w+", version, re.ASCII):
        raise ValueError(f"{ref}: {server} names {version!r} as its version")
    _check_sizes(ref, {str(name): entry.size for name, entry in entries.items()})
    folder = ref.place(server) / version
    try:
        for name in FILES:  # artifact.download() would bring all that others put beside them
            artifact.get_entry(name).download(root=str(folder), skip_cache=True)
    except Exception as error:
        raise ValueError(f"{ref} cannot be downloaded: {first_line(error)}") from error
    rank_zero_info(f"{ref} is {ref.at(folder)}")
    return folder


def _is_commit(revision: str | None) -> bool:
    return re.fullmatch("[0-9a-f]{40}", revision or "") is not None


def _is_whole(folder: Path) -> bool:
    """Whether all files are there, of which each was moved into place complete."""
    return all((folder / name).is_file() for name in FILES)


def _check_sizes(ref: Reference, sizes: Mapping[str, int | None]) -> None:
    """ValueError for a list of files, with their bytes, that lacks some or exceeds the limit."""
    missing = [name for name in FILES if name not in sizes]
    if missing:
        raise ValueError(f"{ref} is no checkpoint that the zoo published: it has no {', '.join(missing)}")
    limit = os.environ.get(LIMIT) or str(_DEFAULT_LIMIT)
    if not limit.isdecimal():
        raise ValueError(f"{LIMIT}={limit!r} is no number of MB")
    unknown = any(sizes[name] is None for name in FILES)
    total = sum(sizes[name] or 0 for name in FILES) / 1e6
    if unknown or total > int(limit):
        size = "of unknown size" if unknown else f"{total:.0f} MB"
        raise ValueError(
            f"{ref} is {size}, more than the {limit} MB that ${LIMIT} allows; raise it if you trust the source"
        )


def wandb_credentials() -> bool:
    """Whether W&B's client has credentials; neither a prompt nor the network is used."""
    import wandb

    try:
        return bool(wandb.login(prompt=False, verify=False))
    except (wandb.Error, ValueError) as error:
        raise ValueError(f"W&B cannot use the credentials it found: {first_line(error)}") from error
