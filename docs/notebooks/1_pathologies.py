# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1. GAN training pathologies
#
# The first lecture: what a GAN minimises, and three ways in which it fails: vanishing gradients, mode collapse and oscillation.
# Each section has a claim, an experiment of the zoo that tests it, and what was seen. The experiments are those of
# [the lab](../lab.md).

# %%
from pathlib import Path

import torch
from IPython.display import Image, Markdown, display
from PIL.Image import fromarray

import zoo
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.datamodules import Toy
from zoo.lab import perform, save
from zoo.metrics import mode_coverage
from zoo.optim import Adam
from zoo.run.pictures import picture
from zoo.stabilizers import GradientPenalty
from zoo.variants import NSGAN, RelativisticGAN


def experiment(name: str, quick: bool = False) -> None:
    """Run an experiment of the lab; show its figure and what was seen."""
    report = perform(name, quick=quick)
    display(Image(str(save(report, Path("lab")))), Markdown(report.result.finding))


# %% [markdown]
# ## Divergences
#
# With an optimal discriminator the minimax game minimises the Jensen-Shannon divergence of data and samples. It is bounded by
# log 2, and there its gradient is gone: the lecture's "meaningful gradients without significant overlap" holds for a little
# overlap, and not for none.

# %%
experiment("divergences")

# %% [markdown]
# ## Vanishing gradients
#
# Claim: the better the discriminator, the smaller the gradient of E log(1 - D(G(z))).

# %%
experiment("vanishing-gradient")

# %% [markdown]
# ## Oscillation
#
# Claim: in the game f(x, y) = xy gradient steps circle around the equilibrium. Rock, paper, scissors is the same with probabilities.

# %%
experiment("rock-paper-scissors")

# %% [markdown]
# ## Mode collapse
#
# Eight Gaussians on a ring, and the non-saturating GAN. A mode counts when 20 of 2,500 samples lie within 3σ of it. In five
# seeds of 6,000 batches each it ended on one mode ([the ring](../ring.md)); here it plays 1,500.


# %%
def adam(parameters):
    """The ring's optimiser."""
    return Adam(parameters, lr=1e-3, beta1=0.5)


def ring(objective, **options):
    """Train on the ring; show samples, blue, over the data, grey, and count modes."""
    torch.manual_seed(0)
    data = Toy(name="ring", batch_size=128)
    generator = MLPGenerator((2,), latent_dim=256, width=128, depth=2, init_gain=0.8)
    critic = MLPDiscriminator((2,), width=128, depth=3, init_gain=1.4)
    gan = objective(generator, critic, g_optimizer=adam, d_optimizer=adam, ema_decay=None, **options)
    zoo.fit(gan, data, kimg=192, logger=False, enable_progress_bar=False, without=["quality", "samples", "diagnostics"])
    samples = gan.sample(2500, seed=0)
    coverage = mode_coverage(samples, data.centres, data.sigma)
    print(f"{objective.__name__}: {int(coverage.populated)} of 8 modes, {coverage.high_quality:.0%} within 3σ of one")
    return fromarray(picture(samples, data=data.splits["train"].data))


ring(NSGAN)

# %% [markdown]
# A relativistic loss with gradient penalties on both sides, R1 and R2, as R3GAN has them. It does not collapse: its samples lie all
# around the ring, but far wider than the data, so that few modes count. A lighter penalty is sharper and collapses; no weight
# was found that does neither ([measurements](../ring.md)).

# %%
penalties = [GradientPenalty(where=where, target="zero", weight=0.05) for where in ("real", "fake")]
ring(RelativisticGAN, stabilizers=penalties)
