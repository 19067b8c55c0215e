"""The kernel distance: a squared maximum mean discrepancy between two sets of features."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.metrics._checks import Estimate, as_float64, in_order

_ROWS = 1024  # of a kernel matrix held at once


def kernel_distance(
    x: Tensor, y: Tensor, *, subsets: int = 1, subset_size: int | None = None, degree: int = 3,
    gamma: float | None = None, coef: float = 1.0, seed: int = 0,
) -> Estimate:  # fmt: skip
    r"""The unbiased squared MMD of Bińkowski et al. (2018, "Demystifying MMD GANs", section 4), in float64.

    .. math:: k(u, v) = (\gamma\, u \cdot v + c)^d

    With Inception's features and the values below it is the KID. Its expectation is 0 for two samples of one law,
    whatever their number, so that values slightly below 0 are right.

    Subsets are drawn without replacement by a generator of their own: the same rows give the same value in any order,
    and the global random state stays as it is. Published KIDs take 100 subsets of 1,000 rows.

    Args:
        x: features, (N, D).
        y: features, (M, D).
        subsets: how many pairs of subsets are compared.
        subset_size: rows of each subset; None compares all of `x` with all of `y`, once.
        degree: d.
        gamma: γ; None is 1 / D.
        coef: c.
        seed: of the subsets.

    Raises:
        ValueError: a shape is wrong, a subset would have fewer than 2 rows or more than there are, several subsets
            would all be the whole sets, or a value is not finite.
    """
    x, y = as_float64("kernel_distance", x, y, least=2)
    if subsets < 1 or (subsets > 1 and subset_size is None):
        raise ValueError(f"kernel_distance: {subsets} subsets need subset_size; or leave both out")
    if subset_size is not None and not 2 <= subset_size <= min(len(x), len(y)):
        raise ValueError(
            f"kernel_distance: subset_size must be in 2..{min(len(x), len(y))}, the rows there are, got {subset_size}"
        )
    gamma = 1 / x.shape[1] if gamma is None else gamma

    def kernel_sum(u: Tensor, v: Tensor) -> Tensor:
        return torch.stack([((gamma * rows @ v.T + coef) ** degree).sum() for rows in torch.split(u, _ROWS)]).sum()

    def within(u: Tensor) -> Tensor:
        """The mean of the kernel over pairs of different rows."""
        diagonal = ((gamma * u.square().sum(1) + coef) ** degree).sum()
        return (kernel_sum(u, u) - diagonal) / (len(u) * (len(u) - 1))

    generator = torch.Generator().manual_seed(seed)
    x, y = in_order(x), in_order(y)
    parts = []
    for _ in range(subsets):
        u, v = (s[torch.randperm(len(s), generator=generator)[:subset_size].to(s.device)] for s in (x, y))
        parts.append(within(u) + within(v) - 2 * kernel_sum(u, v) / (len(u) * len(v)))
    return Estimate.over(parts)
