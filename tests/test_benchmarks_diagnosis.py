"""How the diagnosis is counted, and a handful of the labelled runs played again."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.diagnosis import interval, line, named, play, report, right
from benchmarks.labelled import CASES, HEALTHY, verdicts
from tests.test_diagnosis import CIRCLING, COLLAPSED, SATURATED, history
from zoo.diagnosis import COLLAPSE, DIMINISHED, DIVERGENCE, OSCILLATION

WELL: dict[str, Any] = {
    "moves": [0.1] * 7, "changes": [0.1] * 7, "modes": [0.9] * 8, "spread": [1.0] * 8, "wrong": 0.4, "scores": 3.0,
    "distance": 0.1, "weights": 1.2, "two": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "failed", "was"),
    [
        ({}, False, set()),
        ({}, True, {DIVERGENCE}),
        ({"weights": 10.0}, False, {DIVERGENCE}),
        ({"scores": 1000.0}, False, {DIVERGENCE}),
        ({"weights": float("nan")}, False, {DIVERGENCE}),
        ({"modes": [0.9] * 5 + [0.3, 0.4, 0.35]}, False, {COLLAPSE}),
        ({"modes": [0.9] * 5 + [0.3, 0.4, 0.36]}, False, set()),
        ({"modes": [0.5] * 8}, False, set()),
        ({"modes": [0.5] * 8, "two": True}, False, {COLLAPSE}),
        ({"modes": [], "changes": [], "spread": [1.0] * 5 + [0.2] * 3}, False, {COLLAPSE}),
        ({"modes": [], "changes": [], "moves": [0.1] * 3 + [0.4] * 4}, False, {OSCILLATION}),
        ({"moves": [0.9] * 7}, False, set()),  # the mean moves, the modes stay
        ({"moves": [0.9] * 7, "changes": [0.6] * 7, "modes": [0.2] * 8}, False, {COLLAPSE, OSCILLATION}),
        ({"wrong": 0.0, "distance": 0.9, "modes": [0.1] * 8}, False, {DIMINISHED}),
        ({"wrong": 0.0, "distance": 0.4}, False, set()),  # it came nearer
    ],
)
def test_what_an_outcome_means(facts: dict[str, Any], failed: bool, was: set[str]) -> None:
    assert verdicts({**WELL, **facts}, failed) == was


def run(kind: str, facts: dict[str, Any] | None = None, **series: Any) -> dict[str, Any]:
    readings = [reading.as_row() for reading in history(20, **series)]
    return {
        "case": "a case", "seed": 1, "kind": kind, "failed": False, "facts": {**WELL, **(facts or {})},
        "readings": readings,
    }  # fmt: skip


def test_the_table_counts_what_is_right(tmp_path: Path) -> None:
    collapsed, circling = {"modes": [0.2] * 8}, {"moves": [0.9] * 7, "changes": [0.6] * 7}
    made = [
        run(HEALTHY),
        run(HEALTHY, **COLLAPSED),  # a false alarm
        run(HEALTHY, collapsed),  # it did not become healthy: left out
        run(COLLAPSE, collapsed, **COLLAPSED),
        run(COLLAPSE, collapsed),  # missed
        run(COLLAPSE, collapsed, **COLLAPSED, **CIRCLING),  # the second name is not borne out
        run(COLLAPSE, {**collapsed, **circling}, **COLLAPSED, **CIRCLING),
        run(DIMINISHED, {"wrong": 0.0, "distance": 1.0}, **SATURATED),
    ]
    file = tmp_path / "runs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in made))
    rows = [[cell.strip() for cell in text.split("|")[1:-1]] for text in report(file).splitlines() if text[:1] == "|"]
    table = {row[0]: row[1:] for row in rows}
    assert table[HEALTHY] == ["2", "1", "0", "1", "0", "0", "1", "1 of 2", "0.01 to 0.99"]
    assert table[COLLAPSE] == ["4", "0", "0", "3", "2", "0", "1", "2 of 4", "0.07 to 0.93"]
    assert table[DIMINISHED][:4] == ["1", "0", "1", "0"]
    assert table[DIVERGENCE][0] == "0"
    assert [right(row) for row in made] == [True, False, True, True, False, False, True, True]
    assert named(made[3]) == [COLLAPSE]
    assert line(made[3]) == "a case 1: made mode collapse; was mode collapse; named mode collapse at 120"


def test_the_interval_is_clopper_and_pearsons() -> None:
    assert interval(24, 24) == f"{0.025 ** (1 / 24):.2f} to 1.00"
    assert interval(0, 10) == f"0.00 to {1 - 0.025**0.1:.2f}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* kimg. .*; try :UserWarning")  # what they are played for
@pytest.mark.parametrize(
    "name",
    [
        "ring, DRAGAN", "digits, WGAN-GP", "digits, minimax", "ring, fast D", "digits, fast D", "ring, high rates",
        "digits, MLP, momentum", "blob, simultaneous", "digits, MLP, fast G", "ring, critic without a bound",
        "digits, LSGAN, SGD",
    ],
)  # fmt: skip
def test_a_labelled_run_is_diagnosed_rightly(name: str) -> None:
    played = play(name, 0)
    print(line(played))
    assert right(played)
    assert (named(played) == []) is (CASES[name].kind == HEALTHY)
