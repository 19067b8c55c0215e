"""Now and then both sides go part of the way back."""

import torch

from zoo.dynamics.alternating import Dynamics
from zoo.dynamics.checks import at_least
from zoo.dynamics.vectors import flat, write
from zoo.types import Data, Game


class Lookahead(Dynamics):
    """Lookahead-minmax: Chavdarova et al. 2021, "Taming GANs with Lookahead-Minmax", algorithm 1, around any dynamics.

    After every k batches all players go back, together, to ω_slow + α(ω - ω_slow), where ω_slow is their place before
    these k batches. Their optimisers keep their moments. `Lookahead(Lookahead(..., k=5), k=10000)` is the authors'
    nested version.

    On f = xy with simultaneous steps of h the distance from the equilibrium changes by |1 - α + α(1 - ih)ᵏ| in k
    batches: for small h it falls where k(1 - α) > 1. Without Lookahead it grows by |1 - ih|ᵏ.

    ω_slow is saved, as much memory as the networks. Running statistics of batch norms stay as they are.

    Deviations: k counts batches; the authors count generator steps, of which there is one in d_steps batches. The
    average of G's weights and what is sampled without one follow ω, not only ω_slow.

    Args:
        dynamics: who moves when in between.
        k: batches from one return to the next, at least 1. The authors use 5; 5000 with extragradient.
        alpha: α, in (0, 1]; 1 is `dynamics` alone, bit for bit.
    """

    def __init__(self, dynamics: Dynamics, k: int = 5, alpha: float = 0.5) -> None:
        super().__init__()
        at_least(self, 1, k=k)
        if not 0 < alpha <= 1:
            raise ValueError(f"Lookahead: alpha must be in (0, 1], got {alpha}")
        self.dynamics, self.k, self.alpha = dynamics, k, alpha
        self.d_steps: int = getattr(dynamics, "d_steps", 1)

    def prepare(self, gan: Game) -> None:
        """Refuse what `dynamics` refuses; make room for ω_slow."""
        self.dynamics.prepare(gan)
        for name, net in gan.players().items():
            self.register_buffer(f"{name}_slow", flat(net))

    def forward(self, gan: Game, data: Data) -> None:
        """Play one batch."""
        nets = {self.get_buffer(f"{name}_slow"): net for name, net in gan.players().items()}
        if gan.steps % self.k == 0:
            for slow, net in nets.items():
                slow.copy_(flat(net))
        self.dynamics(gan, data)
        if (gan.steps + 1) % self.k == 0:
            for slow, net in nets.items():
                write(net, torch.lerp(slow, flat(net), self.alpha))

    def extra_repr(self) -> str:
        """The interval and the share, for printing."""
        return f"k={self.k}, alpha={self.alpha}"
