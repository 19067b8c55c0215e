"""Compare runs in W&B: make a workspace and a report on the runs of one data set.

It needs `pip install 'gan-zoo[dashboard]'`. Every call makes new ones; delete the old ones in W&B.
"""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whose runs, on what, and where the result goes."""
    parser.add_argument("--entity", required=True, help="W&B's user or team")
    parser.add_argument("--project", required=True, help="its project; gan-zoo unless the runs set another")
    parser.add_argument("--data", default="digits", help="the runs' dataset (default: %(default)s)")
    parser.add_argument(
        "--features", default=None, help="S of the runs' scores fd/S (default: what suits the data of configs/data/)"
    )
    parser.add_argument(
        "--dry-run", type=Path, default=None, metavar="FILE", help="write both to FILE, as JSON, and ask no server"
    )


def run(chosen: argparse.Namespace) -> None:
    """Write the file, or save both and print their addresses."""
    import json

    from zoo.dashboard import Dashboard

    dashboard = Dashboard(chosen.entity, chosen.project, chosen.data, chosen.features)
    if chosen.dry_run is not None:
        chosen.dry_run.parent.mkdir(parents=True, exist_ok=True)
        chosen.dry_run.write_text(json.dumps(dashboard.as_json(), indent=1), encoding="utf-8")
        print(f"dry run: nothing is saved; the workspace and the report are in {chosen.dry_run}")
        return
    for saved in dashboard.save():
        print(saved, flush=True)
