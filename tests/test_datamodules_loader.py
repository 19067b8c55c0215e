"""TensorLoader: what a batch holds, in which order, on which rank."""

import random
import time
from itertools import chain, product
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from zoo.datamodules import DataModule, Split, TensorLoader


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


# A run that stops and resumes deals the same samples as one that never stopped.


STEPS = 13  # 5 make an epoch: 22 samples in batches of 4, without the last two


class Numbers(DataModule):
    """22 numbered training samples and 5 held out."""

    image_shape = (1,)

    def load(self):
        return {
            "train": Split(torch.arange(22.0).unsqueeze(1)),
            "val": Split(torch.arange(5.0).unsqueeze(1)),
        }


def flat(batches):
    return list(chain(*batches))


class Recorder(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[float]] = []
        self.validated: list[float] = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch[0].flatten().tolist())
        return self.weight * batch[0].mean()

    def validation_step(self, batch, batch_idx):
        self.validated += batch[0].flatten().tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class SaveEverywhere(Callback):
    """Save at every moment Lightning's own checkpoint callback may, and note how far it was."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.saved: dict[Path, int] = {}

    def save(self, trainer, module, moment):
        path = self.folder / f"{moment}-{len(module.seen)}.ckpt"
        trainer.save_checkpoint(path)
        self.saved[path] = len(module.seen)

    def on_train_batch_end(self, trainer, module, *_):
        self.save(trainer, module, "batch")

    def on_train_epoch_end(self, trainer, module):
        self.save(trainer, module, "epoch")

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            self.save(trainer, module, "validation")


def fit(folder, callbacks=(), ckpt_path=None, batch_size=4, data=None, **limits):
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **limits,
    )
    module = Recorder()
    data = data or Numbers(batch_size=batch_size, seed=3)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return trainer, module


LIMITS = {
    "steps": {"max_steps": STEPS, "max_epochs": -1},
    "epochs": {"max_epochs": 3},
    "steps, validation inside epochs": {"max_steps": STEPS, "val_check_interval": 2},
    "steps, short epochs": {"max_steps": STEPS, "limit_train_batches": 3},
    "epochs, short epochs": {"max_epochs": 3, "limit_train_batches": 3},
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS.keys())
def test_resume_deals_the_same_samples(tmp_path, limits):
    saver = SaveEverywhere(tmp_path)
    _, straight = fit(tmp_path, [saver], **limits)
    assert len(saver.saved) > len(straight.seen) >= 9
    for path, done in saver.saved.items():
        _, resumed = fit(tmp_path, ckpt_path=path, **limits)
        assert resumed.seen == straight.seen[done:], path.name


@pytest.mark.parametrize("stop", [5, 7])  # at the end of an epoch, and in its middle
def test_a_finished_run_goes_on_where_it_stopped(tmp_path, stop):
    _, straight = fit(tmp_path, max_steps=STEPS)
    trainer, first = fit(tmp_path, max_steps=stop)
    trainer.save_checkpoint(tmp_path / "stop.ckpt")
    _, rest = fit(tmp_path, ckpt_path=tmp_path / "stop.ckpt", max_steps=STEPS)
    assert first.seen + rest.seen == straight.seen


def test_a_resumed_run_may_change_its_batch_size(tmp_path):
    trainer, first = fit(tmp_path, max_steps=2)
    trainer.save_checkpoint(tmp_path / "stop.ckpt")
    _, rest = fit(tmp_path, ckpt_path=tmp_path / "stop.ckpt", max_steps=5, batch_size=3)
    _, straight = fit(tmp_path, max_steps=5)
    assert len(rest.seen[0]) == 3
    assert flat(first.seen + rest.seen) == flat(straight.seen)[: 2 * 4 + 3 * 3]


def test_a_second_run_with_the_same_data_starts_anew(tmp_path):
    data = Numbers(batch_size=4, seed=3)
    trainer, first = fit(tmp_path, max_steps=3, data=data)
    trainer.save_checkpoint(tmp_path / "stop.ckpt")
    fit(tmp_path, max_steps=7, data=data, ckpt_path=tmp_path / "stop.ckpt")
    _, again = fit(tmp_path, max_steps=3, data=data)
    assert again.seen == first.seen


def test_trainer_deals_each_epoch_once_and_whole(tmp_path):
    trainer, module = fit(tmp_path, max_epochs=2, num_sanity_val_steps=0)
    assert trainer.num_training_batches == 5
    assert isinstance(trainer.train_dataloader, TensorLoader)
    epochs = [flat(module.seen[:5]), flat(module.seen[5:])]
    assert all(len(set(epoch)) == 20 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert module.validated == [0, 1, 2, 3, 4] * 2


def test_trainer_validates_tests_and_predicts_the_held_out_samples(tmp_path):
    data = Numbers(batch_size=4, seed=3)
    trainer, module = fit(tmp_path, max_steps=1)
    module.validated.clear()
    trainer.validate(module, datamodule=data, verbose=False)
    assert module.validated == [0, 1, 2, 3, 4]
    module.test_step = module.validation_step
    module.predict_step = lambda batch, batch_idx: batch[0].flatten()
    assert torch.cat(trainer.predict(module, datamodule=data)).tolist() == [0, 1, 2, 3, 4]


def test_lightning_fetches_nothing_ahead(tmp_path):
    dealt = []

    class Counts(Callback):
        def on_train_batch_start(self, trainer, *_):
            dealt.append(trainer.train_dataloader.state_dict()["dealt"])

    fit(tmp_path, [Counts()], max_epochs=1)
    assert dealt == [4, 8, 12, 16, 20]


def test_reloading_the_loader_every_epoch_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Numbers: .*leave it at 0"):
        fit(tmp_path, max_epochs=1, reload_dataloaders_every_n_epochs=1)


def test_overfit_batches_repeats_the_same_samples(tmp_path):
    _, module = fit(tmp_path, max_epochs=2, overfit_batches=2)
    assert module.seen == [[0, 1, 2, 3], [4, 5, 6, 7]] * 2
