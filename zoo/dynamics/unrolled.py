"""Dynamics in which G's loss is differentiated through D's gradient or through unrolled steps of D."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from zoo import distributed
from zoo.dynamics.alternating import Alternating
from zoo.dynamics.checks import at_least, two_players
from zoo.dynamics.simultaneous import scored_once
from zoo.types import Batch, Data, Game, State, Terms, Turn, total

Rule = Callable[[list[Tensor], list[Tensor]], list[Tensor]]  # parameters and gradients to new parameters
_Tensors = list[Tensor] | tuple[Tensor, ...]
_TINY = 1e-36


class _ThroughD(Alternating):
    """Alternating, with a loss of G's own that is differentiated through D's parameters too."""

    double_backward = True
    off: bool  # whether G's loss is the game's own

    def prepare(self, gan: Game) -> None:
        """Refuse a game of more than two sides."""
        two_players(gan, self)

    def play(self, gan: Game, turn: Turn, data: Data) -> None:
        """One move."""
        if turn.side == "d" or self.off:
            gan.play(turn, data)
        else:
            gan.move(turn, lambda: self.g_loss(gan, turn, data), differentiates=("d",))

    @abstractmethod
    def g_loss(self, gan: Game, turn: Turn, data: Data) -> Terms:
        """The terms of G's loss."""


class GradientRegularized(_ThroughD):
    """Nagarajan & Kolter 2017, "Gradient descent GAN optimization is locally stable", section 4.

    G's loss gains η‖∇V‖², V = -L_D, the norm over D's parameters; it is differentiated to G's parameters only. D's loss
    stays as it is. Pair it with `MinimaxGAN` for the paper's game.

    The gradient is averaged over ranks, and differentiated through that average. G's turn runs in float32, outside
    autocast.

    Args:
        eta: η, at least 0; 0 is `Alternating`, bit for bit. The authors use 0.5.
        d_steps: as in `Alternating`.
        g_steps: as in `Alternating`.
    """

    def __init__(self, eta: float = 0.5, d_steps: int = 1, g_steps: int = 1) -> None:
        super().__init__(d_steps, g_steps)
        at_least(self, 0, eta=eta)
        self.eta, self.off = eta, eta == 0

    def g_loss(self, gan: Game, turn: Turn, data: Data) -> Terms:
        """The game's own terms and η‖∇V‖²."""
        seen = dict(gan.outputs)
        with torch.autocast(gan.device.type, enabled=False):
            batch = gan.deal(data, graph=True)
            critic = scored_once(gan.bind(batch), batch)
            d_loss = total(two_players(gan, self)[0].loss(critic, batch))
            parameters = gan.parameters_of(["d"])
            gradient = torch.autograd.grad(d_loss, parameters, create_graph=True, materialize_grads=True)
            norm = torch.stack([g.square().sum() for g in distributed.mean_with_graph(list(gradient))]).sum()
            gan.outputs = seen
            return turn.loss(critic, batch) | {"gradient_norm": self.eta * norm}

    def extra_repr(self) -> str:
        """The weight and the step counts, for printing."""
        return f"eta={self.eta}, {super().extra_repr()}"


class Unrolled(_ThroughD):
    """Unrolled GAN: Metz et al. 2017, "Unrolled Generative Adversarial Networks", section 2, for any objective.

    G's loss uses D after `k` further D steps on the same minibatch, and is differentiated through them. D itself, its
    buffers and its optimiser are left as they were, bit for bit. D's own turn is an ordinary step. For the paper's
    game, where G minimises all of -L_D at the unrolled D, use `UnrolledGAN`.

    Under several ranks the inner gradients are averaged, through the graph, so that ranks agree with one process.

    Args:
        k: steps of foresight, at least 0; 0 is `Alternating`, bit for bit.
        lr: learning rate of the inner steps; None is that of D's optimiser.
        inner: `sgd`; or `optimizer`, a differentiable copy of D's Adam and of its moments as they are; None is `sgd`
            with an `lr` and `optimizer` without.
        d_steps: as in `Alternating`.
        g_steps: as in `Alternating`.
    """

    def __init__(
        self, k: int = 5, lr: float | None = None, inner: Literal["sgd", "optimizer"] | None = None, d_steps: int = 1,
        g_steps: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(d_steps, g_steps)
        at_least(self, 0, k=k, lr=0 if lr is None else lr)
        if inner not in (None, "sgd", "optimizer"):
            raise ValueError(f"Unrolled: unknown inner {inner!r}; choose from sgd, optimizer")
        self.k, self.lr, self.off = k, lr, k == 0
        self.inner = inner or ("optimizer" if lr is None else "sgd")

    def unroll(self, gan: Game, batch: Batch) -> State:
        """D's parameters after k steps on the batch, with the graph of those steps, and throw-away buffers."""
        net, d_turn = gan.discriminator, two_players(gan, self)[0]
        names = _by_module(net, "named_parameters")
        buffers = {b: b.clone() for b in net.buffers()}
        still = {name: buffers[b] for name, b in _by_module(net, "named_buffers").items()}
        movers = [p for p in net.parameters() if p.requires_grad]
        at = [p.detach().requires_grad_() for p in movers]
        step = self._rule(gan, movers)
        seen = dict(gan.outputs)

        def state() -> State:
            moved: dict[Tensor, Tensor] = dict(zip(movers, at, strict=True))
            return still | {name: moved.get(p, p.detach()) for name, p in names.items()}

        for _ in range(self.k):
            loss = total(d_turn.loss(gan.bind(batch, state=state()), batch))
            gradients = torch.autograd.grad(loss, at, create_graph=True, materialize_grads=True)
            at = step(at, distributed.mean_with_graph(list(gradients)))
        gan.outputs = seen
        return state()

    def g_loss(self, gan: Game, turn: Turn, data: Data) -> Terms:
        """The game's own terms at the unrolled D."""
        batch = gan.deal(data, graph=True)
        return turn.loss(gan.bind(batch, state=self.unroll(gan, batch)), batch)

    def _rule(self, gan: Game, movers: Sequence[Tensor]) -> Rule:
        optimizer = gan.optimizer_of("d")
        group = optimizer.param_groups[0]
        lr = group["lr"] if self.lr is None else self.lr
        if self.inner == "sgd":
            return lambda at, gradients: [p - lr * g for p, g in zip(at, gradients, strict=True)]
        if not isinstance(optimizer, torch.optim.Adam) or group["amsgrad"] or group["weight_decay"]:
            raise ValueError(
                "Unrolled: inner='optimizer' copies Adam without amsgrad and weight_decay, "
                f"not {type(optimizer).__name__} as it is set here; give an lr for plain SGD steps"
            )
        return DifferentiableAdam([optimizer.state[p] for p in movers], lr, group["betas"], group["eps"])

    def extra_repr(self) -> str:
        """The foresight and the step counts, for printing."""
        return f"k={self.k}, lr={self.lr}, inner={self.inner}, {super().extra_repr()}"


class DifferentiableAdam:
    """Adam's steps (Kingma & Ba 2015, algorithm 1), differentiable, from an optimiser's moments, which it leaves.

    Args:
        states: what `torch.optim.Adam` keeps for each parameter; empty before its first step.
        lr: learning rate.
        betas: decay of the first and the second moment.
        eps: added to the root of the second moment.
    """

    def __init__(self, states: list[dict[str, Tensor]], lr: float, betas: tuple[float, float], eps: float) -> None:
        self.lr, self.betas, self.eps = lr, betas, eps
        zero = torch.zeros(())
        steps = states[0].get("step", zero) if states else zero
        self.steps = steps.double()
        self.first: _Tensors = [state.get("exp_avg", zero) for state in states]
        self.second: _Tensors = [state.get("exp_avg_sq", zero) for state in states]

    def __call__(self, at: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
        """The parameters after one more step."""
        if not at:
            return []
        self.steps = self.steps + 1
        beta1, beta2 = self.betas
        self.first = _mean(self.first, gradients, beta1)
        self.second = _mean(self.second, torch._foreach_mul(gradients, gradients), beta2)
        rate, scale = self.lr / (1 - beta1**self.steps), (1 - beta2**self.steps) ** 0.5
        # the root's slope is infinite at 0, where an entry never had a gradient; there it is cut off
        root = torch._foreach_div(torch._foreach_sqrt(torch._foreach_clamp_min(self.second, _TINY)), scale)
        change = torch._foreach_div(torch._foreach_mul(self.first, rate), torch._foreach_add(root, self.eps))
        return list(torch._foreach_sub(at, change))


def _by_module(net: nn.Module, kind: Literal["named_parameters", "named_buffers"]) -> dict[str, Tensor]:
    """Parameters or buffers by name; those that modules share, under the name that each has for them."""
    return {n: t for prefix, module in net.named_modules() for n, t in getattr(module, kind)(prefix, recurse=False)}


def _mean(before: _Tensors, now: _Tensors, beta: float) -> _Tensors:
    return torch._foreach_add(torch._foreach_mul(before, beta), torch._foreach_mul(now, 1 - beta))
