"""Noise is a function of (seed, step, draw, global sample index)."""

import pytest
import torch

from zoo.noise import Noise, mix


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
