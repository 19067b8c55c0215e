# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. Towards principled methods
#
# The second lecture, after Arjovsky & Bottou 2017: why the discriminator becomes perfect, what that does to the generator's gradient, and
# what noise changes. The first three experiments are here in their rough versions, of a tenth of the steps; without `quick=True` they
# are those of [the lab](../lab.md#perfect-discriminator).

# %%
from pathlib import Path

from IPython.display import Image, Markdown, display

from zoo.lab import perform, save


def experiment(name: str, quick: bool = False) -> None:
    """Run an experiment of the lab; show its figure and what was seen."""
    report = perform(name, quick=quick)
    display(Image(str(save(report, Path("lab")))), Markdown(report.result.finding))


# %% [markdown]
# ## A perfect discriminator
#
# Claim: data and samples lie on surfaces of low dimension, which hardly meet; a discriminator that is trained against a generator that
# stays separates them without error.

# %%
experiment("perfect-discriminator", quick=True)

# %% [markdown]
# ## The minimax gradient vanishes
#
# Theorem 2.4: with D within ε of the perfect one, the gradient is below M ε / (1 - ε), M the size of G's Jacobian.

# %%
experiment("vanishing-gradient", quick=True)

# %% [markdown]
# ## The gradient of -log D does not vanish, and is noisy
#
# Theorems 2.5 and 2.6: at the optimal D it is the gradient of KL(samples ‖ data) - 2 JS; near a perfect D, with errors of white noise, it
# has the law of a Cauchy variable. (A Cauchy variable has no mean; the lecture's "infinite expectation" is loose.)

# %%
experiment("unstable-gradient", quick=True)

# %% [markdown]
# ## Noise on both
#
# Claim: noise on data and samples makes their distributions overlap; the divergence falls below log 2 and has a gradient. In the zoo it
# is `zoo.stabilizers.InstanceNoise(until_kimg, sigma)`, which goes with every objective; the minimax games on the right have it.

# %%
experiment("noise")
