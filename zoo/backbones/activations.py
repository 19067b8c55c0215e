"""Rectifiers whose derivative is a constant to autograd, and that write over what they are given.

torch differentiates the backward pass of a rectifier by its input too, and answers with zeros. In a gradient penalty or
an unrolled step these zeros go back through the whole network once more: two of the thirteen passes of a WGAN-GP
critic's step. The second derivative is zero almost everywhere, so here nothing is sent. That takes Python, some
microseconds a layer, which a small network would notice; so it is done only where there is a graph, and only if the
game says that it differentiates twice.

A linear layer or a normalisation does not look at its output again. A rectifier behind one may put its own in the same
place, with `inplace`: the map is written to memory once, which takes a twentieth off a DCGAN's step on a CPU. The
numbers are the same to the bit.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F


class _Rectifying(nn.Module):
    twice = True
    negative_slope = 0.0
    inplace: bool

    def forward(self, input: Tensor) -> Tensor:
        """Rectify x of any shape."""
        compiling = torch.compiler.is_compiling()
        inplace = self.inplace and (compiling or not input._is_view())  # no compiler copies a view
        if self.twice and input.requires_grad and torch.is_grad_enabled():
            return _Rectifier.apply(input, self.negative_slope, inplace and not compiling)  # which could not trace it
        return _rectified(input, self.negative_slope, inplace)


class ReLU(_Rectifying, nn.ReLU):
    """max(0, x), as `torch.nn.ReLU` gives it, derivatives included.

    `twice` tells whether its gradient will be differentiated. A view, which autograd would copy, is not written over.
    """


class LeakyReLU(_Rectifying, nn.LeakyReLU):
    """max(0, x) + negative_slope · min(0, x), as `torch.nn.LeakyReLU` gives it, derivatives included.

    `twice` and `inplace` as in `ReLU`. Raises ValueError for a negative slope below 0, where the sign of the result
    does not tell that of x.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        if negative_slope < 0:
            raise ValueError(f"LeakyReLU: negative_slope is {negative_slope}; it must be at least 0")
        super().__init__(negative_slope, inplace)


class _Rectifier(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, inplace: bool) -> Tensor:
        if inplace:
            ctx.mark_dirty(x)
        y = _rectified(x, slope, inplace)
        ctx.save_for_backward(y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.leaky_relu_backward(grads[0], y.detach(), ctx.slope, True), None, None


def _rectified(x: Tensor, slope: float, inplace: bool) -> Tensor:
    return F.leaky_relu(x, slope, inplace) if slope else F.relu(x, inplace)
