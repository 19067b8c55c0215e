"""Rectifiers whose derivative is a constant to autograd.

torch differentiates the backward pass of a rectifier by its input too, and answers with zeros. In a gradient penalty or
an unrolled step these zeros go back through the whole network once more: two of the thirteen passes of a WGAN-GP
critic's step. The second derivative is zero almost everywhere, so here nothing is sent.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F


class ReLU(nn.ReLU):
    """max(0, x), as `torch.nn.ReLU` gives it, derivatives included."""

    def forward(self, input: Tensor) -> Tensor:
        """Rectify x of any shape."""
        return _rectify(input, 0.0)


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
        return _rectify(input, self.negative_slope)


def _rectify(x: Tensor, slope: float) -> Tensor:
    return _plain(x, slope) if torch.compiler.is_compiling() else _Rectifier.apply(x, slope)


def _plain(x: Tensor, slope: float) -> Tensor:
    return F.leaky_relu(x, slope) if slope else F.relu(x)


class _Rectifier(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, slope: float) -> Tensor:
        return _plain(x, slope)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.slope = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.leaky_relu_backward(grads[0], y.detach(), ctx.slope, True), None
