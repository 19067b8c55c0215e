"""The lectures' pathologies as experiments: a module each, found by its name; nothing is registered.

The experiment `two-gaussians` is the module `two_gaussians`; names with a leading underscore are helpers. A module's
docstring has a line on what is done, and then three paragraphs that begin with "Claim: ", "Paper: " and "Figure: ".
Its `run(seed, quick)` returns a `Result`, a function of its arguments alone; `quick` is a rough version of seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from pkgutil import iter_modules
from platform import python_version
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

from zoo import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUGH = "A rough version: with fewer steps its numbers need not show the claim; leave out --quick for the experiment."


@dataclass(frozen=True)
class Result:
    """What an experiment comes to."""

    numbers: dict[str, float | list[float]]  # by name, with the unit in it where there is one; finite
    finding: str  # what was seen, in sentences with these numbers, and why where it is not the claim
    draw: Callable[[Figure], None]  # onto an empty figure of `size`
    size: tuple[float, float] = (9.0, 3.4)  # inches


@dataclass(frozen=True)
class Report:
    """A result, and what it depends on."""

    experiment: str
    seed: int
    quick: bool
    seconds: float
    result: Result

    def __str__(self) -> str:
        lines = [f"  {name}: {_shown(value)}" for name, value in self.result.numbers.items()]
        head = [f"{self.experiment}, seed {self.seed}, {self.seconds:.0f} s", *([ROUGH] if self.quick else [])]
        return "\n".join([*head, *lines, self.result.finding])

    def as_json(self) -> str:
        """All but the figure."""
        facts = {
            "experiment": self.experiment, "seed": self.seed, "quick": self.quick, "seconds": round(self.seconds, 1),
            "versions": {"python": python_version(), "torch": str(torch.__version__), "zoo": __version__},
            "numbers": self.result.numbers, "finding": self.result.finding,
        }  # fmt: skip
        return json.dumps(facts, indent=1, allow_nan=False) + "\n"


def experiments() -> list[str]:
    """The names of all experiments, in alphabetical order."""
    return [found.name.replace("_", "-") for found in iter_modules(__path__) if not found.name.startswith("_")]


def experiment(name: str) -> ModuleType:
    """The module of an experiment.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in experiments():
        near = get_close_matches(name, experiments(), cutoff=0.5) or experiments()
        raise ValueError(
            f"no experiment {name!r}; did you mean {' or '.join(near)}? `python -m zoo lab` lists them all"
        )
    return import_module(f"{__name__}.{name.replace('-', '_')}")


def summary(name: str) -> str:
    """The first line of an experiment's docstring."""
    return _paragraphs(name)[0]


def perform(name: str, *, seed: int = 0, quick: bool = False) -> Report:
    """Run an experiment on one thread; the random state and the number of threads are put back.

    Raises:
        ValueError: there is no experiment of this name.
    """
    module = experiment(name)
    started = time.monotonic()
    with _alone(seed):
        result = module.run(seed, quick)
    return Report(name, seed, quick, time.monotonic() - started, result)


def save(report: Report, folder: Path) -> Path:
    """Write `<experiment>.json` and `<experiment>.png` into the folder; returns the figure's path."""
    from zoo.lab._figures import save_figure

    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{report.experiment}.json").write_text(report.as_json(), encoding="utf-8")
    path = folder / f"{report.experiment}.png"
    save_figure(report.result.draw, report.result.size, path)
    return path


def page(folder: Path) -> str:
    """What was saved in a folder, as a page of Markdown that lies beside the folder.

    Raises:
        OSError: an experiment has no JSON there.
    """
    parts = [
        "# The pathology lab",
        "What the lectures claim of GANs, what was seen here, and how to see it again. The lectures from which this "
        "project grew are four: *GAN training pathologies*, *Towards principled methods*, *Tackling the gradient "
        "issues*, and *Optimization, training and stabilization*. Each experiment names the papers behind a claim. The "
        "whole page is written by",
        "<!-- not run: takes about an hour and writes this page -->\n"
        f"```bash\npython -m zoo lab --all -o {folder.as_posix()}\n```",
    ]
    for name in experiments():
        saved = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        parts += [f"## {name}", *_paragraphs(name), f"![{summary(name)}]({folder.name}/{name}.png)"]
        parts += [f"**Seen** (seed {saved['seed']}): {saved['finding']}", f"`{_command(saved)}`"]
    return "\n\n".join(parts) + "\n"


def _command(saved: dict[str, Any]) -> str:
    """What repeats a saved report."""
    return f"python -m zoo lab {saved['experiment']} --seed {saved['seed']}" + (" --quick" if saved["quick"] else "")


def _paragraphs(name: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in (getdoc(experiment(name)) or "").split("\n\n")]


def _shown(value: float | list[float]) -> str:
    if isinstance(value, list):
        return " ".join(f"{v:.4g}" for v in value)
    return f"{value:.6g}"


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
