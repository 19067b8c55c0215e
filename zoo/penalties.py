"""Gradient penalties: `where` selects the points, `target` the penalised function of the gradient norm.

| paper | where | target | weight |
| --- | --- | --- | --- |
| WGAN-GP (Gulrajani et al. 2017, eq. 3) | interpolates | two_sided | 10 |
| WGAN-GP one-sided (ibid., section 4) | interpolates | one_sided | 10 |
| R1 (Mescheder et al. 2018, eq. 9) | real | zero | γ/2 |
| R2 (ibid., eq. 10) | fake | zero | γ/2 |
| DRAGAN (Kodali et al. 2017) | near_real | two_sided | 10 |
| DRAGAN, the lectures' form | near_real | squared_hinge | 10 |

Pure functions: x is (N, ...) samples, a norm is (N,), one per sample, over all other dimensions.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from zoo import distributed
from zoo.noise import Noise

Where = Literal["interpolates", "real", "fake", "near_real", "near_real_gaussian"]
Target = Literal["two_sided", "one_sided", "squared_hinge", "zero"]
WHERE: tuple[str, ...] = get_args(Where)
TARGETS: tuple[str, ...] = get_args(Target)


def gradient_norm(score: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """‖∇ₓ score(x)‖₂ of each sample, (N,), differentiable a second time; its gradient is 0 where the norm is 0.

    `score` maps x (N, ...) to (N,); each score must depend on its own sample only, since their sum is differentiated.
    Autocast is off inside, and x is cast to float32 if it was on. x is detached: no gradient reaches G.
    """
    x = x.detach()
    if torch.is_autocast_enabled(x.device.type):
        x = x.float()
    x.requires_grad_(True)
    with torch.autocast(x.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
    return gradient.flatten(1).norm(dim=1)


def penalty_points(where: Where, real: Tensor, fake: Tensor, noise: Noise, *, scale: float = 0.5) -> Tensor:
    """The points (N, ...) of a penalty: for `interpolates` αx + (1-α)G(z); for `real` x; for `fake` G(z).

    For `near_real` x + α·scale·std(x)·u with u ~ U[0, 1) per element, as DRAGAN's authors code it; std(x) is one number
    over the batches of all ranks. For `near_real_gaussian` x + scale·N(0, I), as their text says. α ~ U[0, 1) is one
    per sample.
    """
    if where == "real":
        return real
    if where == "fake":
        return fake
    if where == "near_real_gaussian":
        return real + scale * noise.normal(*real.shape, dtype=real.dtype)
    alpha = noise.uniform(len(real), *[1] * (real.ndim - 1), dtype=real.dtype)
    if where == "interpolates":
        return alpha * real + (1 - alpha) * fake
    if where == "near_real":
        return real + alpha * scale * distributed.deviation(real) * noise.uniform(*real.shape, dtype=real.dtype)
    raise ValueError(f"unknown where {where!r}; choose from {', '.join(WHERE)}")


def norm_penalty(target: Target, norm: Tensor, *, k: float = 1.0) -> Tensor:
    """(N,): `two_sided` (‖∇‖-k)²; `one_sided` max(0, ‖∇‖-k)²; `squared_hinge` max(0, ‖∇‖²-k); `zero` ‖∇‖²."""
    if target == "two_sided":
        return (norm - k).square()
    if target == "one_sided":
        return (norm - k).relu().square()
    if target == "squared_hinge":
        return (norm.square() - k).relu()
    if target == "zero":
        return norm.square()
    raise ValueError(f"unknown target {target!r}; choose from {', '.join(TARGETS)}")
