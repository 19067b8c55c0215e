"""Show what is kept in the cache, or clear it: decoded images, features of real images, and fetched GANs."""

import argparse

ROOMS = ("images", "features", "pretrained")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--clear", action="store_true", help="delete it; a run makes or fetches again what it needs")


def run(chosen: argparse.Namespace) -> None:
    """List the rooms of the cache with their sizes, or delete them."""
    import shutil

    from zoo.metrics.features.memory import cache_folder

    for room in (cache_folder() / name for name in ROOMS):
        size = sum(file.stat().st_size for file in room.rglob("*") if file.is_file())
        if chosen.clear and room.is_dir():
            shutil.rmtree(room)
        print(f"{room}: {size / 1e6:.1f} MB{', deleted' if chosen.clear and size else ''}")
