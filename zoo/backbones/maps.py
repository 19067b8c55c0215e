"""Layers between vectors, maps and images that keep maps channels-last and images cheap.

A layout is lost where a vector becomes a map or a map a vector, on the way forward or back: what follows then works on
two layouts at once, four times as slowly. `Unflatten` and `Flatten` put it right.

A convolution's kernels on a CPU work on 16 channels at once, and a transposed convolution to an image has three: most
of a generator's last layer is spent on nothing. With a kernel of 4 and a stride of 2 every 2x2 block of pixels
comes from a 2x2 window of the map, so a transposed convolution of 2x2 kernels to four times the channels gives the same
sums, which are then put where they belong. `Doubling` does so; `Halving`, whose gradient with respect to an image is
that very operation, on the way back. Sums are taken in another order than torch takes them in.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

THIN = 4  # channels, at most, of what is taken for an image


class Unflatten(nn.Module):
    """x (N, C S S) -> maps (N, C, S, S) in channels-last memory.

    Args:
        channels: C.
        size: S.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.channels, self.size = channels, size

    def forward(self, x: Tensor) -> Tensor:
        """Lay x out as maps."""
        return _channels_last(x.view(-1, self.channels, self.size, self.size))

    def extra_repr(self) -> str:
        """Name the map's shape."""
        return f"{self.channels}, {self.size}"


class Flatten(nn.Module):
    """Maps (N, C, H, W) -> (N, C H W), as `torch.nn.Flatten`; the gradient is channels-last where the maps are."""

    def forward(self, x: Tensor) -> Tensor:
        """Flatten maps."""
        if _transformed(x) or x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
            return x.flatten(1)
        return _Flattened.apply(x)


class Halving(nn.Conv2d):
    """Maps (N, C, 2H, 2W) -> (N, D, H, W): a convolution of 4x4 kernels with a stride of 2 and a padding of 1."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 4, stride=2, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve maps."""
        even = input.shape[-1] % 2 == input.shape[-2] % 2 == 0
        differentiated = input.requires_grad and torch.is_grad_enabled()
        if self.in_channels <= THIN and even and differentiated and _blockwise(input):
            return _Halved.apply(*_views(input, self.weight, self.bias))
        return super().forward(input)


class Doubling(nn.ConvTranspose2d):
    """Maps (N, C, H, W) -> (N, D, 2H, 2W): a transposed convolution of 4x4 kernels, a stride of 2, a padding of 1."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 4, stride=2, padding=1, bias=bias)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve maps; output_size is torch's and has no use here."""
        if self.out_channels <= THIN and _blockwise(input):
            return _Doubled.apply(*_views(input, self.weight, self.bias))
        return super().forward(input, output_size)


class _Flattened(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x.flatten(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _channels_last(grads[0].reshape(ctx.shape))


class _Halved(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, w)
        return F.conv2d(x, w, b, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x, w), (g,) = ctx.saved_tensors, grads
        return _gradients(ctx, lambda: _doubled(g, w, None), lambda: _of_weights(x, w, g), g)


class _Doubled(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, w)
        return _in_blocks(x, w, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x, w), (g,) = ctx.saved_tensors, grads
        return _gradients(ctx, lambda: _halved(g, w, None), lambda: _of_weights(g, w, x), g)


def _halved(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    return F.conv2d(x, w, b, stride=2, padding=1) if _transformed(x) else _Halved.apply(x, w, b)


def _doubled(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    return F.conv_transpose2d(x, w, b, stride=2, padding=1) if _transformed(x) else _Doubled.apply(x, w, b)


def _transformed(x: Tensor) -> bool:
    """Whether a compiler or `torch.func`, neither of which knows of the functions above, has its hand in this."""
    return torch.compiler.is_compiling() or _in_functorch(x)


def _in_functorch(x: Tensor) -> bool:
    """Not to be asked of a compiler, which stops at such questions."""
    many: bool = torch._C._functorch.is_legacy_batchedtensor(x)  # of torch.autograd.grad's is_grads_batched
    return many or torch._C._are_functorch_transforms_active()


def _blockwise(x: Tensor) -> bool:
    # Under autocast a function's operands would need casts of their own, and the kernels of bf16 gain little.
    return x.device.type == "cpu" and not (_transformed(x) or torch.is_autocast_enabled("cpu"))


def _channels_last(x: Tensor) -> Tensor:
    plain = torch.compiler.is_compiling() or not _in_functorch(x)
    return x.contiguous(memory_format=torch.channels_last) if plain else x


def _gradients(
    ctx: Any, image: Callable[[], Tensor], weights: Callable[[], Tensor], g: Tensor
) -> tuple[Tensor | None, ...]:
    """Those of the operands that are asked for; in the precision of the forward pass, which had no autocast."""
    wanted = _wanted(ctx)
    with torch.autocast("cpu", enabled=False):
        return (
            image() if wanted[0] else None,
            weights() if wanted[1] else None,
            g.sum((0, 2, 3)) if wanted[2] else None,
        )


def _views(x: Tensor, w: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same, none of them a leaf, of which `_wanted` could not tell."""
    return x.view_as(x), w.view_as(w), None if b is None else b.view_as(b)


def _wanted(ctx: Any) -> list[bool]:
    """Of which operands this backward pass needs the gradient; `needs_input_grad` tells of which any could."""

    def asked(node: Any) -> bool:
        try:
            return torch._C._will_engine_execute_node(node)
        except (RuntimeError, AttributeError):  # a leaf under torch.autograd.grad, or a torch that does not tell
            return True

    nodes = [node for node, _ in ctx.next_functions]  # none for an operand that is None, the last
    return [needed and asked(node) for needed, node in zip(ctx.needs_input_grad, nodes, strict=False)] + [False]


def _of_weights(image: Tensor, w: Tensor, maps: Tensor) -> Tensor:
    sizes = [2, 2], [1, 1], [1, 1], False, [0, 0], 1  # stride, padding, dilation, transposed, output padding, groups
    gradient: Tensor = torch.ops.aten.convolution_backward(maps, image, w, None, *sizes, [False, True, False])[1]
    return gradient


def _in_blocks(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    """The transposed convolution of x (N, C, H, W) by w (C, D, 4, 4): (N, D, 2H, 2W).

    Pixel (2p - 1 + i, 2q - 1 + j) for i, j in 0, 1 is the sum over k, l in 0, 1 of x[p - k, q - l] w[2k + i, 2l + j].
    """
    (n, c, height, width), d = x.shape, w.shape[1]
    kernels = w.reshape(c, d, 2, 2, 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(c, 4 * d, 2, 2)
    blocks = F.conv_transpose2d(x, kernels, None if b is None else b.repeat(4)).permute(0, 2, 3, 1)
    rows = blocks.reshape(n, height + 1, width + 1, 2, 2 * d).transpose(2, 3)
    pixels = rows.reshape(n, 2 * height + 2, 2 * width + 2, d)[:, 1:-1, 1:-1]
    return _channels_last(pixels.permute(0, 3, 1, 2))
