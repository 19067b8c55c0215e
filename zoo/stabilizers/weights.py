"""Stabilizers of weights: spectral norm, clipping, penalties."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from zoo.stabilizers.base import Stabilizer
from zoo.types import Batch, Critic, Game, Output, Terms, Turn


class SpectralNorm(Stabilizer):
    """Divides every weight of D by its largest singular value (Miyato et al. 2018), the last layer's too.

    One power iteration per forward pass of D's own turn, started from 15 at construction (torch's choice; the paper
    starts from a random vector). The vectors are buffers: saved, and still while others move. As in the paper's code a
    convolution is measured as the matrix (C_out, C_in·k·k), which bounds its true norm only up to a factor of k.

    Args:
        n_power_iterations: per forward pass.
    """

    def __init__(self, n_power_iterations: int = 1) -> None:
        super().__init__()
        if n_power_iterations < 1:
            raise ValueError(f"SpectralNorm: n_power_iterations must be at least 1, got {n_power_iterations}")
        self.n_power_iterations = n_power_iterations

    def prepare(self, gan: Game) -> None:
        """Parametrise the weights of every linear, convolutional and embedding layer of D."""
        _refuse_scaled(gan, "SpectralNorm")
        layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Embedding)
        for module in [module for net in gan.discriminators() for module in net.modules()]:
            if isinstance(module, layers):
                spectral_norm(module, n_power_iterations=self.n_power_iterations)


def _refuse_scaled(gan: Game, name: str) -> None:
    """ValueError for layers that multiply their weights by a constant in use, as growing networks do."""
    for net in gan.discriminators():
        if any(isinstance(getattr(module, "scale", None), float) for module in net.modules()):
            raise ValueError(
                f"{type(gan).__name__}: {name} bounds the weights, and {type(net).__name__} multiplies them, "
                "so that they are next to 0; choose another discriminator, or leave it out"
            )


class WeightClip(Stabilizer):
    """Clamps every parameter of D, norms' gains and biases included, to [-c, c] after each of its moves.

    Arjovsky et al. 2017, algorithm 1. The authors' code clamps before each move instead, which leaves the critic that
    the generator meets outside the box.

    Args:
        c: half the side of the box, in (0, 1e12).
    """

    def __init__(self, c: float = 0.01) -> None:
        super().__init__()
        if not 0 < c < 1e12:
            raise ValueError(f"WeightClip: c must be above 0 and below 1e12, got {c}")
        self.c = c

    def prepare(self, gan: Game) -> None:
        """Refuse spectral norm, which would undo the box."""
        _refuse_scaled(gan, "WeightClip")
        if any(isinstance(stabilizer, SpectralNorm) for stabilizer in gan.stabilizers):
            raise ValueError(
                f"{type(gan).__name__}: WeightClip bounds the weights and SpectralNorm scales them afterwards, so that "
                "the box has no effect; leave one of them out"
            )

    @torch.no_grad()
    def after_turn(self, turn: Turn, gan: Game) -> None:
        """Clamp what is not frozen, if it was D's turn."""
        moved = [module for name in turn.movers for module in gan.players()[name].modules()]
        for net in gan.discriminators():
            weights: list[Tensor] = [p for p in net.parameters() if p.requires_grad]
            if net in moved and weights:
                torch._foreach_clamp_min_(weights, -self.c)
                torch._foreach_clamp_max_(weights, self.c)

    def extra_repr(self) -> str:
        """The box, for printing."""
        return f"c={self.c}"


class WeightPenalty(Stabilizer):
    """weight · mean over D's kernels W of ½‖W‖², added to D's loss.

    As in the authors' code of Kurach et al. 2019, "A Large-Scale Study on Regularization and Normalization in GANs".
    Under Adam this is not weight decay: the penalty's gradient is rescaled with the rest. Kernels are D's parameters of
    two or more dimensions, embeddings too; biases and the norms' gains stay free. Under `SpectralNorm` they are the
    weights before normalisation, so that only the step size feels it.

    Args:
        weight: λ, at least 0; 0 is the plain run, bit for bit.

    Raises:
        ValueError: for a negative weight, or a dynamics that unrolls D, whose steps ahead it cannot see.
    """

    def __init__(self, weight: float = 1e-4) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"WeightPenalty: weight must be at least 0, got {weight}")
        self.weight = weight
        self._of: tuple[nn.Module, ...] = ()  # in a tuple: not a submodule

    def prepare(self, gan: Game) -> None:
        """Take note of D."""
        _refuse_foresight(self, gan)
        self._of = gan.discriminators()

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """The penalty, as `weight_penalty`."""
        kernels = [p for net in self._of for p in net.parameters() if p.ndim > 1]
        return {"weight_penalty": self.weight * torch.stack([w.square().sum() / 2 for w in kernels]).mean()}

    def extra_repr(self) -> str:
        """The weight, for printing."""
        return f"weight={self.weight}"


class HistoricalAveraging(Stabilizer):
    """weight · ‖θ - θ̄‖² for D and for G, each with its own past (Salimans et al. 2016, section 3.3).

    θ̄ = (1/t) Σ θᵢ is the mean of where the player has been: its start, the places after each of its moves, and the
    present one; a constant when the term is differentiated. Saved, as much memory as the networks, and the same on all
    ranks. The generator's and every discriminator's parameters count, not what else a paper adds (InfoGAN's Q, an
    encoder); of two discriminators each is drawn to its past in its own turn. The paper gives no weight (from memory;
    not re-read).

    Args:
        weight: at least 0; 0 is the plain run, bit for bit.

    Raises:
        ValueError: for a negative weight, a dynamics that unrolls D, whose steps ahead it cannot see, and, at the first
            move, if a later stabilizer has given D or G other parameters.
    """

    def __init__(self, weight: float = 1e-4) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"HistoricalAveraging: weight must be at least 0, got {weight}")
        self.weight = weight
        self._present: dict[str, list[nn.Parameter]] = {}

    def prepare(self, gan: Game) -> None:
        """Begin both averages where D and G are now."""
        _refuse_foresight(self, gan)
        for player, net in _networks(gan).items():
            self._present[player] = list(net.parameters())
            self.register_buffer(f"{player}_mean", self._vector(player).detach().clone())
            self.register_buffer(f"{player}_points", torch.ones((), dtype=torch.int64))

    @torch.no_grad()
    def begin(self, gan: Game) -> None:
        """Begin them anew on the first batch: weights may have been loaded since."""
        if gan.steps == 0:
            for player in self._present:
                self.get_buffer(f"{player}_mean").copy_(self._vector(player))

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """D's distance from its past, as `historical_averaging`."""
        return {"historical_averaging": self._term("d")}

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """G's distance from its past, as `historical_averaging`."""
        return {"historical_averaging": self._term("g")}

    @torch.no_grad()
    def after_turn(self, turn: Turn, gan: Game) -> None:
        """Take the mover's new place into its average."""
        moved = {id(p) for name in turn.movers for p in gan.players()[name].parameters()}
        for player, net in _networks(gan).items():
            if {id(p) for p in net.parameters()} != {id(p) for p in self._present[player]}:
                raise ValueError(
                    f"{type(gan).__name__}: a stabilizer after HistoricalAveraging changed the parameters of "
                    f"{type(net).__name__}; put HistoricalAveraging last"
                )
            if moved.intersection(map(id, net.parameters())):
                mean, points = self.get_buffer(f"{player}_mean"), self.get_buffer(f"{player}_points")
                mean.lerp_(self._vector(player), 1 / points.add_(1).to(mean.dtype))

    def extra_repr(self) -> str:
        """The weight, for printing."""
        return f"weight={self.weight}"

    def _vector(self, player: str) -> Tensor:
        return torch.cat([parameter.reshape(-1) for parameter in self._present[player]])

    def _term(self, side: str) -> Tensor:
        """Of those networks of a side that move now: the others are frozen."""
        moving = [p for p in self._present if p[0] == side and any(w.requires_grad for w in self._present[p])]
        distances = [(self._vector(p) - self.get_buffer(f"{p}_mean")).square().sum() for p in moving]
        return self.weight * sum(distances, self.get_buffer("g_mean").new_zeros(()))


def _networks(gan: Game) -> dict[str, nn.Module]:
    """The discriminators as d, d2, ..., and the generator as g."""
    discriminators = {f"d{i or ''}": net for i, net in enumerate(gan.discriminators())}
    return {**discriminators, "g": gan.generator}


def _refuse_foresight(stabilizer: Stabilizer, gan: Game) -> None:
    ahead = [type(part).__name__ for part in gan.dynamics.modules() if hasattr(part, "unroll")]
    if ahead:
        raise ValueError(
            f"{type(gan).__name__}: {type(stabilizer).__name__} looks at D's own parameters and cannot see the D of "
            f"some steps ahead that {ahead[0]} makes; use another dynamics"
        )
