"""The 2-D toy sets: geometry, labels, determinism."""

import math

import pytest
import torch

from zoo.datamodules import Toy


def loaded(**options):
    data = Toy(**options)
    data.setup()
    return data


def test_ring_has_eight_modes_on_a_circle():
    centres = Toy(name="ring").centres
    assert centres.shape == (8, 2)
    assert torch.allclose(centres.norm(dim=1), torch.full((8,), 2.0))
    angles = torch.atan2(centres[:, 1], centres[:, 0]).rad2deg().round().long() % 360
    assert angles.tolist() == [0, 45, 90, 135, 180, 225, 270, 315]


def test_grid_has_25_modes_on_a_square():
    data = Toy(name="grid")
    assert data.centres.shape == (25, 2)
    steps = [-4 / 2.828, -2 / 2.828, 0.0, 2 / 2.828, 4 / 2.828]
    for axis in range(2):
        assert data.centres[:, axis].unique().tolist() == pytest.approx(steps)
    assert len(data.centres.unique(dim=0)) == 25
    assert data.sigma == pytest.approx(0.01768, abs=1e-5)


def test_two_gaussians():
    data = Toy(name="two_gaussians")
    assert data.centres.tolist() == [[-2, 0], [2, 0]]
    assert data.sigma == 0.5


@pytest.mark.parametrize(("name", "sigma"), [("ring", 0.02), ("grid", 0.05 / 2.828), ("two_gaussians", 0.5)])
def test_points_scatter_around_the_centre_of_their_label(name, sigma):
    data = loaded(name=name)
    points, labels = data.splits["train"]
    assert points.shape == (50_000, 2)
    assert labels.dtype == torch.int64
    modes = data.num_classes
    assert labels.bincount(minlength=modes).tolist() == pytest.approx([50_000 / modes] * modes, rel=0.12)
    offsets = points - data.centres[labels]
    for mode in range(modes):
        assert offsets[labels == mode].std(0).tolist() == pytest.approx([sigma] * 2, rel=0.1)
        assert offsets[labels == mode].mean(0).abs().max() < 0.1 * sigma
    assert torch.corrcoef(offsets.T)[0, 1].abs() < 0.02


def test_swiss_roll_lies_on_its_spiral():
    data = loaded(name="swiss_roll")
    assert data.centres is data.sigma is data.num_classes is None
    points = 7.5 * data.splits["train"].data.double()
    t = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 4000, dtype=torch.float64)
    spiral = torch.stack([t * t.cos(), t * t.sin()], dim=1)
    distance, nearest = torch.cdist(points[:5000], spiral).min(1)
    assert distance.square().mean().sqrt() == pytest.approx(0.25, rel=0.05)  # across the curve
    thirds = (t[nearest] / math.pi - 1.5).div(1).long().clamp(0, 2).bincount()
    assert (thirds / 5000).tolist() == pytest.approx([1 / 3] * 3, abs=0.03)  # t is uniform
    (batch,) = [batch for batch, _ in zip(data.val_dataloader(), range(1), strict=False)]
    assert len(batch) == 1


def test_splits_and_batches():
    data = loaded(name="ring", samples=1000, batch_size=100)
    assert (data.image_shape, data.num_classes) == ((2,), 8)
    assert len(data.splits["train"].data) == 1000
    assert len(data.splits["val"].data) == 200
    x, labels = next(iter(data.train_dataloader()))
    assert x.shape == (100, 2)
    assert x.dtype == torch.float32
    assert (x - data.centres[labels]).abs().max() < 0.12
    train, val = data.splits["train"].data, data.splits["val"].data
    assert not (val[:, None] == train).all(-1).any()


@pytest.mark.parametrize("name", ["ring", "grid", "swiss_roll", "two_gaussians"])
def test_points_are_a_function_of_the_seed(name):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = loaded(name=name, seed=3).splits["train"].data
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(loaded(name=name, seed=3).splits["train"].data, first)
    assert not torch.equal(loaded(name=name, seed=4).splits["train"].data, first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "spiral"}, r"Toy: name='spiral', choose one of \('ring', 'grid', "),
        ({"samples": 4}, "Toy: samples=4 must be at least 5"),
        ({"batch_size": 0}, "Toy: batch_size=0 must be at least 1"),
        ({"seed": -1}, "Toy: seed=-1 must lie in"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        Toy(**options)


def test_a_set_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"Toy, train split: batch_size=128 .* there are 100"):
        loaded(samples=100).train_dataloader()
