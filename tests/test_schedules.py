"""Schedules: kimg in, factor out."""

import pytest

from zoo.schedules import Cosine, Linear, Step


def test_linear() -> None:
    schedule = Linear(end_kimg=30, start_kimg=10, end_factor=0.2)
    assert [schedule(k) for k in (0, 10, 15, 20, 30, 99)] == pytest.approx([1, 1, 0.8, 0.6, 0.2, 0.2])


def test_step_halves_down_to_its_floor() -> None:
    schedule = Step(every_kimg=10, floor=0.2)
    assert [schedule(k) for k in (0, 9.9, 10, 20, 30, 1000)] == [1, 1, 0.5, 0.25, 0.2, 0.2]


def test_cosine() -> None:
    schedule = Cosine(end_kimg=12, end_factor=0.5)
    # (1 + cos 60°)/2 = 3/4 of the way at a third
    assert [schedule(k) for k in (0, 4, 6, 12, 24)] == pytest.approx([1, 0.875, 0.75, 0.5, 0.5])


@pytest.mark.parametrize(
    "build", [lambda: Linear(0), lambda: Linear(5, start_kimg=5), lambda: Step(-1), lambda: Cosine(0)]
)
def test_impossible_kimg_is_refused(build) -> None:
    with pytest.raises(ValueError, match="kimg"):
        build()
