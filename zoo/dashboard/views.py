"""The panels of a dashboard, and the workspace and the report that hold them, with wandb-workspaces."""

from __future__ import annotations

import json
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from zoo.dashboard.keys import Keys, Settings

_GROUPS = 50  # lines or bars of a panel; W&B's own limit is 10
_WIDTH = 24  # of a report, in W&B's units


def workspace(entity: str, project: str, data: str, keys: Keys) -> ws.Workspace:
    """All sections over kimg; the table of runs is grouped by variant, the best first."""
    columns = [f"config:{name}.value" for name in (Settings.variant, Settings.seed)]
    columns += [f"summary:{name}" for name in (keys.best, keys.score, keys.kimg)]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"GAN zoo: {data}",
        sections=[
            ws.Section(
                name,
                panels=panels,
                is_open=True,
                layout_settings=ws.SectionLayoutSettings(columns=min(3, len(panels))),
                panel_settings=ws.SectionPanelSettings(x_axis=keys.kimg),
            )
            for name, panels in sections(keys).items()
        ],
        settings=ws.WorkspaceSettings(x_axis=keys.kimg, max_runs=_GROUPS),
        runset_settings=ws.RunsetSettings(
            filters=_on(data),
            groupby=[ws.Config(Settings.variant)],
            order=[ws.Ordering(ws.Summary(keys.best), ascending=True)],
            pinned_columns=columns,
        ),
    )


def report(entity: str, project: str, data: str, keys: Keys) -> wr.Report:
    """The same sections, one after the other."""
    blocks: list[Any] = [wr.TableOfContents()]
    for name, panels in sections(keys).items():
        runs = wr.Runset(name=data, filters=_on(data))  # of the report's own project
        blocks += [wr.H1(name), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(
        entity=entity, project=project, title=f"GAN variants on {data}",
        description="Lines and bars are means over the runs of a variant, with their lowest and highest.",
        blocks=blocks, width="fluid",
    )  # fmt: skip


def sections(keys: Keys) -> dict[str, list[Any]]:
    """New panels, by the names of their sections."""
    return {
        "Quality": [
            _curve(f"{keys.score} (lower is better)", keys.score, log_y=True),
            _bars(f"Best {keys.score}", keys.best),
            _bars(f"Final {keys.score}", keys.score),
            _curve("Precision: samples that look real", keys.precision),
            _curve("Recall: real images that can be made", keys.recall),
            _curve("Coverage: real images with a sample nearby", keys.coverage),
        ],
        "Samples": [
            wr.MediaBrowser(
                title="The same latents as training goes on",
                media_keys=[keys.samples],
                mode="grid",
                grid_x_axis="step",
                grid_y_axis="run",
                layout=wr.Layout(w=_WIDTH, h=12),
            )
        ],
        "Stability": [
            _curve("Loss of D", keys.d_loss),
            _curve("Loss of G", keys.g_loss),
            _curve("Learning rates", keys.d_rate, keys.g_rate),
        ],
        "Hyper-parameters": [
            wr.ParallelCoordinatesPlot(
                title="What the best runs have in common",
                columns=[
                    wr.ParallelCoordinatesPlotColumn(wr.Config(Settings.variant)),
                    wr.ParallelCoordinatesPlotColumn(wr.Config(Settings.batch_size)),
                    wr.ParallelCoordinatesPlotColumn(wr.Config(Settings.d_rate), log=True),
                    wr.ParallelCoordinatesPlotColumn(wr.Config(Settings.g_rate), log=True),
                    wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(keys.best), log=True, inverted=True),
                ],
                layout=wr.Layout(w=_WIDTH * 2 // 3, h=8),
            ),
            wr.ParameterImportancePlot(
                with_respect_to=keys.best, layout=wr.Layout(x=_WIDTH * 2 // 3, w=_WIDTH // 3, h=8)
            ),
            wr.RunComparer(diff_only="split", layout=wr.Layout(y=8, w=_WIDTH, h=10)),
        ],
    }


def spec_of(view: ws.Workspace | wr.Report) -> dict[str, Any]:
    """What `view.save()` sends, which wandb-workspaces shows only in private."""
    text = view._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    spec: dict[str, Any] = json.loads(text)
    return spec


def _on(data: str) -> str:
    """Which runs are shown, in the language of W&B's filters."""
    return f"Config('{Settings.dataset}') = {data!r}"


def _curve(title: str, *metrics: str, log_y: bool = False) -> wr.LinePlot:
    """Over kimg, a line a variant."""
    return wr.LinePlot(
        title=title, x=Keys.kimg, y=list(metrics), title_x="kimg", log_y=log_y, max_runs_to_show=_GROUPS,
        **_over_seeds(),
    )  # fmt: skip


def _bars(title: str, metric: str) -> wr.BarPlot:
    """A bar a variant."""
    return wr.BarPlot(
        title=title, metrics=[wr.SummaryMetric(metric)], max_runs_to_show=_GROUPS, max_bars_to_show=_GROUPS,
        **_over_seeds(),
    )  # fmt: skip


def _over_seeds() -> dict[str, Any]:
    """Runs of a variant are their mean, with a band from the lowest to the highest."""
    return {"groupby": wr.Config(Settings.variant), "groupby_aggfunc": "mean", "groupby_rangefunc": "minmax"}
