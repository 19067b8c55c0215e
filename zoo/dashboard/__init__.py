"""Compare runs in W&B: a workspace and a report on the runs of one data set.

Panels name only what runs log (`zoo.dashboard.keys`). Everything is over kimg, and runs that differ only in their seeds
are taken together by their variant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zoo.cli.errors import first_line
from zoo.dashboard.keys import Keys, features_of
from zoo.hub.remote import NO_WANDB, wandb_credentials


class Dashboard:
    """A workspace and a report, built here and saved only by `save`.

    Args:
        entity: W&B's user or team.
        project: its project.
        data: the name of the data set, as runs have it in `dataset`.
        features: the name of the features in which the quality of its runs is measured; None is what `Quality` takes
            by itself for a data set of configs/data/.

    Raises:
        ValueError: without `features`, for a data set that configs/data/ does not have; without wandb-workspaces.
    """

    def __init__(self, entity: str, project: str, data: str, features: str | None = None) -> None:
        try:
            from zoo.dashboard import views
        except ModuleNotFoundError as error:
            if not str(error.name).startswith("wandb_workspaces"):
                raise
            raise ValueError(
                "a dashboard needs the package wandb-workspaces: pip install 'gan-zoo[dashboard]'"
            ) from None
        self.entity, self.project = entity, project
        keys = Keys(features_of(data) if features is None else features)
        self.workspace = views.workspace(entity, project, data, keys)
        self.report = views.report(entity, project, data, keys)

    def as_json(self) -> dict[str, Any]:
        """What `save` would send; needs neither an account nor the network."""
        from zoo.dashboard.views import spec_of

        return {
            "entity": self.entity,
            "project": self.project,
            "workspace": {"name": self.workspace.name, "spec": spec_of(self.workspace)},
            "report": {"title": self.report.title, "spec": spec_of(self.report)},
        }

    def save(self) -> Iterator[str]:
        """Save both, each under a name of its own every time; yields a line with its address for each that is saved.

        The report comes first, since it makes a project that does not exist yet.

        Raises:
            ValueError: without credentials, or where the server cannot be reached or refuses.
        """
        import wandb

        if not wandb_credentials():
            raise ValueError(f"{NO_WANDB}; --dry-run FILE needs none")
        server = wandb.setup().settings.base_url
        for kind, view in (("report", self.report), ("workspace", self.workspace)):
            try:
                view.save()
            except Exception as error:  # of W&B's client, its service and wandb-workspaces: a dozen classes
                place = f"{self.entity}/{self.project}"
                raise ValueError(f"{server} did not take the {kind} for {place}: {first_line(error)}") from error
            yield f"{kind}: {view.url}"
