"""Both sides look at the same position, then both move."""

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from zoo import distributed
from zoo.dynamics.alternating import Dynamics
from zoo.dynamics.checks import at_least, two_players
from zoo.types import Batch, Critic, Data, Game, Output, Role, Terms, Turn, total

Step: TypeAlias = tuple[Turn, Terms, Any]  # the arguments of `Game.step`


class Simultaneous(Dynamics):
    """One forward pass, the gradients of both losses at that point, then both steps.

    The two losses share latents, fakes and D's scores of them. It runs in float32, outside autocast; a loss scaler,
    whose scale may change between the players' steps, is refused.
    """

    def prepare(self, gan: Game) -> None:
        """Refuse a game of more than two sides."""
        two_players(gan, self)

    def forward(self, gan: Game, data: Data) -> None:
        """Play one batch."""
        for step in self.look(gan, data):
            gan.step(*step)

    def look(self, gan: Game, data: Data) -> list[Step]:
        """Set both sides' gradients at the present point; returns the two steps that are due."""
        if getattr(gan.trainer.precision_plugin, "scaler", None) is not None:
            raise ValueError(f"{type(self).__name__} cannot be used with a loss scaler; use precision bf16-mixed or 32")
        turns = two_players(gan, self)
        parameters = [gan.parameters_of(turn.movers) for turn in turns]
        before = [gan.buffers_of(turn.movers) for turn in turns]
        with torch.autocast(gan.device.type, enabled=False):
            batch = gan.deal(data, graph=True)
            critic = scored_once(gan.bind(batch), batch)
            terms = [turn.loss(critic, batch) for turn in turns]
            gradients = self.gradients(gan, terms, parameters)
        for mine, found in zip(parameters, gradients, strict=True):
            for parameter, gradient in zip(mine, found, strict=True):
                parameter.grad = gradient
        return list(zip(turns, terms, before, strict=True))

    def gradients(self, gan: Game, terms: list[Terms], parameters: list[list[nn.Parameter]]) -> list[list[Tensor]]:
        """Each side's gradient of its own loss."""
        return [_gradients(total(t), p, retain=True) for t, p in zip(terms, parameters, strict=True)]


class Consensus(Simultaneous):
    """Consensus optimisation: Mescheder et al. 2017, "The Numerics of GANs", section 4.

    Let v = (∇_G L_G, ∇_D L_D) and R = ½‖v‖². G descends on L_G + γR, D on L_D + γR. The lectures' "L₀ + λ‖∇L₀‖²" lacks
    the ½ and does not say that the joint norm goes to both.

    v is averaged over ranks, and differentiated through that average, so that ranks agree with one process. Over
    minibatches E‖v‖² exceeds ‖E v‖² by the variance of the gradients, in the paper's code too.

    Args:
        gamma: γ, at least 0; 0 is `Simultaneous`, bit for bit. The authors use 10, with RMSProp at 1e-4.
    """

    double_backward = True

    def __init__(self, gamma: float = 10.0) -> None:
        super().__init__()
        at_least(self, 0, gamma=gamma)
        self.gamma = gamma

    def gradients(self, gan: Game, terms: list[Terms], parameters: list[list[nn.Parameter]]) -> list[list[Tensor]]:
        """Each side's gradient of its own loss and of γR."""
        if self.gamma == 0:
            return super().gradients(gan, terms, parameters)
        own = [_gradients(total(t), p, graph=True) for t, p in zip(terms, parameters, strict=True)]
        field = distributed.mean_with_graph([g for side in own for g in side])
        norm = torch.stack([g.square().sum() for g in field]).sum() / 2
        gan.latest["consensus/half_squared_norm"] = norm.detach()
        pulls = [_gradients(self.gamma * norm, p, retain=True) for p in parameters]
        return [_sum(mine, pull) for mine, pull in zip(own, pulls, strict=True)]

    def extra_repr(self) -> str:
        """The weight, for printing."""
        return f"gamma={self.gamma}"


def scored_once(critic: Critic, batch: Batch) -> Critic:
    """A critic that scores the batch's real images and its fakes once, for all terms."""
    known: dict[Role, Output] = {}

    def shared(x: Tensor, role: Role) -> Output:
        if x is not getattr(batch, role, None):
            return critic(x, role)
        if role not in known:
            known[role] = critic(x, role)
        return known[role]

    return shared


def _gradients(
    loss: Tensor, parameters: list[nn.Parameter], *, graph: bool = False, retain: bool = False
) -> list[Tensor]:
    """∂loss/∂parameters, zero where the loss does not depend on one."""
    return list(
        torch.autograd.grad(loss, parameters, create_graph=graph, retain_graph=graph or retain, materialize_grads=True)
    )


def _sum(mine: list[Tensor], pull: list[Tensor]) -> list[Tensor]:
    return [(a + b).detach() for a, b in zip(mine, pull, strict=True)]
