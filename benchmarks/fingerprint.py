"""SHA-256 of what short trainings leave, to prove that a change of the code alters no number.

    python -m benchmarks.fingerprint                  # compare with benchmarks/fingerprint.txt
    python -m benchmarks.fingerprint wgan_gp mdgan    # only the runs whose names begin so
    python -m benchmarks.fingerprint --write          # record all anew

Every configuration trains for 20 batches with seed 0 and one thread: on the digits at 8 pixels, and on the ring where
its networks take points. Three are repeated on two gloo ranks, one is resumed after 10 batches. A digest is of the
sorted state_dict and of the logged rows without their times. It belongs to one processor and one version of torch:
record and compare on the same machine.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_suffix(".txt")
BATCHES = 20
SETTINGS = "accelerator=cpu logger=false log_every_n_steps=1 enable_progress_bar=false"
COMMON = [*(f"--trainer.{s}" for s in SETTINGS.split()), "--without=[quality,samples,diagnostics,progress]"]
IMAGES_ONLY = (
    "adaptive_augment ali began consistency diff_augment ebgan few_shot mdgan progressive_growing regularized_gan "
    "vae_gan veegan virtual_batch_norm"
)
ON_TWO_RANKS = ("nsgan", "mdgan", "wgan_gp")


def options() -> dict[str, list[str]]:
    """The options of `train.py fit` of all runs in one process, by name."""
    names = sorted(p.stem for p in ROOT.glob("configs/*.yaml") if p.stem not in ("default", "demo"))
    runs = {f"{name} digits": [name, "digits", "--data.image_size=8"] for name in names}
    runs |= {f"{name} ring": [name, "ring"] for name in names if name not in IMAGES_ONLY.split()}
    return {
        run: ["-c", f"configs/{name}.yaml", "-c", f"configs/data/{data}.yaml", *more]
        for run, (name, data, *more) in runs.items()
    }


def digest(run: Path) -> str:
    """16 hexadecimal digits of a run's weights and rows."""
    from zoo.run.records import read_metrics

    total = hashlib.sha256()
    state = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    for name, tensor in sorted(state.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().numpy().tobytes())
    for row in read_metrics(run / "metrics.jsonl"):
        total.update(repr(sorted((key, value) for key, value in row.items() if key != "time")).encode())
    return total.hexdigest()[:16]


def here(words: Sequence[str]) -> str:
    """The digest of a run in this process."""
    from zoo.cli.main import main

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        main(["fit", *words, *COMMON, f"--trainer.max_steps={BATCHES}", f"--trainer.default_root_dir={folder}"])
        (run,) = Path(folder).iterdir()
        return digest(run)


def apart(words: Sequence[str], *stops: int) -> str:
    """The digest of a run in new processes, each of which resumes the last and goes on to the next stop."""
    with tempfile.TemporaryDirectory() as folder:
        resumed: list[str] = []
        for stop in stops:
            command = [sys.executable, "train.py", "fit", *words, *COMMON, *resumed, f"--trainer.max_steps={stop}"]
            subprocess.run([*command, f"--trainer.default_root_dir={folder}"], check=True, capture_output=True)
            (run,) = Path(folder).iterdir()
            resumed = [f"--ckpt_path={run / 'last.ckpt'}"]
        return digest(run)


def measured(chosen: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names and digests of the runs whose names begin with one of these words, as they come."""
    runs = options()
    ranks = ["--trainer.devices=2", "--trainer.strategy=ddp"]
    makers = {name: lambda words=words: here(words) for name, words in runs.items()}
    for name in ON_TWO_RANKS:
        makers[f"{name} digits, two ranks"] = lambda name=name: apart([*runs[f"{name} digits"], *ranks], BATCHES)
    makers["wgan_gp digits, resumed"] = lambda: apart(runs["wgan_gp digits"], BATCHES // 2, BATCHES)
    for name, make in makers.items():
        if not chosen or name.startswith(tuple(chosen)):
            yield name, make()


def main() -> int:
    """Compare with the record, or write it; 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only runs whose names begin so")
    parser.add_argument("--write", action="store_true", help="record the digests of all")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(ROOT)
    torch.set_num_threads(1)
    recorded = dict(line.rsplit("  ", 1) for line in RECORD.read_text().splitlines()) if RECORD.is_file() else {}
    found = {}
    for name, value in measured(() if asked.write else asked.names):
        found[name] = value
        print(f"{name}  {value}{'' if recorded.get(name) == value else '  (differs)'}", flush=True)
    if asked.write:
        RECORD.write_text("".join(f"{name}  {value}\n" for name, value in found.items()))
        return 0
    changed = [name for name, value in found.items() if recorded.get(name) != value]
    print(f"fingerprint changed: {', '.join(changed)}" if changed else "fingerprint unchanged")
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main())
