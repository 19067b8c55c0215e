"""TensorLoader: what a batch holds, in which order, on which rank."""

import random
import time
from itertools import product

import numpy as np
import pytest
import torch

from zoo.datamodules import TensorLoader


def numbers(n, **options):
    options = {"batch_size": 4, "shuffle": True} | options
    return TensorLoader(torch.arange(float(n)), **options)


def deal(loader, passes=1):
    """The samples of each batch over some passes."""
    return [batch[0].tolist() for _ in range(passes) for batch in loader]


def test_uint8_is_mapped_exactly_onto_minus_one_to_one():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    ((x,),) = TensorLoader(levels, batch_size=1, shuffle=False)
    assert x.dtype == torch.float32
    x = x.flatten()
    assert x[0] == -1.0
    assert x[255] == 1.0
    assert x[51].item() == pytest.approx(-0.6, abs=1e-7)
    assert x[204].item() == pytest.approx(0.6, abs=1e-7)
    exact = np.arange(256, dtype=np.float32) / np.float32(127.5) - np.float32(1)
    np.testing.assert_array_equal(x.numpy(), exact)
    assert torch.equal(((x + 1) * 127.5).round(), torch.arange(256.0))


def test_labels_stay_with_their_samples_and_float_data_is_left_alone():
    data, labels = torch.arange(10.0) * 100, torch.arange(10)
    for x, y in TensorLoader(data, labels, batch_size=3, shuffle=True):
        assert y.dtype == torch.int64
        assert torch.equal(x, y * 100.0)
    (batch,) = TensorLoader(data, batch_size=10, shuffle=False)
    assert len(batch) == 1


def test_an_epoch_deals_full_batches_of_distinct_samples_in_its_own_order():
    batches = deal(numbers(11), passes=3)
    assert [len(batch) for batch in batches] == [4, 4] * 3
    epochs = [batches[0] + batches[1], batches[2] + batches[3], batches[4] + batches[5]]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_order_is_a_function_of_seed_and_epoch():
    assert deal(numbers(40, seed=1), 2) == deal(numbers(40, seed=1), 2)
    assert deal(numbers(40, seed=1)) != deal(numbers(40, seed=2))
    second_epoch_of_seed_0 = deal(numbers(40, seed=0), 2)[10:]
    assert second_epoch_of_seed_0 != deal(numbers(40, seed=1))


def test_orders_are_uniform():
    firsts = torch.tensor([deal(numbers(4, seed=seed))[0][0] for seed in range(2000)]).long()
    assert firsts.bincount(minlength=4).tolist() == pytest.approx([500] * 4, abs=5 * 19.4)


def test_global_random_states_are_neither_read_nor_moved():
    images = torch.zeros(40, 1, 2, 2, dtype=torch.uint8)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    for _ in TensorLoader(images, batch_size=4, shuffle=True, flip=True):
        pass
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    expected = deal(numbers(40))
    torch.manual_seed(123)
    assert deal(numbers(40)) == expected


def test_evaluation_deals_every_sample_in_order_on_every_pass():
    loader = numbers(10, shuffle=False)
    assert deal(loader, 2) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] * 2
    next(iter(loader))
    assert deal(loader)[0] == [0, 1, 2, 3]


@pytest.mark.parametrize("flip", [False, True])
def test_ranks_deal_what_one_process_deals(flip):
    images = torch.arange(23 * 4, dtype=torch.uint8).view(23, 1, 2, 2)
    options = {"shuffle": True, "seed": 5, "flip": flip}
    one = TensorLoader(images, batch_size=6, **options)
    ranks = [TensorLoader(images, batch_size=2, rank=rank, world_size=3, **options) for rank in range(3)]
    for _ in range(2):
        assert len(one) == 3
        for (whole,), *parts in zip(one, *ranks, strict=True):
            assert [len(part) for (part,) in parts] == [2, 2, 2]
            assert torch.equal(whole, torch.cat([part for (part,) in parts]))


@pytest.mark.parametrize(("n", "world_size"), [(11, 2), (12, 3), (13, 4), (8, 2), (4, 4)])
def test_ranks_evaluate_every_sample_once_and_evenly(n, world_size):
    loaders = [numbers(n, batch_size=2, shuffle=False, rank=rank, world_size=world_size) for rank in range(world_size)]
    shards = [deal(loader) for loader in loaders]
    assert sorted(x for shard in shards for batch in shard for x in batch) == list(range(n))
    assert all(batch == sorted(batch) and batch for shard in shards for batch in shard)
    sizes = [sum(map(len, shard)) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("shuffle", [True, False])
def test_len_counts_the_batches_of_a_pass(shuffle):
    for n, batch_size, world_size in product((12, 13, 17, 24), (1, 2, 4), (1, 2, 3)):
        for rank in range(world_size):
            loader = numbers(n, batch_size=batch_size, shuffle=shuffle, rank=rank, world_size=world_size)
            assert len(loader) == len(deal(loader)) > 0


def test_flips_mirror_half_of_the_images_anew_each_epoch():
    images = torch.zeros(400, 1, 2, 2, dtype=torch.uint8)
    images[:, :, :, 1] = 255
    labels = torch.arange(400)
    loader = TensorLoader(images, labels, batch_size=400, shuffle=True, flip=True)
    masks = []
    for _ in range(2):
        ((x, y),) = loader
        left, right = x[:, 0, :, 0], x[:, 0, :, 1]
        assert torch.equal(left, -right)
        mask = torch.empty(400, dtype=torch.bool)
        mask[y] = left[:, 0] == 1
        masks.append(mask)
        assert 150 < mask.sum() < 250
    assert 150 < (masks[0] != masks[1]).sum() < 250
    assert images[:, :, :, 0].max() == 0  # the stored set is untouched
    small = TensorLoader(images, labels, batch_size=7, shuffle=True, flip=True)
    for x, y in small:
        assert torch.equal(x[:, 0, 0, 0] == 1, masks[0][y])


@pytest.mark.parametrize("cut", range(9))
def test_a_loaded_state_goes_on_with_the_next_sample(cut):
    straight = deal(numbers(15, seed=7), passes=4)
    first = numbers(15, seed=7)
    stream = (batch for _ in range(3) for (batch,) in first)
    batches = [next(stream).tolist() for _ in range(cut)]
    resumed = numbers(15, seed=7)
    resumed.load_state_dict(first.state_dict())
    assert batches + deal(resumed) == straight[: cut + len(resumed)]


def test_a_state_counts_samples_of_all_ranks():
    one, rank = numbers(40), numbers(40, batch_size=2, rank=1, world_size=2)
    next(iter(one))
    next(iter(rank))
    assert one.state_dict() == rank.state_dict() == {"epoch": 0, "dealt": 4}
    bigger = numbers(40, batch_size=12)
    bigger.load_state_dict(rank.state_dict())
    assert deal(bigger)[0] == [x for batch in deal(numbers(40))[1:4] for x in batch]


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (3, {}, r"batch_size=4 on 1 rank\(s\) needs 4 samples, but there are 3"),
        (7, {"world_size": 2}, r"batch_size=4 on 2 rank\(s\) needs 8 samples, but there are 7"),
        (0, {"shuffle": False}, "needs 1 samples, but there are 0"),
        (1, {"shuffle": False, "world_size": 2}, "needs 2 samples, but there are 1"),
    ],
)
def test_too_few_samples_are_refused(n, options, message):
    with pytest.raises(ValueError, match=message):
        numbers(n, **options)


def test_a_batch_costs_one_gather():
    images = torch.randint(0, 256, (10_000, 3, 32, 32), dtype=torch.uint8)
    labels = torch.zeros(10_000, dtype=torch.int64)
    loader = TensorLoader(images, labels, batch_size=64, shuffle=True)
    stream = (batch for _ in range(8) for batch in loader)
    start = time.perf_counter()
    for _, batch in zip(range(1000), stream, strict=False):
        assert batch[0].shape == (64, 3, 32, 32)
    assert time.perf_counter() - start < 3.0  # typically 0.2 s; image by image, 10 s
