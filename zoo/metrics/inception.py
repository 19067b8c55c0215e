"""The inception score: how sure a classifier is of each image, and how varied its classes are."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.metrics._checks import Estimate, finite, in_order


def inception_score(p: Tensor, splits: int = 10, *, seed: int = 0) -> Estimate:
    r"""The score of Salimans et al. (2016, section 4), over `splits` parts, in float64.

    .. math:: \exp\, \mathbb{E}_x\, \mathrm{KL}\bigl(p(y|x) \,\Vert\, p(y)\bigr)

    In [1, K]; higher is better. It is an inception score only if `p` are Inception v3's. It grows with the rows of
    a part: compare only at the same N and `splits`.

    Rows are assigned to parts, whose sizes differ by one at most, by a generator of its own: the same rows give the
    same value in any order, and the global random state stays as it is.

    Args:
        p: class probabilities, (N, K) with N >= `splits`: the softmax of a classifier's logits.
        splits: parts that are scored each by itself.
        seed: of who comes into which part.

    Raises:
        ValueError: a shape or `splits` is wrong, or the rows are no probabilities: below 0, not finite, or their sum
            not 1 to 1e-3.
    """
    p = as_probabilities("inception_score", p)
    if not 1 <= splits <= len(p):
        raise ValueError(f"inception_score: splits must be in 1..{len(p)}, the rows there are, got {splits}")
    drawn = torch.randperm(len(p), generator=torch.Generator().manual_seed(seed))
    rows = in_order(p)[drawn.to(p.device)]
    return Estimate.over([_score(part) for part in rows.tensor_split(splits)])


def as_probabilities(metric: str, p: Tensor) -> Tensor:
    """The same in float64, after making sure that it is (N, K) with rows that sum to 1; ValueError."""
    if p.ndim != 2 or p.shape[1] < 2:
        raise ValueError(f"{metric}: needs probabilities of shape (N, K), got {tuple(p.shape)}")
    p = finite(metric, p)
    if (p < 0).any() or ((p.sum(1) - 1).abs() > 1e-3).any():
        raise ValueError(f"{metric}: rows are no probabilities: they must be >= 0 and sum to 1; take a softmax first")
    return p


def _score(p: Tensor) -> Tensor:
    """exp(H(y) - H(y|x)), which is the same."""
    marginal = p.mean(0)
    return (torch.special.entr(marginal).sum() - torch.special.entr(p).sum(1).mean()).exp()
