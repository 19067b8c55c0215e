"""The judgement, on histories made by hand: each pathology, and each near miss."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from tests.histories import CIRCLING, COLLAPSED, SATURATED, WELL, Series, history
from zoo.diagnostics import (
    COLLAPSE,
    DIMINISHED,
    DIVERGENCE,
    DROPPING,
    OSCILLATION,
    OVERFITTING,
    PATHOLOGIES,
    History,
    Reading,
    advice,
    present,
)
from zoo.diagnostics.remedies import REMEDIES


def names(readings: Iterable[Reading], **kwargs) -> list[str]:
    return [finding.name for finding in History(readings, **kwargs).findings]


def test_nothing_is_found_where_all_is_well() -> None:
    assert names(history(60)) == []


# Diminished gradient


def test_a_flat_loss_under_a_sure_d_is_found_with_its_evidence() -> None:
    [found] = History(history(12, **SATURATED), uses={"MinimaxGAN", "saturates"}).findings
    assert (found.name, found.kimg) == (DIMINISHED, 60)  # six readings
    found_later = present(history(12, **SATURATED))[DIMINISHED]
    # the median of the first three readings is 0.8, of the last six 0.02: 40-fold, from 10 to 120 kimg
    assert "the gradient of G fell 40-fold in 110 kimg" in found_later
    assert "passes on 0.004 of what moves D's score" in found_later
    assert "D ranks 100.0% of pairs rightly" in found_later
    assert found.advice == (
        "try the non-saturating loss (NSGAN), a Wasserstein loss with a penalty (WGANGP) or "
        "instance noise (InstanceNoise)"
    )
    assert str(found) == f"diminished gradient at 60 kimg: {found.evidence}; {found.advice}"


def test_a_gradient_that_is_gone_is_found_under_any_loss() -> None:
    gone = history(12, accuracy=0.99, slope=1.0, gradient=lambda i: 3.0 if i < 4 else 0.05)
    assert DIMINISHED in present(gone)  # 60-fold
    assert DIMINISHED not in present(history(12, accuracy=0.99, slope=1.0, gradient=lambda i: 1.0 if i < 4 else 0.05))
    dead = history(12, accuracy=0.99, slope=1.0, gradient=lambda i: 3.0 if i < 4 else 0.0)
    assert "fell inf-fold" in present(dead)[DIMINISHED]


@pytest.mark.parametrize(
    "series",
    [
        {**SATURATED, "accuracy": 0.94},  # D is not that sure
        {**SATURATED, "slope": 1.0, "gradient": 0.5},  # a critic is sure by design, and passes all on
        {**SATURATED, "accuracy": lambda i: 0.9 if i % 6 == 5 else 1.0},  # not all the time
        {"gradient": lambda i: 0.8 if i < 4 else 0.001},  # a game that has converged has no gradient either
        {**SATURATED, "slope": 0.04, "gradient": 0.5},  # steep enough
    ],
)
def test_what_is_nearly_a_diminished_gradient(series: dict[str, Series]) -> None:
    assert DIMINISHED not in present(history(12, **series))


def test_five_readings_are_not_enough() -> None:
    assert present(history(5, **SATURATED)) == {}


# Mode collapse


def test_samples_that_are_alike_are_found_with_their_evidence() -> None:
    [found] = History(history(20, **COLLAPSED)).findings
    assert (found.name, found.kimg) == (COLLAPSE, 120)
    assert "samples differ 0.2 times as much as the data do, and 0.15 times as many modes" in found.evidence
    assert "no rise in 110 kimg" in found.evidence
    assert "unrolling" in found.advice


@pytest.mark.parametrize(
    ("series", "found"),
    [
        ({"diversity": 0.9, "feature_diversity": 0.4, "modes": 0.5}, True),  # images apart in pixels, alike in features
        ({"diversity": 0.9, "feature_diversity": math.nan, "modes": 0.3}, True),  # few modes, far apart
        ({"diversity": 0.9, "feature_diversity": math.nan, "modes": 0.4}, False),  # not so few
        ({"diversity": 0.9, "feature_diversity": 0.7, "modes": 0.3}, False),  # a classifier that calls all of them 8
        ({"diversity": 0.5, "feature_diversity": 0.6, "modes": 0.5}, False),  # not few enough
        ({**COLLAPSED, "diversity": lambda i: 0.02 * (i + 1)}, False),  # a start: they become more
        ({**COLLAPSED, "accuracy": 1.0}, False),  # G is not near the data yet
        ({**COLLAPSED, "accuracy": 1.0, "diversity": lambda i: 0.9 if i < 5 else 0.2}, True),  # it has been
        ({"diversity": lambda i: 0.1 if i % 3 == 0 else 0.9}, False),  # now and then
    ],
)
def test_what_is_and_what_is_nearly_a_collapse(series: dict[str, Series], found: bool) -> None:
    assert (COLLAPSE in present(history(24, **series))) is found


def test_a_generator_that_gets_no_gradient_has_not_collapsed() -> None:
    assert names(history(20, **{**COLLAPSED, **SATURATED, "diversity": lambda i: 0.9 if i < 5 else 0.2})) == [
        DIMINISHED
    ]


DROPPED = {"dropped": 0.2, "diversity": 0.9, "modes": 0.7}


def test_modes_that_have_no_samples_are_found_with_their_evidence() -> None:
    [found] = History(history(20, **DROPPED)).findings
    assert (found.name, found.kimg) == (DROPPING, 60)
    assert "20% of the data's modes have next to no sample in 50 kimg, while samples differ 0.9 times" in found.evidence
    assert "Packed" in found.advice


@pytest.mark.parametrize(
    "series",
    [
        {**DROPPED, "dropped": lambda i: 0.2 if i % 4 else 0.0},  # not at every reading
        {**DROPPED, "dropped": math.nan},
        {**DROPPED, "modes": lambda i: 0.1 * i},  # they become more
        {**DROPPED, "accuracy": 1.0},  # G is not near the data yet
        {**DROPPED, "modes": 0.3},  # a few modes, however far apart
        {**DROPPED, "diversity": lambda i: 0.33 if i < 14 else 0.36},  # narrow over 12 readings, not over 6
        {**DROPPED, **COLLAPSED},  # which has a name of its own
        {**DROPPED, **CIRCLING},  # from mode to mode: none is without samples for good
    ],
)
def test_what_is_no_mode_dropping(series: dict[str, Series]) -> None:
    assert DROPPING not in present(history(20, **series))


# Non-convergence


def test_samples_that_go_to_and_fro_are_found_with_their_evidence() -> None:
    [found] = History(history(20, **CIRCLING)).findings
    assert (found.name, found.kimg) == (OSCILLATION, 140)
    assert (
        "moved as a whole by 1.2 of the data's spread, and turned back 7 times in 130 kimg, 0.8 off a straight course"
        in found.evidence
    )


@pytest.mark.parametrize(
    "series",
    [
        {"detour": 0.4},  # it winds its way
        {"detour": math.nan},
        {"movement": 0.4},  # any game without an average bounces
        {"movement": lambda i: 2.0 * 0.9**i},  # it calms down
        {"diversity": lambda i: 0.03 * (i + 1)},  # it gets somewhere
        {"modes": lambda i: 0.03 * (i + 1)},
        {"direction_change": 0.6},  # it goes one way
        {
            "movement": 2.0,
            "direction_change": lambda i: -0.8 if i % 2 else 0.3,
            "modes": lambda i: 0.03 * (i + 1),
        },  # half the time
        {"movement": lambda i: 2.0 if i % 5 else 0.5, "direction_change": 0.6},
    ],
)
def test_what_is_nearly_an_oscillation(series: dict[str, Series]) -> None:
    assert OSCILLATION not in present(history(20, **{**CIRCLING, **series}))


def test_what_is_thrown_to_and_fro_every_time_gets_nowhere_whatever_rises() -> None:
    """An MLP on digits whose G is too fast: 1.7 of the spread, back 14 times of 14, while diversity creeps from 0.1."""
    thrown = {"movement": 1.7, "detour": 1.0, "direction_change": -0.9, "diversity": lambda i: 0.03 * (i + 1)}
    assert list(present(history(20, **thrown))) == [OSCILLATION]
    assert present(history(20, **{**thrown, "movement": 1.4})) == {}


def test_an_oscillation_may_calm_down_somewhat() -> None:
    # the medians of the halves of 14 readings are 7 apart: 0.64 and 0.56
    for factor, found in ((0.94, True), (0.92, False)):
        readings = history(14, direction_change=-0.5, detour=0.8, movement=lambda i, factor=factor: 2.5 * factor**i)
        assert (OSCILLATION in present(readings)) is found


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ({"scale": lambda i: 2.0 * 1.4**i}, "the spread of scores grew"),
        ({"scale": lambda i: 0.0 if i < 4 else 200.0 * 1.1**i}, "the spread of scores grew inf-fold"),
        ({"weights": lambda i: 5.0 * 1.2**i}, "the norm of the weights grew"),
        ({"scale": lambda i: 2e6 if i == 19 else 1.5}, "scores are 2e+06 from their mean"),
    ],
)
def test_growth_without_a_bound_is_found_with_its_evidence(series: dict[str, Series], words: str) -> None:
    found = present(history(20, **series))
    assert list(found) == [DIVERGENCE]
    assert words in found[DIVERGENCE]


@pytest.mark.parametrize(
    "series",
    [
        {"scale": lambda i: 2.0 if i < 4 else 40.0},  # a critic that found its range
        {"scale": lambda i: 0.1 if i < 4 else 30.0},  # 300-fold, and stays there
        {"scale": lambda i: 0.1 if i < 4 else 400.0},  # 4,000-fold, and stays there
        {"scale": lambda i: 0.1 * 1.29**i},  # it grows, from next to nothing
        {"scale": lambda i: 2.0 * (i + 1)},  # logits of a D that wins grow
        {"weights": lambda i: 3.0 + 0.4 * i},  # small initial weights grow
    ],
)
def test_what_is_nearly_a_divergence(series: dict[str, Series]) -> None:
    assert present(history(24, **series)) == {}


def test_weights_that_burst_are_found_at_once_and_stay_found() -> None:
    # 20 at the start and 20 times as large 2 readings later; the rest of the run stands still
    burst = history(30, weights=lambda i: 40.0 if i < 2 else 400.0, growth=lambda i: 2.0 if i < 2 else 20.0)
    [found] = History(burst).findings
    assert (found.name, found.kimg) == (DIVERGENCE, 30)
    assert "the norm of the weights grew 20-fold in 30 kimg" in found.evidence


def test_weights_that_burst_before_the_first_reading() -> None:
    [found] = History(history(30, weights=400.0, growth=20.0)).findings
    assert (found.name, found.kimg) == (DIVERGENCE, 10)
    assert "grew 20-fold in 10 kimg" in found.evidence


@pytest.mark.parametrize(
    "weights",
    [
        lambda i: 400.0 if 2 <= i < 6 else 20.0,  # they came back
        lambda i: 10.0 * 1.2**i if i < 13 else 107.0,  # 10-fold, but in 13 readings
    ],
)
def test_what_is_nearly_a_burst(weights: Callable[[int], float]) -> None:
    assert present(history(30, weights=weights)) == {}


def test_a_burst_takes_no_more_than_twelve_readings() -> None:
    for ratio, found in ((1.22, True), (1.2, False)):  # 10.9 and 8.9 in 12 readings
        grown = [10.0 * ratio**i for i in range(16)]
        readings = history(40, weights=lambda i, grown=grown: grown[min(i, 15)])
        assert (DIVERGENCE in present(readings)) is found


def test_weights_of_zero_have_grown_by_nothing_known() -> None:
    assert present(history(20, weights=0.0, growth=0.0)) == {}


def test_growth_takes_twelve_readings() -> None:
    readings = history(12, scale=lambda i: 2.0 * 2.0**i)
    assert present(readings[:11]) == {}
    assert list(present(readings)) == [DIVERGENCE]


def test_nan_is_a_divergence_at_once() -> None:
    [found] = History([replace(WELL, kimg=10.0), Reading(kimg=20.0, finite=False)]).findings
    assert (found.name, found.kimg) == (DIVERGENCE, 20)
    assert "NaN or infinite" in found.evidence


# Once, and again


def test_it_is_told_again_only_after_it_was_gone() -> None:
    sick, well = history(6, **SATURATED), history(1)[0]
    # of the six last readings all must be sick: a gap hides it for five more, and for twelve in all it must be gone
    for gap, times in ((6, 1), (7, 2)):
        assert names([*sick, *[well] * gap, *sick]) == [DIMINISHED] * times, gap


def test_readings_one_by_one_or_all_at_once_show_the_same() -> None:
    readings = history(20, **CIRCLING)
    whole, grown = History(readings), History()
    new = [finding for reading in readings for finding in grown.add(reading)]
    assert new == grown.findings == whole.findings


def test_readings_that_know_little_are_no_reason() -> None:
    assert names([Reading(kimg=float(i)) for i in range(40)]) == []


def test_a_reading_comes_back_from_its_row() -> None:
    assert Reading.of_row({**WELL.as_row(), "of another version": 1}) == WELL


# Overfitting

LEARNT = {"accuracy": 0.95, "sign": 0.9, "overfitting": 0.7}


def test_a_d_that_knows_its_images_by_heart_is_found_with_its_evidence() -> None:
    [found] = History(history(12, **LEARNT), uses={"NSGAN"}).findings
    assert (found.name, found.kimg) == (OVERFITTING, 60)  # six readings
    assert "held-out images lie 70% of the way from training images to fakes" in found.evidence
    assert "95% of training images on the side of real ones" in found.evidence
    assert "AdaptiveAugment" in found.advice
    assert "finetune" in found.advice
    assert "on the side" not in present(history(12, **LEARNT | {"sign": math.nan}))[OVERFITTING]


@pytest.mark.parametrize(
    "series",
    [
        {**LEARNT, "overfitting": 0.4},
        {**LEARNT, "overfitting": lambda i: 0.2 if i == 15 else 0.7},
        {**LEARNT, "overfitting": math.nan},
        {**LEARNT, "accuracy": 0.75},  # it hardly tells fakes from training images: a ratio of small numbers
    ],
)
def test_what_is_nearly_overfitting(series: dict[str, Series]) -> None:
    assert OVERFITTING not in present(history(20, **series))


# Remedies


@pytest.mark.parametrize("pathology", PATHOLOGIES)
def test_nobody_is_told_what_he_does_already(pathology: str) -> None:
    everything = {word for remedy in REMEDIES[pathology] for word in remedy.unless}
    left = advice(pathology, everything)
    for remedy in REMEDIES[pathology]:
        assert not (remedy.unless and remedy.text in left)
    assert left.startswith("try ")


def test_a_wasserstein_game_is_not_told_to_use_one() -> None:
    told = advice(DIMINISHED, {"WGANGP", "GAN"})
    assert "WGANGP" not in told
    assert "non-saturating" not in told
    assert "GradientPenalty" not in told
    assert "non-saturating" in advice(DIMINISHED, {"MinimaxGAN", "saturates"})
    assert "non-saturating" not in advice(DIMINISHED, {"NSGAN"})
    assert advice(COLLAPSE, {"EBGAN"}).startswith("try the pulling-away term")
    assert "ema_decay" in advice(OSCILLATION, {"MDGAN", "GradientPenalty"})
    assert "ema_decay" not in advice(OSCILLATION, {"MDGAN", "GradientPenalty", "ema"})


def test_rows_of_older_checkpoints_are_read_by_their_former_names() -> None:
    row = {"kimg": 10.0, "stray": 0.1, "sway": -0.2, "turn": 0.3, "unknown": 1.0}
    assert Reading.of_row(row) == Reading(kimg=10.0, detour=0.1, direction_change=-0.2, weight_turn=0.3)
    assert Reading.of_row(WELL.as_row()) == WELL
