"""Penalties on the slope of D."""

from __future__ import annotations

from torch.nn.modules.batchnorm import _BatchNorm

from zoo.penalties import TARGETS, WHERE, Target, Where, gradient_norm, norm_penalty, penalty_points
from zoo.schedules import Schedule
from zoo.stabilizers.base import Stabilizer
from zoo.stabilizers.virtual import VirtualBatchNorm
from zoo.support.checks import check_schedule
from zoo.types import Batch, Critic, Game, Output, Terms


class GradientPenalty(Stabilizer):
    """weight · mean of a penalty on the critic's input gradient; `zoo.penalties` has the table of papers.

    The gradient is that of the raw score with respect to the image before any perturbation.

    Args:
        weight: λ. R1's and R2's γ is twice the weight.
        where: the points it looks at.
        target: what the norm should be there.
        k: the norm wanted.
        scale: size of the neighbourhood of `near_real` and `near_real_gaussian`.
        scheduler: kimg to a factor on the weight.

    Raises:
        ValueError: for an unknown `where` or `target`, a negative weight, a batch norm in the discriminator, or a
            discriminator of pairs.
    """

    double_backward = True

    def __init__(
        self,
        weight: float = 10.0,
        where: Where = "interpolates",
        target: Target = "two_sided",
        k: float = 1.0,
        scale: float = 0.5,
        scheduler: Schedule | None = None,
    ) -> None:
        super().__init__()
        if where not in WHERE:
            raise ValueError(f"GradientPenalty: unknown where {where!r}; choose from {', '.join(WHERE)}")
        if target not in TARGETS:
            raise ValueError(f"GradientPenalty: unknown target {target!r}; choose from {', '.join(TARGETS)}")
        if weight < 0:
            raise ValueError(f"GradientPenalty: weight must be at least 0, got {weight}")
        check_schedule(scheduler, "GradientPenalty: scheduler")
        self.weight, self.where, self.target, self.k, self.scale = weight, where, target, k, scale
        self.scheduler = scheduler

    def prepare(self, gan: Game) -> None:
        """Refuse a D of pairs, and a batch norm in D that is not virtual: it makes per-sample gradients meaningless."""
        if any(isinstance(s, VirtualBatchNorm) and s.nets != "generator" for s in gan.stabilizers):
            return  # which replaces them
        check_penalty(gan)

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """The penalty, as `gradient_penalty`."""
        x = penalty_points(self.where, batch.real, batch.fake, batch.noise, scale=self.scale)
        norm = gradient_norm(lambda point: critic(point, "penalty").score, x)
        penalty = norm_penalty(self.target, norm, k=self.k).mean()
        factor = 1.0 if self.scheduler is None else self.scheduler(batch.kimg)
        return {"gradient_penalty": self.weight * factor * penalty}

    def extra_repr(self) -> str:
        """The point of the table, for printing."""
        return f"weight={self.weight}, where={self.where}, target={self.target}, k={self.k}"


def check_penalty(gan: Game, weight: float = 0.0) -> None:
    """Refuse, with a ValueError, a negative weight, a D of pairs, whose penalty points have no z, and batch norms in D.

    A batch norm makes each score depend on the whole batch, so that the gradient of their sum is of no one sample.
    """
    name = type(gan).__name__
    if weight < 0:
        raise ValueError(f"{name}: gp_weight must be at least 0, got {weight}")
    if gan.paired:
        raise ValueError(
            f"{name}: its discriminator scores pairs (x, z), and the points of a gradient penalty have no z of their "
            "own; leave the penalty out"
        )
    for net in gan.discriminators():
        for key, module in net.named_modules():
            if isinstance(module, _BatchNorm):
                raise ValueError(
                    f"{name}: a gradient penalty is per sample, but the {type(net).__name__} has a batch norm ({key}), "
                    "which makes each score depend on the whole batch; use norm: layer, instance or none"
                )


def refuse_penalties(gan: Game, because: str) -> None:
    """Refuse, with a ValueError, gradient penalties beside a part of D that makes scores depend on other samples."""
    if gan.double_backward or any(stabilizer.double_backward for stabilizer in gan.stabilizers):
        raise ValueError(
            f"{type(gan).__name__}: a gradient penalty is per sample, but {because}; leave one of them out"
        )
