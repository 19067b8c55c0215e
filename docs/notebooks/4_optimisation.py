# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. Optimisation, training and stabilisation
#
# The fourth lecture: a GAN is a game, and gradient descent does not know it. What makes it circle, what makes it converge, and the value
# surfaces of critics.

# %%
from pathlib import Path

import torch
from IPython.display import Image, Markdown, display

import zoo
from zoo.backbones import DCGANDiscriminator, DCGANGenerator
from zoo.datamodules import Digits
from zoo.dynamics import Extragradient
from zoo.lab import perform, save
from zoo.optim import Adam
from zoo.stabilizers import GradientPenalty
from zoo.variants import NSGAN


def experiment(name: str, quick: bool = False) -> None:
    """Run an experiment of the lab; show its figure and what was seen."""
    report = perform(name, quick=quick)
    display(Image(str(save(report, Path("lab")))), Markdown(report.result.finding))


# %% [markdown]
# ## Two learners that chase each other
#
# Claim: both run around the equilibrium of rock, paper, scissors; averages and damped dynamics converge.

# %%
experiment("rock-paper-scissors")

# %% [markdown]
# ## The Dirac-GAN
#
# One point of data, one point of samples: eigenvalues ±i without a penalty, with R1 and R2 to the left of the axis. The rough version has
# few steps.

# %%
experiment("dirac-gan", quick=True)

# %% [markdown]
# ## The value surfaces of critics
#
# Claim: a critic with clipped weights learns very simple functions; with a gradient penalty it follows the higher moments of the data.

# %%
experiment("value-surfaces", quick=True)

# %% [markdown]
# ## Any dynamics, any stabilizer, any objective
#
# In the zoo they are objects: the same game on digits for 20 kimg, plain, with R1, a penalty on D's slope at the data, and with
# extragradient steps. What was measured over seeds stands in [the pages](../README.md): one seed of this length only shows that all go
# together, and that R1 does what it is for.


# %%
def adam(parameters):
    """The recipes' optimiser."""
    return Adam(parameters, lr=1e-3, beta1=0.0, beta2=0.9)


r1 = GradientPenalty(where="real", target="zero", weight=0.5)
data = Digits(image_size=8, batch_size=32)
for name, options in {"plain": {}, "R1": {"stabilizers": [r1]}, "extragradient": {"dynamics": Extragradient()}}.items():
    torch.manual_seed(0)
    networks = DCGANGenerator(data.image_shape, width=16), DCGANDiscriminator(data.image_shape, width=16, norm="none")
    gan = NSGAN(*networks, g_optimizer=adam, d_optimizer=adam, **options)
    zoo.fit(gan, data, kimg=20, logger=False, enable_progress_bar=False, without=["quality", "samples", "diagnostics"])
    x = (data.pick("val", 300) / 127.5 - 1).float().requires_grad_()
    (slope,) = torch.autograd.grad(gan.discriminator(x)[0].sum(), x)
    print(f"{name}: D's slope at held-out digits {slope.flatten(1).norm(dim=1).mean():.2f}")
