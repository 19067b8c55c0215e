"""Published checkpoints from the Hugging Face Hub and from W&B, brought into the user's cache."""

from __future__ import annotations

import os
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lightning.pytorch.utilities import rank_zero_info

from zoo.hub.bundle import FILES, verify
from zoo.metrics.features.memory import cache_folder

LIMIT = "GAN_ZOO_DOWNLOAD_LIMIT"
_DEFAULT_LIMIT = 1024  # MB
TIMEOUT = 20  # seconds for a server to answer
_NAME = r"\w[\w.-]*"  # neither "." nor "..": names become folders
_COMMIT = re.compile("[0-9a-f]{40}")
FORMS = "hf:OWNER/REPO[@REVISION] or wandb:ENTITY/PROJECT/NAME[:ALIAS]"
NO_WANDB = "W&B has no credentials here, or $WANDB_MODE is offline: use `wandb login` or $WANDB_API_KEY"


@dataclass(frozen=True)
class Version:
    """A published checkpoint as it will always be, as its server lists it."""

    folder: Path  # its place in the cache
    sizes: dict[str, int | None]  # bytes of all of its files, by name
    get: Callable[[str, Path], object]  # downloads the file of a name into a folder


class Source(ABC):
    """What a reference to a server says.

    Args:
        ref: all of it, for messages.
        name: what comes after its scheme.

    Raises:
        ValueError: for a name of another form.
    """

    form: str  # of a name, as a regular expression

    def __init__(self, ref: str, name: str) -> None:
        match = re.fullmatch(self.form, name, re.ASCII)
        if match is None:
            raise ValueError(f"{ref!r} is no reference to a published checkpoint: write {FORMS}")
        self.ref = ref
        self.name, self.revision = match["name"], match["revision"]

    @abstractmethod
    def kept(self) -> Path | None:
        """The folder in the cache, if the reference always means one version and that is there; asks no server."""

    @abstractmethod
    def find(self) -> Version:
        """What the server has under this reference; ValueError if it has nothing, or will not say."""

    @abstractmethod
    def pinned(self, folder: Path) -> str:
        """The reference that always means the version in this folder of the cache."""

    def place(self, server: str) -> Path:
        """Where the cache keeps the versions of this name on a server."""
        return cache_folder() / "pretrained" / urlsplit(server).netloc.replace(":", "_") / self.name

    def unreachable(self, server: str, error: Exception) -> ValueError:
        """The error to raise, with what can be had without the server."""
        kept = ", ".join(self.pinned(folder) for folder in sorted(self.place(server).glob("[!.]*")))
        way_out = f"; the cache has {kept}" if kept else ""
        return ValueError(f"{self.ref}: {server} cannot be reached, or keeps you out: {first_line(error)}{way_out}")


class HuggingFace(Source):
    """OWNER/REPO[@REVISION]: a branch, a tag or a commit; main if none is given."""

    form = rf"(?P<name>{_NAME}/{_NAME})(?:@(?P<revision>[^@]+))?"

    def kept(self) -> Path | None:
        """A commit is known by its 40 digits."""
        from huggingface_hub import constants

        folder = self.place(constants.ENDPOINT) / (self.revision or "main")
        return folder if _COMMIT.fullmatch(folder.name) and folder.is_dir() else None

    def pinned(self, folder: Path) -> str:
        """By its commit."""
        return f"hf:{self.name}@{folder.name}"

    def find(self) -> Version:
        """The commit, from the Hub or $HF_ENDPOINT; a token is used where there is one."""
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        api = HfApi()
        way_in = "your token does not open it" if get_token() else "`hf auth login` or $HF_TOKEN opens it"
        try:
            info = api.model_info(self.name, revision=self.revision, timeout=TIMEOUT, files_metadata=True)
        except GatedRepoError as error:
            raise ValueError(f"{self.ref}: its owner lets in whom they know, and {way_in}") from error
        except RepositoryNotFoundError as error:
            raise ValueError(f"{self.ref}: no such model at {api.endpoint}, or it is private and {way_in}") from error
        except RevisionNotFoundError as error:
            raise ValueError(f"{self.ref}: {self.name} has no revision {self.revision!r}") from error
        except Exception as error:  # of whichever HTTP library the client stands on
            raise self.unreachable(api.endpoint, error) from error
        commit = str(info.sha)
        if not _COMMIT.fullmatch(commit):
            raise ValueError(f"{self.ref}: {api.endpoint} names {commit!r} as its commit")

        def get(name: str, folder: Path) -> object:
            return api.hf_hub_download(self.name, name, revision=commit, local_dir=folder)

        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        return Version(self.place(api.endpoint) / commit, sizes, get)


class Wandb(Source):
    """ENTITY/PROJECT/NAME[:ALIAS]: an artifact of type model; an alias or a version v0, v1, ...; latest if none."""

    form = rf"(?P<name>{_NAME}/{_NAME}/{_NAME})(?::(?P<revision>[^/:]+))?"

    def kept(self) -> Path | None:
        """A version is known by its number, while the cache has seen no other artifact of that name and number."""
        import wandb

        if not re.fullmatch(r"v\d+", self.revision or ""):
            return None
        found = list(self.place(wandb.setup().settings.base_url).glob(f"{self.revision}-*"))
        return found[0] if len(found) == 1 else None

    def pinned(self, folder: Path) -> str:
        """By its version."""
        return f"wandb:{self.name}:{folder.name.partition('-')[0]}"

    def find(self) -> Version:
        """The version, from W&B or $WANDB_BASE_URL; needs credentials, and asks for none."""
        import wandb

        if not wandb_credentials():
            raise ValueError(f"{self.ref}: {NO_WANDB}")
        server = wandb.setup().settings.base_url
        try:
            api = wandb.Api(timeout=TIMEOUT)
        except Exception as error:  # of the client and of its service
            raise self.unreachable(server, error) from error
        try:
            artifact = api.artifact(f"{self.name}:{self.revision or 'latest'}", type="model")
            entries = artifact.manifest.entries
        except Exception as error:  # not found, forbidden and cut off are errors of a dozen classes
            raise ValueError(f"{self.ref}: {server} shows no such model: {first_line(error)}") from error
        elsewhere = [name for name in FILES if name in entries and entries[name].ref is not None]
        if elsewhere:
            raise ValueError(f"{self.ref}: {', '.join(elsewhere)} is only a reference to another place")
        version = f"{artifact.version}-{artifact.digest}"
        if not re.fullmatch(r"v\d+-\w+", version, re.ASCII):
            raise ValueError(f"{self.ref}: {server} names {version!r} as its version")

        def get(name: str, folder: Path) -> object:
            return artifact.get_entry(name).download(root=str(folder), skip_cache=True)

        return Version(self.place(server) / version, {str(name): entry.size for name, entry in entries.items()}, get)


SOURCES: dict[str, type[Source]] = {"hf": HuggingFace, "wandb": Wandb}


def fetch(ref: str) -> Path:
    """The folder of a published checkpoint, complete and verified, in the cache ($GAN_ZOO_CACHE).

    Of what a server has, only the files of the format are downloaded, by name, and no more than $GAN_ZOO_DOWNLOAD_LIMIT
    MB of them (1024 if unset). They are verified before they get their place in the cache, which is that of one commit
    or version: a reference to a commit or a version is asked for once, any other every time.

    Args:
        ref: "hf:OWNER/REPO[@REVISION]", main if no revision is given, or "wandb:ENTITY/PROJECT/NAME[:ALIAS]", latest
            if no alias is given.

    Raises:
        ValueError: for a reference of another form; where the server cannot be reached, knows no such checkpoint or
            does not show it; where files are missing, too large, or not what their checksums say.
    """
    scheme, _, name = ref.partition(":")
    if scheme not in SOURCES:
        raise ValueError(f"{ref!r} is no reference to a server: write {FORMS}")
    source = SOURCES[scheme](ref, name)
    folder = source.kept()
    if folder is None:
        version = source.find()
        folder = version.folder
        if not folder.is_dir():
            _download(ref, version)
        rank_zero_info(f"{ref} is {source.pinned(folder)}")
    try:
        verify(folder)
    except ValueError as error:
        raise ValueError(f"{ref}: its copy in the cache is damaged ({error}); delete {folder}") from error
    return folder


def _download(ref: str, version: Version) -> None:
    """All files, or none, at the version's place."""
    _refuse(ref, version)
    parent = version.folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".") as scratch:
        incoming, whole = Path(scratch, "incoming"), Path(scratch, "whole")
        incoming.mkdir()
        whole.mkdir()
        for name in FILES:
            try:
                version.get(name, incoming)
            except Exception as error:  # errors of the client and of the network
                raise ValueError(f"{ref}: {name} cannot be downloaded: {first_line(error)}") from error
            (incoming / name).rename(whole / name)  # clients leave notes of their own beside it
        try:
            verify(whole)
        except ValueError as error:
            raise ValueError(f"{ref}: {str(error).replace(f'{whole}{os.sep}', '')}") from error
        try:
            whole.rename(version.folder)
        except OSError:
            if not version.folder.is_dir():  # else another process was first, with the same files
                raise


def _refuse(ref: str, version: Version) -> None:
    """ValueError for what is not worth a download."""
    missing = [name for name in FILES if name not in version.sizes]
    if missing:
        raise ValueError(f"{ref} is no checkpoint that the zoo published: it has no {', '.join(missing)}")
    told = os.environ.get(LIMIT) or str(_DEFAULT_LIMIT)
    if not told.isdecimal():
        raise ValueError(f"{LIMIT}={told!r} is no number of MB")
    sizes = [version.sizes[name] for name in FILES]
    total = sum(size or 0 for size in sizes) / 1e6
    if None in sizes or total > int(told):
        size = "of unknown size" if None in sizes else f"{total:.0f} MB"
        raise ValueError(
            f"{ref} is {size}, more than the {told} MB that ${LIMIT} allows; raise it if you trust the source"
        )


def wandb_credentials() -> bool:
    """Whether W&B's client has credentials; asks nobody and uses no network."""
    import wandb

    try:
        return bool(wandb.login(prompt=False, verify=False))
    except (wandb.Error, ValueError) as error:
        raise ValueError(f"W&B cannot use the credentials it found: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first words of a message, or its kind."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
