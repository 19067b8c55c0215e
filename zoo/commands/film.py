"""Make a film of a run's samples in the course of its training: the pictures that it left, at the same latents."""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and how fast."""
    parser.add_argument("run", help="a run's folder, or latest (the last run in runs/)")
    parser.add_argument("--fps", type=float, default=4, help="pictures per second (default: %(default)s)")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("film.webp"),
        help=".webp, .gif, .png, or a folder of frames (default: %(default)s)",
    )  # fmt: skip


def run(chosen: argparse.Namespace) -> None:
    """Read the pictures, and save the film."""
    from zoo.run.films import of_run, save_film
    from zoo.run.folders import checkpoint_of

    folder = Path(chosen.run)
    if not (folder / "samples").is_dir():
        found = checkpoint_of(chosen.run)
        if found is None:
            raise ValueError(f"there is no run {chosen.run}")
        folder = found.parent
    frames = list(of_run(folder))
    path = save_film(frames, chosen.output, chosen.fps, hold=True)
    print(f"{len(frames)} pictures of {folder}: {path}")
