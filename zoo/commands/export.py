"""Make a published checkpoint of a run's: a folder with safe formats, a card and checksums.

It holds what the run's folder tells of its training, but no paths of this machine and no secrets.
"""

import argparse
from pathlib import Path

from zoo.cli.arguments import positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which checkpoint, where to, and under which name."""
    parser.add_argument("checkpoint", help="a run's folder or .ckpt, or latest (the last run in runs/)")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--name", default=None, help="(default: <variant>-<dataset> of the run)")
    parser.add_argument("--version", default="1", help="other weights are another version (default: %(default)s)")
    parser.add_argument("--samples", type=positive, default=64, help="in the picture (default: %(default)s)")
    parser.add_argument(
        "--seeds", type=Path, nargs="+", default=[], metavar="RUN", help="folders of the same run with other seeds"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an older one in that folder")


def run(chosen: argparse.Namespace) -> None:
    """Export, and say how to load it."""
    from zoo.hub.export import export

    folder = export(
        chosen.checkpoint, chosen.folder, name=chosen.name, version=chosen.version, n_samples=chosen.samples,
        seeds=chosen.seeds, overwrite=chosen.overwrite,
    )  # fmt: skip
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    print(f"{folder}: {size:.2f} MB; zoo.from_pretrained({str(folder.absolute())!r}) loads it")
