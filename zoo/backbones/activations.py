"""Rectifiers whose derivative is a constant to autograd.

torch differentiates the backward pass of a rectifier by its input too, and answers with zeros. In a gradient penalty or
an unrolled step these zeros go back through the whole network once more: two of the thirteen passes of a WGAN-GP
critic's step. The second derivative is zero almost everywhere, so here nothing is sent.

That takes Python, some microseconds a layer, which a small network would notice. So it is done only where there is a
graph, and by a `ReLU` only if the game says that it differentiates twice; a `LeakyReLU` does it always, since it also
keeps its output, which the next layer keeps anyway, and not its input. The numbers are the same to the bit.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F


class ReLU(nn.ReLU):
    """max(0, x), as `torch.nn.ReLU` gives it, derivatives included.

    `twice` tells whether its gradient will be differentiated.
    """

    twice = True

    def forward(self, input: Tensor) -> Tensor:
        """Rectify x of any shape."""
        return _leaky_relu(input, 0.0) if self.twice else F.relu(input)


class LeakyReLU(nn.LeakyReLU):
    """max(0, x) + negative_slope · min(0, x), as `torch.nn.LeakyReLU` gives it, derivatives included.

    Raises ValueError for a negative slope below 0, where the sign of the result does not tell that of x.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        if negative_slope < 0:
            raise ValueError(f"LeakyReLU: negative_slope is {negative_slope}; it must be at least 0")
        super().__init__(negative_slope)

    def forward(self, input: Tensor) -> Tensor:
        """Rectify x of any shape."""
        return _leaky_relu(input, self.negative_slope)


class _LeakyReLU(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        y = _rectified(x, slope)
        ctx.save_for_backward(y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.leaky_relu_backward(grads[0], y.detach(), ctx.slope, True), None


def _leaky_relu(x: Tensor, slope: float) -> Tensor:
    return _LeakyReLU.apply(x, slope) if x.requires_grad and torch.is_grad_enabled() else _rectified(x, slope)


def _rectified(x: Tensor, slope: float) -> Tensor:
    return F.leaky_relu(x, slope) if slope else F.relu(x)
