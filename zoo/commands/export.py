"""Make a published checkpoint of a run's: a folder with safe formats, a card and checksums; or a generator's graph.

The folder holds what the run's folder tells of its training, but no paths of this machine and no secrets. A name that
ends in .onnx (with the extra onnx) or .pt2 (torch.export) is the averaged generator alone, from z to images in [0, 1].
"""

import argparse
from pathlib import Path

from zoo.cli.arguments import add_trained_gan, positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which checkpoint, where to, and under which name."""
    add_trained_gan(parser)
    parser.add_argument("output", type=Path, help="a new folder, or a file that ends in .onnx or .pt2")
    parser.add_argument("--overwrite", action="store_true", help="replace an older one")
    parser.add_argument("--uint8", action="store_true", help="of a graph: images are uint8")
    parser.add_argument("--name", default=None, help="of a folder (default: <variant>-<dataset> of the run)")
    parser.add_argument("--version", default=None, help="of a folder: other weights are another version (default: 1)")
    parser.add_argument("--samples", type=positive, default=None, help="in a folder's picture (default: 64)")
    parser.add_argument(
        "--seeds", type=Path, nargs="+", default=[], metavar="RUN", help="of a folder: the same run with other seeds"
    )


def run(chosen: argparse.Namespace) -> None:
    """Export, and say how to load it."""
    from zoo.hub.graph import FORMATS

    graph = chosen.output.suffix in FORMATS
    others = ("name", "version", "samples", "seeds") if graph else ("uint8", "trust")
    given = [f"--{name}" for name in others if getattr(chosen, name)]
    if given:
        raise ValueError(f"{given[0]} is not of {'a graph' if graph else 'a folder'}, and {chosen.output} is one")
    (_graph if graph else _folder)(chosen)


def _graph(chosen: argparse.Namespace) -> None:
    from zoo.hub.graph import export_graph
    from zoo.hub.pretrained import trained

    if chosen.output.exists() and not chosen.overwrite:
        raise ValueError(f"{chosen.output} exists; use --overwrite to replace it")
    gan = trained(chosen.ref, trust=chosen.trust)
    path = export_graph(gan, chosen.output, uint8=chosen.uint8)
    inputs = "z" if gan.num_classes is None else "z and labels"
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, from {inputs} to {'uint8' if chosen.uint8 else 'float32'}; "
          "its output equals torch's")  # fmt: skip


def _folder(chosen: argparse.Namespace) -> None:
    from zoo.hub.export import export

    folder = export(
        chosen.ref, chosen.output, name=chosen.name, version=chosen.version or "1", n_samples=chosen.samples or 64,
        seeds=chosen.seeds, overwrite=chosen.overwrite,
    )  # fmt: skip
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    print(f"{folder}: {size:.2f} MB; zoo.from_pretrained({str(folder.absolute())!r}) loads it")
