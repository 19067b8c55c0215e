"""Send a published checkpoint to the Hugging Face Hub or to W&B, for others to load by name."""

from __future__ import annotations

import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.hub.bundle import FILES, verify
from zoo.hub.remote import NO_WANDB, TIMEOUT, HuggingFace, Source, Wandb, first_line, wandb_credentials


@dataclass(frozen=True)
class Plan:
    """What is sent, and where to; as text, a line for each file."""

    ref: str  # to load it by, once it is there
    why: str  # it is only a plan
    where: str
    sizes: Mapping[str, int]  # bytes, by name

    def __str__(self) -> str:
        lines = [f"{size:>12,} B  {name}" for name, size in self.sizes.items()]
        return "\n".join([f"{len(lines)} files to {self.where}:", *lines, f"{sum(self.sizes.values()):>12,} B  in all"])


class Target(ABC):
    """A place to publish to."""

    no_credentials: str  # what to say without them

    def __init__(self, source: Source) -> None:
        if source.revision is not None:
            raise ValueError(
                f"{source.ref}: what is published gets a revision of its own; leave {source.revision!r} out"
            )
        self.source = source

    @abstractmethod
    def where(self, config: Mapping[str, Any]) -> str:
        """The place in words."""

    @abstractmethod
    def signed_in(self) -> bool:
        """Whether there are credentials; asks no server."""

    @abstractmethod
    def send(self, folder: Path, config: Mapping[str, Any]) -> str:
        """Send all files at once; returns the reference to what was sent."""


class Hub(Target):
    """A model repository, made if there is none: one commit on main."""

    no_credentials = "the Hugging Face Hub has no token here: use `hf auth login` or $HF_TOKEN"

    def where(self, config: Mapping[str, Any]) -> str:
        """The repository's address and branch."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{self.source.name}, one commit on main"

    def signed_in(self) -> bool:
        """Whether there is a token, in the environment or from `hf auth login`."""
        from huggingface_hub import get_token

        return get_token() is not None

    def send(self, folder: Path, config: Mapping[str, Any]) -> str:
        """The commit's reference."""
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi()
        files = [CommitOperationAdd(name, folder / name) for name in FILES]
        api.create_repo(self.source.name, exist_ok=True)
        message = f"{config['name']}, version {config['version']}"
        commit = api.create_commit(self.source.name, files, commit_message=message)
        return f"hf:{self.source.name}@{commit.oid}"


class Artifacts(Target):
    """An artifact of type model, whose metadata is the configuration."""

    no_credentials = NO_WANDB

    def where(self, config: Mapping[str, Any]) -> str:
        """The artifact's name and aliases."""
        import wandb

        server = wandb.setup().settings.base_url
        return f"{server}, model {self.source.name} with the aliases {' and '.join(self._aliases(config))}"

    def signed_in(self) -> bool:
        """Whether W&B finds a key, and is not told to stay offline."""
        return wandb_credentials()

    def send(self, folder: Path, config: Mapping[str, Any]) -> str:
        """The version's reference, once W&B has all of it."""
        import wandb

        entity, project, name = self.source.name.split("/")
        artifact = wandb.Artifact(name, type="model", metadata=dict(config))
        for file in FILES:
            artifact.add_file(str(folder / file), file, policy="immutable", skip_cache=True)
        quiet = wandb.Settings(
            silent=True, console="off", disable_code=True, disable_git=True, x_disable_meta=True, x_disable_stats=True,
            x_disable_machine_info=True, x_save_requirements=False, init_timeout=TIMEOUT,
        )  # fmt: skip
        with (
            tempfile.TemporaryDirectory() as scratch,
            wandb.init(
                entity=entity, project=project, name=f"publish {name}", job_type="publish", dir=scratch,
                mode="online", reinit="create_new", settings=quiet,
            ) as run,
        ):  # fmt: skip
            sent = run.log_artifact(artifact, aliases=self._aliases(config)).wait()
        return f"wandb:{self.source.name}:{sent.version}"

    def _aliases(self, config: Mapping[str, Any]) -> list[str]:
        version = str(config["version"])
        if re.fullmatch(r"v\d+", version):
            raise ValueError(
                f"{self.source.ref}: W&B counts versions v0, v1, ... itself: export this one with another "
                f"--version than {version!r}"
            )
        return [version, "latest"]


def publish(
    folder: Path, *, hf: str | None = None, wandb: str | None = None, dry_run: bool | None = None
) -> str | Plan:
    """Publish a folder that `zoo.hub.export.export` made, after verifying it.

    The files of the format are sent in one commit or one artifact, and nothing else of the folder.

    Args:
        folder: a published checkpoint.
        hf: OWNER/REPO of the Hugging Face Hub; it is made, public or as its owner's default is, if there is none.
        wandb: ENTITY/PROJECT/NAME of an artifact of W&B; it has the aliases latest and the checkpoint's version.
        dry_run: send nothing; None is to send nothing where there are no credentials.

    Returns:
        The reference for `zoo.from_pretrained` that always means what was sent; or, of a dry run, what it would send.

    Raises:
        ValueError: for a folder that is no published checkpoint; for another number of places than one; before
            anything is sent, if there are no credentials and `dry_run` is False; where the server refuses.
    """
    folder = Path(folder)
    if hf is not None and wandb is None:
        target: Target = Hub(HuggingFace(f"hf:{hf}", hf))
    elif wandb is not None and hf is None:
        target = Artifacts(Wandb(f"wandb:{wandb}", wandb))
    else:
        raise ValueError("publish to one place: hf=OWNER/REPO or wandb=ENTITY/PROJECT/NAME")
    config = verify(folder)
    where = target.where(config)
    if dry_run or not target.signed_in():
        if dry_run is False:
            raise ValueError(f"{target.source.ref}: {target.no_credentials}")
        sizes = {name: (folder / name).stat().st_size for name in FILES}
        why = "asked for" if dry_run else target.no_credentials
        return Plan(target.source.ref, why, where, sizes)
    try:
        return target.send(folder, config)
    except Exception as error:  # errors of the clients and of the network
        raise ValueError(f"{target.source.ref} is not published: {first_line(error)}") from error
