"""D scores several samples at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from zoo.stabilizers.base import Stabilizer
from zoo.stabilizers.penalty import refuse_penalties
from zoo.types import Game


class Packed(Stabilizer):
    """D scores m samples at once, all real or all generated (PacGAN, Lin et al. 2018).

    m consecutive samples of a batch are joined along the channels, (C, H, W) to (m·C, H, W) and points (2,) to (2·m,).
    D is built anew for this shape, as its other arguments have it; only its first layer grows. A pack's score is the
    score of each of its samples, so that a mean over samples is one over packs, and every objective stays as it is.
    A pack of a collapsed G is too alike, which D can see.

    Deviations: the paper's code draws m batches for each step, and D's batch norms see as many packs as a batch has
    samples; here a batch of N has N/m packs. Multiply the batch size by m for the paper's.

    Args:
        m: samples in a pack, at least 1. The paper tries 2, 3 and 4; 1 is the plain run, with other initial weights.

    Raises:
        ValueError: for an m below 1; a D of pairs, with classes, or not of zoo.backbones; a gradient penalty, which is
            per sample; an objective with a network on top of D's features; a stabilizer before this one that changed
            D; and, on the first turn, if m does not divide the batch of each rank.
    """

    def __init__(self, m: int = 2) -> None:
        super().__init__()
        if m < 1:
            raise ValueError(f"Packed: m must be at least 1, got {m}")
        self.m = m

    def prepare(self, gan: Game) -> None:
        """Build D anew."""
        name = type(gan).__name__
        refuse_penalties(gan, "Packed makes each score depend on several")
        if gan.paired or gan.num_classes is not None:
            raise ValueError(f"{name}: Packed joins samples alone, and this D is also given a z or a class of each")
        for net in gan.discriminators():
            mine = set(net.parameters())
            if any(mine < set(player.parameters()) for player in gan.players().values()):
                raise ValueError(f"{name}: a network reads D's features of each sample; Packed has them of packs only")
            self._pack(net)

    def extra_repr(self) -> str:
        """The size, for printing."""
        return f"m={self.m}"

    def _pack(self, net: nn.Module) -> None:
        arguments: Any = getattr(net, "arguments", {})
        if "image_shape" not in arguments:
            raise ValueError(f"Packed: {type(net).__name__} has no image_shape to enlarge; use one of zoo.backbones")
        channels, *rest = arguments["image_shape"]
        made = type(net)(**{**arguments, "image_shape": (self.m * channels, *rest)})
        if [type(module) for module in made.modules()] != [type(module) for module in net.modules()]:
            raise ValueError(f"Packed: a stabilizer before it changed the {type(net).__name__}; put Packed first")
        vars(net).update({**vars(made), "arguments": arguments})
        net.register_forward_pre_hook(_joining(self.m))
        net.register_forward_hook(_repeating(self.m))


def _joining(m: int) -> Callable[[nn.Module, Any], tuple[Tensor]]:
    """Samples (N, C, ...) to packs (N/m, m·C, ...)."""

    def join(net: nn.Module, inputs: Any) -> tuple[Tensor]:
        (x,) = inputs
        if len(x) % m:
            raise ValueError(
                f"Packed: m is {m}, which does not divide a batch of {len(x)}; change data.batch_size or m"
            )
        return (x.reshape(len(x) // m, m * x.shape[1], *x.shape[2:]),)

    return join


def _repeating(m: int) -> Callable[[nn.Module, Any, Any], Any]:
    """The scores of packs, (N/m,), to those of samples, (N,); features stay those of packs."""

    def repeat(net: nn.Module, inputs: Any, out: Any) -> Any:
        if isinstance(out, tuple):
            return out[0].repeat_interleave(m), *out[1:]
        return out.reshape(-1).repeat_interleave(m)

    return repeat
