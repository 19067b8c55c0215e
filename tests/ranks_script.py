"""Train one objective for a few batches on as many processes as argv says; rank r saves its state to <out>-<r>.pt.

python -m tests.ranks_script <objective> <processes> <out>
"""

import sys

import torch
from lightning.pytorch import Callback, Trainer

from datamodules.loader import TensorLoader
from zoo import variants
from zoo.backbones import Autoencoder, MLPDiscriminator, MLPGenerator
from zoo.callbacks import Diagnostics
from zoo.callbacks.evaluation import Evaluation
from zoo.dynamics import Alternating
from zoo.gan import GAN
from zoo.metrics.features import PixelFeatures
from zoo.metrics.scores import SCORES
from zoo.stabilizers import InstanceNoise

GLOBAL_BATCH, BATCHES = 8, 6


def game(objective: type[GAN]) -> GAN:
    """Float64, plain SGD, no batch norm: nothing but the sums' order may differ."""
    torch.manual_seed(0)
    shape = (1, 8, 8)
    critic = Autoencoder(shape, width=3, code_dim=4) if objective.energy_based else MLPDiscriminator(shape, width=9)
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=0.05)  # noqa: E731
    return objective(
        MLPGenerator(shape, latent_dim=5, width=7).double(), critic.double(), dynamics=Alternating(2),
        stabilizers=[InstanceNoise(1.0, sigma=0.3)], g_optimizer=sgd, d_optimizer=sgd, ema_decay=0.5,
    )  # fmt: skip


class Measure(Callback):
    """Scores 31 samples, which two ranks cannot share evenly, at the end."""

    def on_train_end(self, trainer: Trainer, pl_module: GAN) -> None:
        real = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
        self.scores = Evaluation(PixelFeatures(), real, "val", n=31, scores=SCORES)(pl_module).scores


def main() -> None:
    """Run one rank."""
    name, processes, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    gan = game(getattr(variants, name)).double()
    data = torch.randn(GLOBAL_BATCH * BATCHES, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    measure, diagnostics = Measure(), Diagnostics(every_kimg=0.016, n=GLOBAL_BATCH)  # every second batch
    trainer = Trainer(
        accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto", max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
        callbacks=[measure, diagnostics],
    )  # fmt: skip
    size = GLOBAL_BATCH // processes
    loader = TensorLoader(data, batch_size=size, shuffle=True, rank=trainer.global_rank, world_size=processes)
    trainer.fit(gan, loader)
    extra = {"steps": gan.steps, "images": gan.images, "logged": trainer.callback_metrics, "scores": measure.scores}
    extra["readings"] = [reading.as_row() for reading in diagnostics.history.readings]
    torch.save({"state": gan.state_dict(), **extra}, f"{out}-{trainer.global_rank}.pt")


if __name__ == "__main__":
    main()
