"""Run folders as train.py leaves them, with numbers of one's choice."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

FACTS = {
    "extractor": "digits-cnn", "fingerprint": "45bc84d72b0de873", "preprocessing": "1 channels", "n_real": 364,
    "n_fake": 1000, "split": "val", "seed": 0, "ema": True, "fewer_samples_than_features": False,
}  # fmt: skip


def write_run(
    folder: Path,
    *,
    variant: str = "nsgan",
    dataset: str = "digits",
    seed: int | None = 0,
    fd: Sequence[float] = (),
    precision: Sequence[float] = (),
    losses: Sequence[float] = (),
    status: str = "finished",
    error: str | None = None,
    started: str = "2026-01-01T00:00:00+00:00",
    config: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
    picture: np.ndarray | None = None,
    kimg: float = 20.0,
    pathologies: list[dict[str, Any]] | None = None,
) -> Path:
    """Scores every `kimg` from 0 on, two seconds to a kimg; losses four times as often."""
    folder.mkdir(parents=True)
    rows = [{f"loss/{k}": v, "at": (i + 1) * kimg / 4} for i, v in enumerate(losses) for k in ("d", "g")]
    for i, value in enumerate(fd):
        scores = {"fd/digits-cnn": value} | ({"fd/digits-cnn_real": 0.5} if i == 0 else {})
        scores |= {"precision/digits-cnn": precision[i]} if precision else {}
        rows.append({**scores, "at": i * kimg})
        with (folder / "scores.jsonl").open("a") as file:
            told = {k: v if np.isfinite(v) else str(v) for k, v in scores.items()}
            file.write(json.dumps({"kimg": i * kimg, **FACTS, **(facts or {}), "scores": told}) + "\n")
    rows.sort(key=lambda row: row["at"])
    with (folder / "metrics.jsonl").open("w") as file:
        for row in rows:
            at = row.pop("at")
            told = {k: v if np.isfinite(v) else str(v) for k, v in row.items()}
            file.write(json.dumps({"step": 0, "time": 2 * at, **told, "progress/kimg": at}) + "\n")
    end = max([kimg * (len(fd) - 1), kimg * len(losses) / 4, 0])
    record = {
        "variant": variant, "objective": "GAN", "dataset": dataset, "seed": seed, "device": "cpu", "started": started,
        "git": {"commit": "0123456789abcdef", "dirty": False}, "status": status, "error": error,
        "result": {"kimg": end, "steps": 1, "seconds": 2 * end, "score": None, "metrics": {}, "checkpoints": []},
    }  # fmt: skip
    if pathologies is not None:
        record["diagnosis"] = pathologies
    (folder / "run.json").write_text(json.dumps(record))
    settings = {
        "seed_everything": seed,
        "model": {
            "class_path": f"zoo.variants.{variant}",
            "init_args": {"g_optimizer": {"lr": 1e-4}, "ema_decay": 0.999},
        },
        "data": {"class_path": "datamodules.Digits", "init_args": {"batch_size": 64, "seed": seed}},
        **(config or {}),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    if picture is not None:
        (folder / "samples").mkdir()
        Image.fromarray(picture).save(folder / "samples" / f"{end:010.3f}.png")
    return folder
