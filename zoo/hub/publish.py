"""Send a published checkpoint to the Hugging Face Hub or to W&B."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.cli.errors import first_line
from zoo.hub import space
from zoo.hub.bundle import FILES, verify
from zoo.hub.remote import NO_WANDB, TIMEOUT, Reference, parse, wandb_credentials

NO_HUB = "the Hugging Face Hub has no token here: use `hf auth login` or $HF_TOKEN"


@dataclass(frozen=True)
class Plan:
    """An upload that was not made; as text, a line a file."""

    ref: str  # it would be loaded by
    why: str  # nothing was sent
    where: str
    sizes: Mapping[str, int]  # bytes, by name

    def __str__(self) -> str:
        lines = [f"{size:>12,} B  {name}" for name, size in self.sizes.items()]
        return "\n".join([f"{len(lines)} files to {self.where}:", *lines, f"{sum(self.sizes.values()):>12,} B  in all"])


def publish(
    folder: Path, *, hf: str | None = None, wandb: str | None = None, dry_run: bool | None = None
) -> str | Plan:
    """Publish a folder that `zoo.hub.export.export` made, after verifying it.

    The files of the format are sent in one commit or one artifact, to the Hub also those of `zoo.hub.space`, and
    nothing else of the folder.

    Args:
        folder: a published checkpoint.
        hf: OWNER/REPO of the Hugging Face Hub; it is made, public or as its owner's default is, if there is none.
        wandb: ENTITY/PROJECT/NAME of an artifact of W&B; it has the aliases latest and the checkpoint's version.
        dry_run: send nothing; None is to send nothing where there are no credentials.

    Returns:
        The reference for `zoo.from_pretrained` to this commit or version; of a dry run, its :class:`Plan`.

    Raises:
        ValueError: for a folder that is no published checkpoint; for another number of places than one; before
            anything is sent, if there are no credentials and `dry_run` is False; where the server refuses.
    """
    if (hf is None) == (wandb is None):
        raise ValueError("publish to one place: hf=OWNER/REPO or wandb=ENTITY/PROJECT/NAME")
    folder = Path(folder)
    ref = parse(f"wandb:{wandb}" if hf is None else f"hf:{hf}")
    if ref.revision is not None:
        raise ValueError(f"{ref}: the server names the revision of an upload; leave {ref.revision!r} out")
    config = verify(folder)
    if ref.scheme == "hf":
        from huggingface_hub import constants, get_token

        where, signed_in, lacking = f"{constants.ENDPOINT}/{ref.name}, one commit on main", bool(get_token()), NO_HUB
    else:
        import wandb as client

        aliases = " and ".join(_aliases(ref, config))
        where = f"{client.setup().settings.base_url}, model {ref.name} with the aliases {aliases}"
        signed_in, lacking = wandb_credentials(), NO_WANDB
    if dry_run or not signed_in:
        if dry_run is False:
            raise ValueError(f"{ref}: {lacking}")
        names = [*FILES, *(space.sent(folder) if ref.scheme == "hf" else ())]
        sizes = {name: (folder / name).stat().st_size for name in names}
        return Plan(str(ref), "asked for" if dry_run else lacking, where, sizes)
    try:
        return str((_to_hub if ref.scheme == "hf" else _to_wandb)(ref, folder, config))
    except Exception as error:  # errors of the clients and of the network
        raise ValueError(f"{ref} is not published: {first_line(error)}") from error


def _to_hub(ref: Reference, folder: Path, config: Mapping[str, Any]) -> Reference:
    """One commit on main of a model repository."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(ref.name, exist_ok=True)
    commit = api.upload_folder(
        repo_id=ref.name, folder_path=folder, allow_patterns=[*FILES, *space.FILES],
        commit_message=f"{config['name']}, version {config['version']}",
    )  # fmt: skip
    return ref._replace(revision=commit.oid)


def _to_wandb(ref: Reference, folder: Path, config: Mapping[str, Any]) -> Reference:
    """An artifact of type model, whose metadata is the configuration, once W&B has all of it."""
    import wandb

    entity, project, name = ref.name.split("/")
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
        return ref._replace(revision=run.log_artifact(artifact, aliases=_aliases(ref, config)).wait().version)


def _aliases(ref: Reference, config: Mapping[str, Any]) -> list[str]:
    version = str(config["version"])
    if re.fullmatch(r"v\d+", version):
        raise ValueError(
            f"{ref}: W&B counts versions v0, v1, ... itself: export this one with another --version than {version!r}"
        )
    return [version, "latest"]
