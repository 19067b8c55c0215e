"""How often the diagnosis is right, on runs whose fate is known (`benchmarks/labelled.py`).

python -m benchmarks.diagnosis play --seeds 100-104 -o runs.jsonl        # a line a run; begun again, it goes on
python -m benchmarks.diagnosis report runs.jsonl                         # the tables of docs/diagnosis.md

`play` keeps readings and outcomes, on one thread; `report` judges the readings by the thresholds that are in the code.
Seeds 0 to 9 are for choosing thresholds, those from 100 on for counting.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from scipy.stats import binomtest

from benchmarks.labelled import BATCH, BATCHES, CASES, HEALTHY, Outcome, kinds, verdicts
from zoo.callbacks import Diagnostics
from zoo.diagnostics import History, Reading

READINGS = 25  # a run
Run = dict[str, Any]


def play(name: str, seed: int) -> Run:
    """Train a case from a seed, and keep what was read and what became of it."""
    case, began = CASES[name], time.process_time()
    gan, data = case.build(seed)
    looking, outcome = Diagnostics(every_kimg=BATCH * BATCHES / 1000 / READINGS), Outcome()
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, max_epochs=-1,
        enable_model_summary=False, max_steps=BATCHES, limit_val_batches=0, callbacks=[looking, outcome],
    )  # fmt: skip
    failed = False
    try:
        trainer.fit(gan, datamodule=data)
    except FloatingPointError:
        failed = True
    facts = {**outcome.facts(), "two": getattr(data, "num_classes", None) == 2}
    return {
        "case": name, "seed": seed, "kind": case.kind, "failed": failed, "facts": facts,
        "seconds": round(time.process_time() - began, 2), "reading": round(looking.seconds, 2),
        "readings": [reading.as_row() for reading in looking.history.readings],
    }  # fmt: skip


def play_all(seeds: Iterable[int], file: Path, only: str = "") -> None:
    """Play every case from every seed that the file does not have, and append."""
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    done = {(run["case"], run["seed"]) for run in runs(file)}
    for seed in seeds:
        for name in CASES:
            if (name, seed) in done or only not in name:
                continue
            run = play(name, seed)
            with file.open("a") as out:
                out.write(json.dumps(run) + "\n")
            print(f"{run['seconds']:5.1f} s  {line(run)}", flush=True)


def runs(file: Path) -> list[Run]:
    """The runs of a file."""
    return [json.loads(text) for text in file.read_text().splitlines()] if file.is_file() else []


def named(run: Run) -> list[str]:
    """What the diagnosis says of a run, in order."""
    history = History(map(Reading.of_row, run["readings"]))
    return list(dict.fromkeys(finding.name for finding in history.findings))


def truth(run: Run) -> set[str]:
    """What the outcome says."""
    return verdicts(run["facts"], run["failed"])


def line(run: Run) -> str:
    """A run in a line."""
    history = History(map(Reading.of_row, run["readings"]))
    said = ", ".join(f"{finding.name} at {finding.kimg:g}" for finding in history.findings) or "-"
    return f"{run['case']} {run['seed']}: made {run['kind']}; was {', '.join(sorted(truth(run))) or '-'}; named {said}"


def counts(run: Run) -> bool:
    """Whether a run became what it was made to be; a healthy one, whether it shows no pathology."""
    return not truth(run) if run["kind"] == HEALTHY else run["kind"] in truth(run)


def right(run: Run) -> bool:
    """Whether its own pathology is named, or nothing of a healthy run, and nothing that the outcome does not show."""
    words = named(run)
    return set(words) <= truth(run) and (run["kind"] in words or run["kind"] == HEALTHY)


def report(file: Path) -> str:
    """The table, in Markdown, of the runs that became what they were made to be; below it those that went wrong."""
    names = kinds()[1:]
    lines = [
        f"| made to be, and was | runs | left out | {' | '.join(names)} | nothing | right | 95 % interval |",
        "|" + " --- |" * (len(names) + 6),
    ]
    everything = runs(file)
    for kind in kinds():
        made = [run for run in everything if run["kind"] == kind]
        mine = [run for run in made if counts(run)]
        tally = Counter(word for run in mine for word in named(run) or ["nothing"])
        good = sum(map(right, mine))
        cells = [kind, len(mine), len(made) - len(mine), *(tally[name] for name in (*names, "nothing"))]
        cells += [f"{good} of {len(mine)}", interval(good, len(mine)) if mine else "-"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    wrong = [f"- {line(run)}" for run in everything if counts(run) and not right(run)]
    return "\n".join([*lines, *([""] if wrong else []), *wrong])


def interval(right: int, of: int) -> str:
    """Clopper-Pearson, of a share."""
    found = binomtest(right, of).proportion_ci(0.95, "exact")
    return f"{found.low:.2f} to {found.high:.2f}"


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> None:
    """Play or report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnosis", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    playing = commands.add_parser("play")
    playing.add_argument("--seeds", type=_seeds, required=True)
    playing.add_argument("--only", default="", help="cases whose name has this")
    playing.add_argument("-o", "--output", type=Path, required=True)
    telling = commands.add_parser("report")
    telling.add_argument("file", type=Path)
    telling.add_argument("--all", action="store_true", help="a line for every run too")
    chosen = parser.parse_args()
    if chosen.command == "play":
        play_all(chosen.seeds, chosen.output, chosen.only)
        return
    print(report(chosen.file))
    if chosen.all:
        print(*map(line, runs(chosen.file)), sep="\n")


if __name__ == "__main__":
    main()
