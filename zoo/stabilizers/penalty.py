"""Penalties on the slope of D."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from zoo import distributed
from zoo.noise import Noise
from zoo.penalties import TARGETS, WHERE, Target, Where, gradient_norm, norm_penalty, penalty_points
from zoo.schedules import Schedule
from zoo.stabilizers.base import Stabilizer
from zoo.stabilizers.virtual import VirtualBatchNorm
from zoo.support.checks import check_schedule
from zoo.types import Batch, Critic, Game, Output, Terms

Estimate = Literal["exact", "finite_difference"]


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
        estimate: `exact` differentiates twice. `finite_difference`, for target `zero`, is
            E (D(x + sε) - D(x))² / s² with one ε ~ N(0, I) per sample: E ‖∇D(x)‖² as s → 0, with more variance, by two
            passes and no second derivative, so that `compile` can be used. R1 and R2 of this form are those of Lin et
            al. 2025, "Adversarial Flow Models".
        step: s; 0.01 in their code.

    Raises:
        ValueError: for an unknown `where`, `target` or `estimate`, a negative weight, a finite difference of another
            target than zero or with a step that is not above 0, a batch norm in the discriminator, or a
            discriminator of pairs.
    """

    def __init__(
        self, weight: float = 10.0, where: Where = "interpolates", target: Target = "two_sided", k: float = 1.0,
        scale: float = 0.5, scheduler: Schedule | None = None, estimate: Estimate = "exact", step: float = 0.01,
    ) -> None:  # fmt: skip
        super().__init__()
        if where not in WHERE:
            raise ValueError(f"GradientPenalty: unknown where {where!r}; choose from {', '.join(WHERE)}")
        if target not in TARGETS:
            raise ValueError(f"GradientPenalty: unknown target {target!r}; choose from {', '.join(TARGETS)}")
        if weight < 0:
            raise ValueError(f"GradientPenalty: weight must be at least 0, got {weight}")
        check_schedule(scheduler, "GradientPenalty: scheduler")
        if estimate not in get_args(Estimate):
            choices = ", ".join(get_args(Estimate))
            raise ValueError(f"GradientPenalty: unknown estimate {estimate!r}; choose from {choices}")
        if estimate == "finite_difference" and target != "zero":
            raise ValueError(f"GradientPenalty: a finite difference estimates ‖∇D‖², target zero; got target {target}")
        if not step > 0:
            raise ValueError(f"GradientPenalty: step must be above 0, got {step}")
        self.weight, self.where, self.target, self.k, self.scale = weight, where, target, k, scale
        self.scheduler, self.estimate, self.step = scheduler, estimate, step
        self.double_backward = estimate == "exact"  # type: ignore[misc]

    def prepare(self, gan: Game) -> None:
        """Refuse a D of pairs, and a batch norm in D that is not virtual: it makes per-sample gradients meaningless."""
        if any(isinstance(s, VirtualBatchNorm) and s.nets != "generator" for s in gan.stabilizers):
            return  # which replaces them
        check_penalty(gan)

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """The penalty, as `gradient_penalty`."""
        x = penalty_points(self.where, batch.real, batch.fake, batch.noise, scale=self.scale)

        def score(points: Tensor) -> Tensor:
            return critic(points, "penalty").score

        if self.estimate == "finite_difference":
            penalty = finite_difference(score, x, self.step, batch.noise).mean()
        else:
            penalty = norm_penalty(self.target, gradient_norm(score, x), k=self.k).mean()
        factor = 1.0 if self.scheduler is None else self.scheduler(batch.kimg)
        return {"gradient_penalty": self.weight * factor * penalty}

    def extra_repr(self) -> str:
        """The point of the table, for printing."""
        estimate = f", estimate={self.estimate}, step={self.step}" * (self.estimate != "exact")
        return f"weight={self.weight}, where={self.where}, target={self.target}, k={self.k}{estimate}"


def finite_difference(score: Callable[[Tensor], Tensor], x: Tensor, step: float, noise: Noise) -> Tensor:
    """(score(x + sε) - score(x))² / s² of each sample, (N,), ε ~ N(0, I): ‖∇ score(x)‖² in expectation, as s → 0.

    Both passes make the same random changes to x. Autocast is off inside, and x is cast to float32 if it was on.
    """
    x = x.detach()
    if torch.is_autocast_enabled(x.device.type):
        x = x.float()
    epsilon = noise.normal(*x.shape, dtype=x.dtype)
    with torch.autocast(x.device.type, enabled=False):
        with noise.ahead():
            there = score(x + step * epsilon)
        return ((there - score(x)) / step).square()


class R1(GradientPenalty):
    """γ/2 · E ‖∇D(x)‖² at real images (Mescheder, Geiger & Nowozin 2018, equation 9).

    Without a gamma it is 0.0002 · H · W / N for images of H by W pixels and batches of N over all ranks: the heuristic
    of StyleGAN2-ADA (Karras et al. 2020, the authors' `--cfg=auto`).

    Args:
        gamma: γ, at least 0. The authors' CIFAR-10 preset has 0.01.
        scheduler: kimg to a factor on γ.

    Raises:
        ValueError: as `GradientPenalty`, and without a gamma for data that are points.
    """

    def __init__(self, gamma: float | None = None, scheduler: Schedule | None = None) -> None:
        super().__init__((gamma or 0) / 2, where="real", target="zero", scheduler=scheduler)
        self.gamma = gamma

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """The penalty, as `gradient_penalty`."""
        if self.gamma is None:
            if batch.real.ndim != 4:
                raise ValueError("R1: the heuristic for gamma is of images, and the data are points; give gamma")
            pixels, images = batch.real.shape[2:].numel(), len(batch.real) * distributed.world_size()
            self.weight = 0.0002 * pixels / images / 2
        return super().d_terms(critic, batch, real, fake)

    def extra_repr(self) -> str:
        """γ, for printing."""
        return f"gamma={self.gamma}"


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
    if gan.double_backward or any(isinstance(stabilizer, GradientPenalty) for stabilizer in gan.stabilizers):
        raise ValueError(
            f"{type(gan).__name__}: a gradient penalty is per sample, but {because}; leave one of them out"
        )
