# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. Tackling the gradient issues
#
# The third lecture: the Wasserstein distance in place of the Jensen-Shannon divergence, critics that stay Lipschitz, and how far the loss
# says how good the samples are.

# %%
from pathlib import Path

import torch
from IPython.display import Image, Markdown, display

import zoo
from zoo.backbones import DCGANDiscriminator, DCGANGenerator
from zoo.datamodules import Digits
from zoo.dynamics import Alternating
from zoo.lab import perform, save
from zoo.metrics import frechet_distance
from zoo.metrics.features import Classifier
from zoo.optim import Adam
from zoo.variants import NSGAN, WGANGP


def experiment(name: str, quick: bool = False) -> None:
    """Run an experiment of the lab; show its figure and what was seen."""
    report = perform(name, quick=quick)
    display(Image(str(save(report, Path("lab")))), Markdown(report.result.finding))


# %% [markdown]
# ## A critic's slope stays
#
# Claim: trained to the end, a discriminator has no slope at data or samples, and a Wasserstein critic is nearly linear between them.
# This is the rough version, with few steps; [the lab](../lab.md#two-gaussians) has the whole one.

# %%
experiment("two-gaussians", quick=True)

# %% [markdown]
# ## Clipping is a poor way to bound a slope
#
# Claim: in a deep critic with clipped weights the gradient grows or decays from layer to layer; a gradient penalty keeps it level,
# and spectral norm bounds the slope of every layer by 1.

# %%
experiment("lipschitz")

# %% [markdown]
# ## Does the loss follow the quality?
#
# Claim: a critic's estimate of the Wasserstein distance does, a GAN's loss does not. This experiment takes twenty minutes, so it is not
# run here: `python -m zoo lab wasserstein-tracks-quality` draws the figure, and [the lab](../lab.md#wasserstein-tracks-quality) says what
# was seen.
#
# ![A critic's estimate, and a GAN's, against the exact distance](../lab/wasserstein-tracks-quality.png)

# %% [markdown]
# ## On digits
#
# A GAN and a WGAN with gradient penalty, of the same networks, with the settings of [the recipes](../recipes.md), for 30 kimg: the
# Fréchet distance to held-out digits in the features of a small classifier, `fd/digits-cnn` ([scores](../metrics.md)). One seed and a
# short training do not rank them. The samples are WGAN-GP's.


# %%
def adam(parameters):
    """The recipes' optimiser."""
    return Adam(parameters, lr=1e-3, beta1=0.0, beta2=0.9)


data = Digits(image_size=8, batch_size=32)
classifier = Classifier("digits-cnn")
recipe = {"g_optimizer": adam, "d_optimizer": adam, "dynamics": Alternating(), "ema_decay": 0.99}
for objective, norm, options in ((NSGAN, "batch", {}), (WGANGP, "none", {"gp_weight": 1.0})):
    torch.manual_seed(0)
    critic = DCGANDiscriminator(data.image_shape, width=16, norm=norm)
    gan = objective(DCGANGenerator(data.image_shape, width=16), critic, **recipe, **options)
    zoo.fit(gan, data, kimg=30, logger=False, enable_progress_bar=False, without=["quality", "samples", "diagnostics"])
    samples = gan.sample(300, seed=0)
    distance = frechet_distance(classifier(samples).features, classifier(data.pick("val", 300)).features)
    print(f"{objective.__name__}: fd/digits-cnn {float(distance):.1f}")

# %%
zoo.show(samples[:64])
