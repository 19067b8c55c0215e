"""Both sides step by the gradient of a point ahead of them, which damps the rotation of a game."""

import torch
from torch import Tensor

from zoo.dynamics.simultaneous import Simultaneous
from zoo.dynamics.vectors import flat, write
from zoo.types import Data, Game


class Extragradient(Simultaneous):
    """Gidel et al. 2019, "A Variational Inequality Perspective on Generative Adversarial Networks", algorithms 2 and 4.

    Both sides step to ω' = ω - ηF(ω), F the gradients of both losses; then from ω, with the gradient at ω':
    ω - ηF(ω'). The optimisers are the users' own. Each of their two steps updates their moments, so with Adam this is
    the authors' ExtraAdam. A batch costs twice as much as with `Simultaneous`.

    On f = xy with steps of h the distance from the equilibrium falls by √(1 - h² + h⁴) a batch.

    Deviations: ω and ω' see the same real images, with latents of their own; the authors draw another batch. What
    follows a step (clipped weights, the average of G) follows the second one only; the authors also clip after the
    first. The logged losses are those at ω'.
    """

    def forward(self, gan: Game, data: Data) -> None:
        """Play one batch."""
        nets = list(gan.players().values())
        start = [flat(net) for net in nets]
        for turn, terms, before in self.look(gan, data):
            before.restore(where=gan.optimize(turn, terms))
        steps = self.look(gan, data)
        for net, vector in zip(nets, start, strict=True):
            write(net, vector)
        for step in steps:
            gan.step(*step)


class Optimistic(Simultaneous):
    """Daskalakis et al. 2018, "Training GANs with Optimism": optimistic mirror descent, and algorithm 1 with Adam.

    With u the step that a player's optimiser would take, -η∇L for plain descent, the player takes 2uₜ - uₜ₋₁, u₋₁ = 0.
    It costs as much as `Simultaneous`. For plain descent these are the points ω' of extrapolation from the past
    (Gidel et al. 2019, section 3.3): ω'ₜ₊₁ = ωₜ₊₁ - ηF(ω'ₜ), ωₜ₊₁ = ωₜ - ηF(ω'ₜ).

    On f = xy with steps of h < ½ the distance from the equilibrium falls by √((1 + √(1 - 4h²)) / 2) a batch.

    uₜ₋₁ is saved, as much memory as the networks. A step that is skipped, since it is not finite, leaves it.

    Deviations: a learning rate that changes between two batches enters uₜ₋₁ as it was then.
    """

    def prepare(self, gan: Game) -> None:
        """Refuse a game of more than two sides; begin with u₋₁ = 0."""
        super().prepare(gan)
        for name, net in gan.players().items():
            self.register_buffer(f"{name}_step", torch.zeros_like(flat(net)))

    def forward(self, gan: Game, data: Data) -> None:
        """Play one batch."""
        for turn, terms, before in self.look(gan, data):
            start = {name: flat(gan.players()[name]) for name in turn.movers}
            skipped = gan.optimize(turn, terms)
            before.restore(where=skipped)
            for name, vector in start.items():
                self._correct(gan, name, vector, skipped.bool())
            gan.after_step(turn, terms)

    def _correct(self, gan: Game, name: str, start: Tensor, skipped: Tensor) -> None:
        """From ω + uₜ to ω + 2uₜ - uₜ₋₁; `skipped` is a scalar on the device."""
        net, last = gan.players()[name], self.get_buffer(f"{name}_step")
        there = flat(net)
        step = torch.where(skipped, last, there - start)
        write(net, there + (step - last))
        last.copy_(step)
