"""Games that are played straight through, and cut on the way."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.fits import fit
from zoo.run.records import read_metrics
from zoo.training import ManualTraining

STEPS, SAVED, CUT = 26, 16, 18  # 22 make an epoch
PIXELS = {"class_path": "zoo.metrics.features.PixelFeatures"}
QUALITY = {"every_kimg": 0.3, "n": 20, "full_n": 1000, "features": PIXELS}
BUSY = {  # a batch is 0.064 kimg
    "trainer": {
        "accelerator": "cpu",
        "logger": False,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "callbacks": [
            {"class_path": "zoo.callbacks.Samples", "init_args": {"every_kimg": 0.4, "n": 9}},
            {"class_path": "zoo.callbacks.Quality", "init_args": QUALITY},
            {"class_path": "zoo.callbacks.Diagnostics", "init_args": {"every_kimg": 0.2, "n": 8}},
            {"class_path": "zoo.callbacks.Checkpoints", "init_args": {"every_kimg": 0.5}},
        ],
    },
    "model": {"init_args": {net: {"init_args": {"width": 4}} for net in ("generator", "discriminator")}},
    "data": {"init_args": {"image_size": 8}},
}


class Trial:
    """One game, straight through and cut on the way; each in a folder of its own."""

    def __init__(self, folder: Path, variant: Path, data: Path, *more: Path) -> None:
        self.folder = folder
        busy = folder / "busy.yaml"
        busy.write_text(yaml.safe_dump(BUSY))
        self.words = [w for config in (variant, data, busy, *more) for w in ("-c", config)]

    def run(self, name: str, *more: object, steps: int = STEPS) -> Any:
        """A fit in this process."""
        root = f"--trainer.default_root_dir={self.folder / name}"
        return fit(*self.words, root, f"--trainer.max_steps={steps}", *more)

    def cut(self, name: str, end: Callable[[], object]) -> Path:
        """The folder of a fit in a process of its own, which meets its end in the middle of batch `CUT`."""
        child = os.fork()
        if child == 0:
            silence = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(silence, stream)
            step = ManualTraining.optimize

            def optimize(gan: ManualTraining, *args: Any) -> torch.Tensor:
                if gan.steps == CUT - 1:
                    end()
                return step(gan, *args)

            ManualTraining.optimize = optimize
            with suppress(BaseException):
                self.run(name)
            os._exit(0)
        os.waitpid(child, 0)
        return self.only(name)

    def only(self, name: str) -> Path:
        """The one run below a root."""
        (run,) = (self.folder / name).iterdir()
        return run


def differences(a: Any, b: Any, place: str = "") -> list[str]:
    """Where two trees of values are not the same, bit for bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b))
        return [] if same else [place]
    if isinstance(a, dict) and isinstance(b, dict):
        keys = sorted({*a, *b}, key=str)
        absent = [f"{place}/{key}: only in one" for key in keys if (key in a) != (key in b)]
        return absent + [
            d for key in keys if key in a and key in b for d in differences(a[key], b[key], f"{place}/{key}")
        ]
    if isinstance(a, list | tuple) and type(a) is type(b) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{place}/{i}")]
    return [] if type(a) is type(b) and repr(a) == repr(b) else [f"{place}: {a!r} != {b!r}"]


def bits(x: torch.Tensor) -> torch.Tensor:
    return x.detach().contiguous().view(-1).view(torch.uint8)


def contents(run: Path, name: str) -> dict[str, Any]:
    """All of a checkpoint but what tells the time."""
    kept = torch.load(run / name, weights_only=True)
    del kept["callbacks"]["RunRecord"]
    return kept


def rows(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "time"} for row in read_metrics(run / "metrics.jsonl")]
