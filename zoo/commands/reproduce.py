"""Train a GAN of the catalogue once more, as it was trained.

More arguments go to train.py: --data.root <folder>, --seed_everything 1, --budget.kimg 10, ...
"""

import argparse

TAKES_MORE = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument("name", help="of the catalogue, see `python -m zoo models`; no folder and no other reference")


def run(chosen: argparse.Namespace) -> None:
    """Write the recorded configuration to a file, and train with it."""
    import tempfile
    from pathlib import Path

    import yaml

    from zoo.cli import main as cli
    from zoo.hub import bundle, catalogue

    name, _, version = chosen.name.partition("@")
    try:
        folder = catalogue.find(name, version or None)
    except ValueError as error:
        raise ValueError(
            f"{error}; reproduce trusts a configuration from there only, as it may run any class"
        ) from None
    config = bundle.verify(folder)["training"]["config"]
    if config is None:
        raise ValueError(f"{name} cannot be trained once more: its run left no configuration that means the same here")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, f"{name}.yaml")
        file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        cli.main(["fit", "-c", str(file), *chosen.rest])
