"""The plain loops of benchmarks/step.py are the zoo's games: same FLOPs, and the same step from the same draws."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.diagnosis import interval, line, named, play, report, right
from benchmarks.labelled import CASES, HEALTHY, _residual, verdicts
from benchmarks.step import Pairs, Plain, game
from tests.games import fit
from tests.histories import CIRCLING, COLLAPSED, SATURATED, history
from zoo.benchmark.flops import FlopCount
from zoo.diagnostics import COLLAPSE, DIMINISHED, DIVERGENCE, OSCILLATION

SHAPE = (3, 8, 8)


@pytest.mark.parametrize("config", ["nsgan", "wgan_gp", "mdgan"])
def test_a_plain_loop_does_the_arithmetic_of_the_zoo(config: str) -> None:
    gan = game(config, SHAPE)
    plain = Plain(gan)
    rounds = getattr(gan.dynamics, "d_steps", 1)
    data = [(torch.rand(4, *SHAPE) * 2 - 1,) for _ in range(rounds)]
    with FlopCount() as zoo:
        fit(gan, data)
    with FlopCount() as bare:
        for (real,) in data:
            getattr(plain, config)(real)
    assert zoo.flops == bare.flops > 0


def test_nsgans_plain_loop_moves_as_the_zoo_does(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = game("nsgan", SHAPE).double()
    plain = Plain(gan)
    z = torch.randn(8, gan.latent_dim, dtype=torch.float64)
    monkeypatch.setattr(gan, "sample_latent", lambda n, noise: z[:n])
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: z[: shape[0]])
    real: Tensor = torch.rand(8, *SHAPE, dtype=torch.float64) * 2 - 1
    for _ in range(2):
        plain.nsgan(real)
    fit(gan, [(real,)] * 2)
    for name, parameter in plain.g.named_parameters():
        torch.testing.assert_close(parameter, gan.generator.get_parameter(name), rtol=0, atol=1e-10)


def test_rounds_of_both_sides_take_turns() -> None:
    seen: list[str] = []
    pairs = Pairs(torch.zeros(1), lambda real: seen.append("plain"), per_round=2, pairs=1)
    for _ in pairs:
        seen.append("zoo")
    assert seen == ["zoo", "zoo", "plain", "plain"] * 3
    assert len(pairs) == 6
    assert len(pairs.zoo) == len(pairs.bare) == 3


# How the diagnosis is counted, and a handful of the labelled runs played again.


WELL: dict[str, Any] = {
    "stray": 0.1, "differ": 0.1, "modes": [0.9] * 40, "spread": [1.0] * 40, "wrong": 0.4, "scores": 3.0,
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
        ({"modes": [0.9] * 25 + [0.3, 0.4, 0.35] * 5}, False, {COLLAPSE}),
        ({"modes": [0.9] * 25 + [0.3, 0.4, 0.36] * 5}, False, set()),
        ({"modes": [0.5] * 40}, False, set()),
        ({"modes": [0.5] * 40, "two": True}, False, {COLLAPSE}),
        ({"modes": [], "differ": None, "spread": [1.0] * 32 + [0.2] * 8}, False, {COLLAPSE}),
        ({"modes": [], "differ": None, "spread": [1.0] * 33 + [0.2] * 7}, False, set()),
        ({"modes": [], "differ": None, "stray": 0.4}, False, {OSCILLATION}),
        ({"stray": 0.9}, False, set()),  # the mean moves, the modes stay
        ({"stray": 0.9, "differ": 0.6, "modes": [0.2] * 40}, False, {COLLAPSE, OSCILLATION}),
        ({"wrong": 0.0, "distance": 0.9, "modes": [0.1] * 40}, False, {DIMINISHED}),
        ({"wrong": 0.0, "distance": 0.4}, False, set()),  # it came nearer
    ],
)
def test_what_an_outcome_means(facts: dict[str, Any], failed: bool, was: set[str]) -> None:
    assert verdicts({**WELL, **facts}, failed) == was


def test_what_lies_off_a_straight_course() -> None:
    # 0, 1, 0, 1 and so on: the line is 1/2 throughout but for a slope that vanishes with T; each is 1/2 off it
    saw = [torch.tensor([float(i % 2), 3.0 * i]) for i in range(40)]
    assert _residual(saw) == pytest.approx(0.5, abs=0.001)
    assert _residual([torch.tensor([2.0 * i, -i]) for i in range(5)]) == pytest.approx(0, abs=1e-9)
    # 0, 0, 3: the line through 1 with slope 3/2 leaves 1/2, -1, 1/2
    assert _residual([torch.tensor([v]) for v in (0.0, 0.0, 3.0)]) == pytest.approx(math.sqrt(0.5))
    assert math.isnan(_residual(saw[:2]))
    assert math.isnan(_residual([*saw, torch.tensor([math.nan, 0.0])]))


def run(kind: str, facts: dict[str, Any] | None = None, **series: Any) -> dict[str, Any]:
    readings = [reading.as_row() for reading in history(20, **series)]
    return {
        "case": "a case", "seed": 1, "kind": kind, "failed": False, "facts": {**WELL, **(facts or {})},
        "readings": readings,
    }  # fmt: skip


def test_the_table_counts_what_is_right(tmp_path: Path) -> None:
    collapsed, circling = {"modes": [0.2] * 40}, {"stray": 0.9, "differ": 0.6}
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
    assert table[HEALTHY] == ["2", "1", "0", "1", "0", "0", "0", "1", "1 of 2", "0.01 to 0.99"]
    assert table[COLLAPSE] == ["4", "0", "0", "3", "0", "2", "0", "1", "2 of 4", "0.07 to 0.93"]
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
