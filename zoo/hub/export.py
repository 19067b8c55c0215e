"""From a run's checkpoint to a folder that can be published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.hub import bundle, facts, recipe, space
from zoo.hub.card import card
from zoo.hub.load import load, recipe_of
from zoo.run.folders import checkpoint_of


def export(
    checkpoint: Path, folder: Path, *, name: str | None = None, version: str = "1", n_samples: int = 64,
    seeds: Sequence[Path] = (), overwrite: bool = False,
) -> Path:  # fmt: skip
    """Make a published checkpoint of a run's `last.ckpt` or `best.ckpt`; returns its folder.

    Its `config.json` has:

    - ``schema``, ``name``, ``version``; ``variant``, the configuration's name; ``objective``, of `zoo/variants/`
    - ``init_args``, the recipe: see `zoo.hub.recipe`; ``parts``, the numbers in each network
    - ``game``, how far training had come: ``steps``, ``images``, ``g_moves``, ``seed``
    - ``data``, their class and its arguments; ``training``, see `zoo.hub.facts.training`, with the ``kimg`` and
      ``steps`` of these weights; ``scores``, see `zoo.hub.facts.scores`, null if none was measured
    - ``samples``: how many the picture shows, and their seed

    What its run's folder tells beside the checkpoint is in it, but no path of this machine, data root or secret.

    Args:
        checkpoint: of a run of `train.py`, as for `zoo.load`.
        folder: where to; must not exist.
        name: None is `<variant>-<dataset>` of the run.
        version: of the published weights; other weights are another version.
        n_samples: in the picture.
        seeds: folders of runs that differ from this one only in their seed; their scores are listed too.
        overwrite: replace an older one that was published into `folder`.

    Raises:
        ValueError: for a checkpoint that cannot be read, or names classes that are not the zoo's; without a `name` for
            a checkpoint beside which there is no `run.json`; as for `zoo.hub.facts.seeds` and `zoo.hub.bundle.write`.
    """
    checkpoint, folder = checkpoint_of(checkpoint) or Path(checkpoint), Path(folder)
    run = checkpoint.parent
    gan = load(checkpoint)
    hyper_parameters = recipe_of(checkpoint)
    objective, init_args = recipe.described(hyper_parameters)
    samples = gan.sample(n_samples, seed=0)
    try:
        record = facts.record(run)
        if name is None and not record:
            raise ValueError(f"{run} has no run.json, which would say what this is: use --name <variant>-<dataset>")
        training = facts.training(run, seeds) | facts.public({"init_from": hyper_parameters.get("init_from")})
        config: dict[str, Any] = {
            "schema": bundle.SCHEMA,
            "name": name or f"{record['variant']}-{record['dataset']}",
            "version": version,
            "variant": record.get("variant", objective),
            "objective": objective,
            "init_args": init_args,
            "parts": bundle.parts(gan),
            "game": bundle.counters(gan),
            "data": facts.data(run),
            "training": {"kimg": gan.kimg, "steps": gan.steps, **training},
            "scores": facts.scores(run, gan.kimg),
            "samples": {"n": n_samples, "seed": 0},
        }
        for key in ("name", "version"):
            bundle.check_word(config[key], key)
        made = card(config, gan)
    except ValueError:
        raise
    except Exception as error:  # files that are JSON or YAML, but hold something else than a run writes
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{run}: run.json, config.yaml or scores.jsonl is not as a run writes it: {reason:.200}"
        ) from error
    return bundle.write(folder, gan, config, made, samples, overwrite=overwrite, beside=space.FILES)
