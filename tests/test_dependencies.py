"""What can be known of the dependencies without a network: declared, installed, consistent, and free to be used."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from zoo.cli.main import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
NEEDED = [Requirement(text) for text in PROJECT["dependencies"]]
OPTIONAL = [Requirement(text) for name in ("lab", "dashboard", "shards", "slurm") for text in EXTRAS[name]]
NOT_HERE = [Requirement(text) for name in ("ray", "play") for text in EXTRAS[name]]  # see pyproject.toml
DEV = [Requirement(text) for text in EXTRAS["dev"] + EXTRAS["docs"] if not text.startswith("gan-zoo")]
OURS = {"zoo", "datamodules", "train", "tests", "docs", "benchmarks"}

# By a distribution's licence expression, its licence field or its classifiers.
FREE = re.compile(
    r"\b(MIT|BSD|Apache|Python Software Foundation|PSF|ISC|Zlib|MPL|Mozilla|HPND|CMU|Unlicense|CC0|0BSD)", re.I
)
STRONG = re.compile(r"(?<!L)(?<!Lesser )\b(A?GPL|GNU (Affero )?General Public)", re.I)


def names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


def imported(*folders: str) -> Iterator[tuple[str, str]]:
    """The first word of every import of another's module, with the file."""
    for file in (path for folder in folders for path in sorted(ROOT.glob(f"{folder}/**/*.py"))):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            for word in {module.partition(".")[0] for module in modules} - OURS - set(sys.stdlib_module_names):
                yield word, str(file.relative_to(ROOT))


def closure(requirements: list[Requirement]) -> set[str]:
    """These and whatever they need here."""
    found: set[str] = set()
    left = [(requirement.name, requirement.extras) for requirement in requirements]
    while left:
        name, extras = left.pop()
        try:
            distribution(name)
        except PackageNotFoundError:
            continue  # for another platform, or optional
        if canonicalize_name(name) in found:
            continue
        found.add(canonicalize_name(name))
        left += [(needed.name, needed.extras) for needed in needs(name, extras)]
    return found


def needs(name: str, extras: Iterable[str] = ()) -> list[Requirement]:
    """What an installed distribution says it needs here."""
    told = [Requirement(text) for text in distribution(name).requires or ()]
    return [r for r in told if r.marker is None or any(r.marker.evaluate({"extra": extra}) for extra in {"", *extras})]


@cache
def owners() -> Mapping[str, list[str]]:
    return packages_distributions()


def distributions(word: str) -> set[str]:
    """Which may provide a module."""
    return {canonicalize_name(name) for name in owners().get(word, [word])}


def test_what_is_imported_is_declared() -> None:
    declared = names(NEEDED + OPTIONAL + NOT_HERE)
    for word, file in imported("zoo", "datamodules"):
        assert distributions(word) & declared, f"{file} imports {word}"
    known = declared | names(DEV)
    for word, file in imported("tests", "docs", "benchmarks"):
        assert distributions(word) & known, f"{file} imports {word}"


def test_what_is_declared_is_imported() -> None:
    used = {name for word, _ in imported("zoo", "datamodules") for name in distributions(word)}
    assert names(NEEDED + OPTIONAL + NOT_HERE) <= used


@pytest.mark.parametrize("requirement", NEEDED + OPTIONAL + DEV, ids=str)
def test_what_is_installed_is_what_is_asked_for(requirement: Requirement) -> None:
    assert requirement.specifier, f"{requirement.name} has no lower bound"
    assert any(part.operator in {">=", "~=", "=="} for part in requirement.specifier)
    assert requirement.specifier.contains(distribution(requirement.name).version, prereleases=True)


def test_the_installation_is_consistent() -> None:
    """As `pip check` finds it, of what the zoo needs."""
    for name in closure(NEEDED + OPTIONAL + DEV):
        for needed in needs(name):
            version = distribution(needed.name).version
            assert needed.specifier.contains(version, prereleases=True), f"{name} wants {needed}, not {version}"


def test_licences_let_everybody_use_it() -> None:
    for name in closure(NEEDED + OPTIONAL):
        told = distribution(name).metadata
        words = [told["License-Expression"] or "", (told["License"] or "")[:200], *(told.get_all("Classifier") or ())]
        text = "\n".join(word for word in words if word and not word.startswith(("Programming", "Operating", "Topic")))
        assert FREE.search(text) or name.startswith(("nvidia-", "cuda-")), f"{name}: {text}"  # torch's for GPUs
        assert not STRONG.search(text), f"{name}: {text}"
