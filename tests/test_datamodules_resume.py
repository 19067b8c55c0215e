"""A run that stops and resumes deals the same samples as one that never stopped."""

from itertools import chain
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from zoo.datamodules import DataModule, Split, TensorLoader

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


@pytest.mark.parametrize("stop", [1, 4, 5, 7, 10])
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
