"""Small encoders, and networks of which everything is known."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.games import networks, same, snapshot
from zoo.backbones import Encoder
from zoo.gan import GAN
from zoo.types import Turn
from zoo.variants.mdgan import MDGAN


def encoder(latent_dim: int = 6, *, stochastic: bool = False) -> Encoder:
    with torch.random.fork_rng():  # a GAN takes its noise's seed from torch
        torch.manual_seed(1)
        return Encoder((2,), latent_dim, width=5, norm="none", stochastic=stochastic)


def mdgan(**kwargs: Any) -> MDGAN:
    g, d = networks()
    return MDGAN(g, d, networks(seed=7)[1], encoder(), **kwargs)


def watched(kind: type[GAN]) -> type[GAN]:
    """The objective, which notes in `moves` whose turn each move was, and which networks it changed."""

    class Watched(kind):
        def move(self, turn: Turn, terms, **kwargs) -> None:
            before = {name: snapshot(net) for name, net in self.players().items()}
            super().move(turn, terms, **kwargs)
            changed = {name for name, net in self.players().items() if not same(before[name], snapshot(net))}
            self.__dict__.setdefault("moves", []).append((turn.name, changed))

    return Watched


class Matrix(nn.Module):
    """z (N, size) -> z W, a generator or an encoder of points; W = 1 inverts itself."""

    num_classes = None

    def __init__(self, scale: float = 1.0, size: int = 2) -> None:
        super().__init__()
        self.latent_dim = size
        self.w = nn.Parameter(scale * torch.eye(size))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


class Logit(nn.Module):
    """score = ⟨w, x⟩."""

    def __init__(self, *w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


def gradients(loss: Tensor, net: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(net.parameters()), retain_graph=True, materialize_grads=True))


def terms_of(gan: GAN, name: str, x: Tensor) -> dict[str, Tensor]:
    """A turn's terms, with the same latents every time."""
    gan.noise.begin(0)
    turn = next(turn for turn in gan.turns() if turn.name == name)
    batch = gan.deal((x,), graph=turn.side == "g", samples=turn.samples)
    return turn.loss(gan.bind(batch), batch)
