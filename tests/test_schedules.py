"""Schedules: kimg in, factor out."""

from functools import partial

import pytest
import torch

from tests.games import networks
from zoo.schedules import Cosine, Linear, Schedule, Step
from zoo.variants.nsgan import NSGAN


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


PLATEAU = torch.optim.lr_scheduler.ReduceLROnPlateau


@pytest.mark.parametrize("given", [PLATEAU, PLATEAU(torch.optim.SGD([torch.zeros(1)])), "Linear", Linear])
def test_no_schedule_is_refused_with_those_that_there_are(given: object) -> None:
    with pytest.raises(ValueError, match=r"^NSGAN: d_scheduler must be .* Step and Cosine of zoo\.schedules, got .*L"):
        NSGAN(*networks(), d_scheduler=given)


def test_a_schedule_of_ones_own_is_taken() -> None:
    class Half(Schedule):
        def __call__(self, kimg: float) -> float:
            return 0.5

    for schedule in (Half(), lambda kimg: 0.5):
        NSGAN(*networks(), g_scheduler=schedule)


def test_an_optimizer_that_evaluates_the_loss_itself_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^NSGAN: g_optimizer: LBFGS evaluates the loss again .* zoo\.optim\.Adam"):
        NSGAN(*networks(), g_optimizer=torch.optim.LBFGS)
    for taken in (torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD, torch.optim.Adagrad):
        NSGAN(*networks(), g_optimizer=partial(taken, lr=0.1))
