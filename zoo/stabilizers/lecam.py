"""A penalty on scores that leave the recent averages."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo import distributed
from zoo.noise import Noise
from zoo.stabilizers.base import Stabilizer
from zoo.types import Batch, Critic, Game, Output, Role, Terms, Turn


class LeCam(Stabilizer):
    """weight · (E max(0, D(x) - α_F)² + E max(0, α_R - D(G(z)))²), added to D's loss (Tseng et al. 2021).

    α_R and α_F are moving averages of D's scores of real images and of fakes. They are constants when the term is
    differentiated, saved, and the same on all ranks. Until `start_kimg` the term is 0 and the averages are the last
    batch's means. A D with few data scores them ever higher and fakes ever lower; the term bounds the gap.

    Deviations: the averages are updated after D's move, in the authors' code before it, so that theirs have this
    batch's scores in them. The authors' code for CIFAR-10 on BigGAN has decay 0.9, and starts after 1,000 rounds of 4
    batches of 50, 200 kimg; that on StyleGAN2 has 0.99 and no start.

    Args:
        weight: λ, at least 0; 0 is the plain run, bit for bit. The authors use 0.3 on BigGAN, CIFAR-10.
        decay: of the averages per move of D, in [0, 1).
        start_kimg: when the term begins, at least 0; it begins on D's second move at the earliest.

    Raises:
        ValueError: for a value out of range, a D that scores by energy, and more than one D.
    """

    real: Tensor
    fake: Tensor
    known: Tensor

    def __init__(self, weight: float = 0.3, decay: float = 0.99, start_kimg: float = 0.0) -> None:
        super().__init__()
        if weight < 0 or not 0 <= decay < 1 or start_kimg < 0:
            raise ValueError(
                "LeCam: weight and start_kimg must be at least 0 and decay in [0, 1), "
                f"got weight={weight}, decay={decay}, start_kimg={start_kimg}"
            )
        self.weight, self.decay, self.start_kimg = weight, decay, start_kimg
        self._kimg = 0.0
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))
        self.register_buffer("known", torch.zeros((), dtype=torch.bool))

    def prepare(self, gan: Game) -> None:
        """Refuse energies, which are lower on real images, and several discriminators."""
        name, count = type(gan).__name__, len(gan.discriminators())
        if gan.energy_based:
            raise ValueError(f"{name}: LeCam needs scores that are higher on real images, and these are energies")
        if count > 1:
            raise ValueError(f"{name}: LeCam keeps the averages of one discriminator, and there are {count}")

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """Return x unchanged; take note of the kimg."""
        self._kimg = kimg
        return x

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """The penalty, as `lecam`."""
        above = (real.score - self.fake).relu().square().mean()
        below = (self.real - fake.score).relu().square().mean()
        on = self.known if self._kimg >= self.start_kimg else torch.zeros_like(self.known)
        return {"lecam": self.weight * torch.where(on, above + below, torch.zeros_like(above))}

    @torch.no_grad()
    def after_turn(self, turn: Turn, gan: Game) -> None:
        """Take the scores of D's move into the averages, unless one is not finite."""
        if turn.side != "d":
            return
        said = gan.outputs[turn.name]
        now = distributed.mean(torch.stack([said["real"].score.mean(), said["fake"].score.mean()]))
        fits = now.isfinite().all()
        keep = self.decay if self._kimg >= self.start_kimg else 0.0
        for average, new in zip((self.real, self.fake), now, strict=True):
            moved = torch.where(self.known, torch.lerp(new, average.to(new), keep), new)
            average.copy_(torch.where(fits, moved, average.to(new)))
        self.known.logical_or_(fits)
        gan.latest |= {"lecam/real": self.real.clone(), "lecam/fake": self.fake.clone()}

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"weight={self.weight}, decay={self.decay}, start_kimg={self.start_kimg}"
