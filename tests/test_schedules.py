"""Noise is a function of (seed, step, draw, global sample index)."""

from functools import partial

import pytest
import torch

from tests.fits import parsed
from tests.games import fit, networks, points, snapshot
from zoo.cli.main import ROOT
from zoo.dynamics import Alternating
from zoo.noise import Noise, mix
from zoo.schedules import Cosine, Linear, Schedule, Step
from zoo.stabilizers import GradientPenalty
from zoo.types import Batch, Output
from zoo.variants.nsgan import NSGAN


def test_draws_are_normal_and_uniform() -> None:
    noise = Noise(0)
    normal, uniform = noise.normal(50_000), noise.uniform(50_000)
    assert normal.mean().item() == pytest.approx(0, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    assert (uniform.min() >= 0) & (uniform.max() < 1)
    assert uniform.var().item() == pytest.approx(1 / 12, abs=0.002)


def test_a_step_can_be_drawn_again_in_any_order() -> None:
    noise = Noise(5)
    noise.begin(7)
    first = [noise.normal(4, 2), noise.uniform(4, 3), noise.normal(4, 2)]
    noise.begin(3)
    noise.normal(9)
    noise.begin(7)
    again = [noise.normal(4, 2), noise.uniform(4, 3), noise.normal(4, 2)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[2])


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_ranks_hold_rows_of_one_draw(kind: str) -> None:
    whole = getattr(Noise(1), kind)(12, 3)
    parts = [getattr(Noise(1, rank=r, world_size=3), kind)(4, 3) for r in range(3)]
    assert torch.equal(whole, torch.cat(parts))


def test_seeds_and_steps_differ() -> None:
    draws = []
    for seed in range(3):
        for step in range(3):
            noise = Noise(seed)
            noise.begin(step)
            draws += [noise.normal(2), noise.normal(2)]
    assert len({tuple(d.tolist()) for d in draws}) == len(draws)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    Noise(0).normal(10)
    assert torch.equal(before, torch.get_rng_state())


def test_mix_spreads_small_integers() -> None:
    keys = {mix(a, b, c) for a in range(20) for b in range(20) for c in range(20)}
    assert len(keys) == 8000
    assert all(0 <= key < 2**63 for key in keys)
    assert len({key % 4096 for key in keys}) > 3400  # 4096·(1 - e^(-8000/4096)) = 3515 if they fall at random


def test_a_cpu_s_generator_takes_32_bits_of_a_key() -> None:
    """Which is what the docstring of `mix` says of repeated draws."""
    first, second = (torch.rand(4, generator=torch.Generator().manual_seed(k)) for k in (7, 7 + 2**32))
    assert torch.equal(first, second)


# Schedules: kimg in, factor out.


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


def test_a_schedule_that_rises_from_zero() -> None:
    assert [Linear(8, end_factor=1, start_factor=0)(k) for k in (0, 2, 8, 9)] == [0, 0.25, 1, 1]
    # (1 - cos 60°)/2 = 1/4 at a third
    assert [Cosine(12, 1, start_factor=0)(k) for k in (0, 4, 6, 12, 24)] == pytest.approx([0, 0.25, 0.5, 1, 1])
    with pytest.raises(ValueError, match="start_factor"):
        Cosine(12, start_factor=-1)


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


def test_beta2_follows_kimg() -> None:
    gan = NSGAN(*networks(), beta2_scheduler=Linear(end_kimg=0.032, end_factor=0.1))
    seen = []
    gan.after_turn = lambda turn: seen.append((gan.optimizer_of(turn.name).param_groups[0]["betas"], turn.name))
    made = gan.make_optimizer["d"]
    gan.make_optimizer = dict.fromkeys("dg", partial(made, beta1=0.25, beta2=0.9))
    fit(gan, points(5))
    expected = [0.9, 0.9225, 0.945, 0.9675, 0.99]  # a straight line from 0.9 to 0.99
    for side in ("d", "g"):
        assert [b for (_, b), name in seen if name == side] == pytest.approx(expected)
    assert {a for (a, _), _ in seen} == {0.25}
    assert gan.latest["beta2/d"] == gan.latest["beta2/g"] == pytest.approx(0.99)


def test_a_beta2_of_one_is_refused_before_it_divides_by_zero() -> None:
    gan = NSGAN(*networks(), beta2_scheduler=Linear(end_kimg=0.016))
    with pytest.raises(ValueError, match=r"NSGAN: beta2_scheduler gives β₂ = 1 at 0\.016 kimg; .* factor is on 1 - β₂"):
        fit(gan, points(4))
    with pytest.raises(ValueError, match=r"NSGAN: g_optimizer: SGD has no β₂ for beta2_scheduler; use .*Adam"):
        NSGAN(*networks(), beta2_scheduler=Linear(1), g_optimizer=partial(torch.optim.SGD, lr=0.1))


@pytest.mark.parametrize("d_steps", [1, 2])
def test_an_average_with_a_half_life_follows_every_batch(d_steps: int) -> None:
    """Half-lives of 0, 4, 8, ... images and batches of 8, which therefore keep 0, 1/4, 1/2, ..."""
    schedule = Linear(end_kimg=0.016, start_factor=0, end_factor=1)
    gan = NSGAN(
        *networks(norm="batch"), dynamics=Alternating(d_steps), ema_half_life_kimg=0.008, ema_scheduler=schedule
    )
    expected = snapshot(gan.generator)
    for kept, batch in zip((0, 0.25, 0.5, 0.5), points(4), strict=True):
        fit(gan, [batch])
        for name, value in gan.generator.named_parameters():
            expected[name] = kept * expected[name] + (1 - kept) * value.detach()
    for name, value in gan.generator_ema.named_parameters():
        torch.testing.assert_close(value, expected[name])
    assert torch.equal(*(dict(net.named_buffers())["net.1.running_mean"] for net in (gan.generator, gan.generator_ema)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ema_decay": 0.9, "ema_half_life_kimg": 1.0}, "two settings of one average"),
        ({"ema_half_life_kimg": -1.0}, "ema_half_life_kimg must be at least 0"),
        ({"ema_scheduler": Linear(1), "ema_decay": 0.9}, "factor on ema_half_life_kimg, which is not given"),
        ({"ema_scheduler": 3, "ema_half_life_kimg": 1.0}, "ema_scheduler must be a function of kimg"),
        ({"ema_decay": 1.5}, r"ema_decay must be in \[0, 1\)"),
    ],
)
def test_an_impossible_average_is_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^NSGAN: .*{message}"):
        NSGAN(*networks(), **given)


def test_a_penalty_s_weight_follows_kimg() -> None:
    """D(x) = <3x₁ + 4x₂> has ‖∇D‖² = 25 everywhere: the penalty is 25 times the weight."""
    penalty = GradientPenalty(0.1, where="real", target="zero", scheduler=Cosine(end_kimg=30, end_factor=0.1))
    real = torch.randn(5, 2)

    def critic(x: torch.Tensor, role: str) -> Output:
        return Output(x @ torch.tensor([3.0, 4.0]), {})

    for kimg, weight in ((0, 0.1), (15, 0.055), (30, 0.01), (99, 0.01)):
        batch = Batch(real, None, real, real, None, kimg)
        assert penalty.d_terms(critic, batch, None, None)["gradient_penalty"].item() == pytest.approx(25 * weight)
    gan = NSGAN(*networks())
    gan.images = 7000
    assert gan.deal(points(1)[0], graph=False).kimg == 7


def test_r3gan_s_burn_in_is_the_published_one() -> None:
    """CIFAR-10's preset in `train.py` of brownvc/R3GAN: each quantity by half a cosine over 20,000 kimg."""
    with torch.device("meta"):
        gan = parsed(ROOT / "configs/papers/r3gan_cifar10.yaml").gan
    lr, (_, beta2) = (gan.configure_optimizers()[0].defaults[key] for key in ("lr", "betas"))
    for kimg, rate, second, gamma, half_life in (
        (0, 2e-4, 0.9, 0.05, 0),
        (10_000, 1.25e-4, 0.945, 0.0275, 2500),
        (20_000, 5e-5, 0.99, 0.005, 5000),
        (250_000, 5e-5, 0.99, 0.005, 5000),
    ):
        assert [lr * gan.schedules[side](kimg) for side in "dg"] == pytest.approx([rate] * 2)
        assert 1 - (1 - beta2) * gan.beta2_schedule(kimg) == pytest.approx(second)
        r1, r2, augment = gan.stabilizers
        assert [2 * s.weight * s.scheduler(kimg) for s in (r1, r2)] == pytest.approx([gamma] * 2)
        assert augment.fixed * augment.scheduler(kimg) == pytest.approx(0.55 * half_life / 5000)
        average = gan.average
        assert average.half_life_kimg * average.schedule(kimg) == pytest.approx(half_life)
