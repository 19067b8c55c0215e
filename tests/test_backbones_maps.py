"""Layers between vectors, maps and images: torch's own sums, by definition, in one layout throughout."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from zoo.backbones import Autoencoder, DCGANDiscriminator, DCGANGenerator, DecoderGenerator
from zoo.backbones.maps import Doubling, Flatten, Halving, Unflatten

LAST = torch.channels_last


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def by_definition(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """x[i, j] w[k, l] goes to pixel (2i - 1 + k, 2j - 1 + l), if there is one."""
    n, _, height, width = x.shape
    y = torch.zeros(n, w.shape[1], 2 * height, 2 * width, dtype=x.dtype)
    for i, j, k, m in product(range(height), range(width), range(4), range(4)):
        row, column = 2 * i - 1 + k, 2 * j - 1 + m
        if 0 <= row < 2 * height and 0 <= column < 2 * width:
            y[:, :, row, column] += x[:, :, i, j] @ w[:, :, k, m]
    return y + b[:, None, None]


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_doubling_is_a_transposed_convolution(channels: int) -> None:
    layer = Doubling(6, channels).double()
    x = random(2, 6, 3, 5)
    assert torch.allclose(layer(x), by_definition(x, layer.weight, layer.bias), rtol=0, atol=1e-14)


def test_one_number_spreads_over_sixteen_pixels() -> None:
    layer = Doubling(1, 1).double()
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1.0, 17).reshape(1, 1, 4, 4))
        layer.bias.fill_(100.0)
    x = torch.tensor([[[[1.0, 0.0], [0.0, 10.0]]]], dtype=torch.float64)
    # 1 at (0, 0) loses the kernel's first row and column, 10 at (1, 1) its last
    by_hand = [[106, 107, 108, 100], [110, 121, 132, 130], [114, 165, 176, 170], [100, 190, 200, 210]]
    assert layer(x).tolist() == [[by_hand]]


@pytest.mark.parametrize(
    "layer", [Halving(3, 5), Halving(3, 5, bias=False), Doubling(5, 3), Doubling(5, 3, bias=False)]
)
def test_both_are_differentiated_twice(layer: nn.Module) -> None:
    layer = layer.double()
    names = [name for name, _ in layer.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    x = random(2, layer.in_channels, 4, 4).requires_grad_()

    def cubed(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(layer, dict(zip(names, values, strict=True)), (x,)) ** 3

    assert gradcheck(cubed, (x, *values))
    assert gradgradcheck(cubed, (x, *values))


@pytest.mark.parametrize("asked", [(True, False), (False, True), (True, True)])
def test_gradients_are_those_of_torch(asked: tuple[bool, bool]) -> None:
    for mine, plain, s in (
        (Halving(3, 8), nn.Conv2d(3, 8, 4, 2, 1), 8),
        (Doubling(8, 3), nn.ConvTranspose2d(8, 3, 4, 2, 1), 4),
    ):
        plain.load_state_dict(mine.state_dict())
        gradients = []
        for layer in (mine, plain):
            layer.requires_grad_(asked[1])
            x = random(2, layer.in_channels, s, s, dtype=torch.float32).requires_grad_(asked[0])
            layer(x).square().sum().backward()
            gradients.append([v.grad for v in (x, *layer.parameters()) if v.grad is not None])
        assert len(gradients[0]) == len(gradients[1]) == asked[0] + 2 * asked[1]
        for ours, theirs in zip(*gradients, strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("asked", ["weights", "images", "penalty"])
def test_no_gradient_is_made_that_nobody_asked_for(asked: str) -> None:
    counts = []
    mine, plain = Halving(3, 8), nn.Conv2d(3, 8, 4, 2, 1)
    for layer in (mine, plain):
        x = torch.randn(2, 3, 8, 8, requires_grad=True).clone()  # the counter cannot do with a leaf
        with FlopCounterMode(display=False) as flops:
            y = layer(x).square().sum()
            if asked == "weights":
                y.backward(inputs=list(layer.parameters()))
            else:
                (slope,) = torch.autograd.grad(y, x, create_graph=asked == "penalty")
            if asked == "penalty":
                slope.square().sum().backward(inputs=list(layer.parameters()))
        counts.append(flops.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_flatten_and_unflatten_are_each_others_inverse() -> None:
    vectors = random(3, 5 * 4 * 4).requires_grad_()
    maps = Unflatten(5, 4)(vectors)
    assert torch.equal(maps, vectors.reshape(3, 5, 4, 4))
    assert torch.equal(Flatten()(maps), vectors)
    assert gradcheck(lambda x: Flatten()(Unflatten(5, 4)(x)) ** 3, vectors)
    assert gradgradcheck(lambda x: Flatten()(Unflatten(5, 4)(x)) ** 3, vectors)


class Layouts(TorchDispatchMode):
    """Which operations took maps, no images, of two layouts at once."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        maps = [a for a in args if isinstance(a, Tensor) and a.dim() == 4 and a.shape[1] > 4]
        same = {a.shape for a in maps}
        if len(maps) > len(same) and len({a.is_contiguous(memory_format=LAST) for a in maps}) > 1:
            self.mixed.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("g", "d"),
    [
        (DCGANGenerator((3, 16, 16), latent_dim=8, width=8), DCGANDiscriminator((3, 16, 16), width=8)),
        (DCGANGenerator((3, 16, 16), latent_dim=8, width=8), DCGANDiscriminator((3, 16, 16), width=8, norm="none")),
        (DecoderGenerator((3, 16, 16), latent_dim=8, width=8), Autoencoder((3, 16, 16), width=8, code_dim=8)),
    ],
)
def test_no_map_leaves_its_layout(g: nn.Module, d: nn.Module) -> None:
    with Layouts() as seen:
        score, _ = d(g(torch.randn(4, 8)))
        score.sum().backward()
    assert seen.mixed == []


def test_a_map_that_left_its_layout_would_be_seen() -> None:
    with Layouts() as seen:
        x = torch.randn(4, 8, 4, 4)
        torch.add(x, x.contiguous(memory_format=LAST))
    assert seen.mixed == ["aten.add.Tensor"]


def test_an_image_is_made_in_blocks_of_two_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    made, plain = [], torch.nn.functional.conv_transpose2d

    def watched(x: Tensor, w: Tensor, *more: Any, **named: Any) -> Tensor:
        made.append(tuple(w.shape))
        return plain(x, w, *more, **named)

    monkeypatch.setattr(torch.nn.functional, "conv_transpose2d", watched)
    d = DCGANDiscriminator((3, 16, 16), width=8, norm="none")
    with torch.no_grad():
        DCGANGenerator((3, 16, 16), latent_dim=8, width=8)(torch.randn(4, 8))
    x = torch.randn(4, 3, 16, 16, requires_grad=True)
    d(x)[0].sum().backward()
    assert made == [(16, 8, 4, 4), (8, 12, 2, 2), (8, 12, 2, 2)]


def test_autocast_takes_torch_s_own_kernels() -> None:
    layer, plain = Doubling(8, 3), nn.ConvTranspose2d(8, 3, 4, 2, 1)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 8, 4, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), plain(x))
        layer(x).float().sum().backward()
    assert x.grad is not None


def test_a_graph_without_autocast_is_differentiated_without_it() -> None:
    """As torch's own does, whatever the backward pass runs in: a penalty is made in float32 under bf16-mixed."""
    for mine, plain in ((Halving(3, 8), nn.Conv2d(3, 8, 4, 2, 1)), (Doubling(8, 3), nn.ConvTranspose2d(8, 3, 4, 2, 1))):
        plain.load_state_dict(mine.state_dict())
        gradients = []
        for layer in (mine, plain):
            x = random(2, layer.in_channels, 8, 8, dtype=torch.float32).requires_grad_()
            (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
            loss = slope.square().sum()
            with torch.autocast("cpu", torch.bfloat16):
                gradients.append(torch.autograd.grad(loss, [x, layer.weight]))
        for ours, theirs in zip(*gradients, strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5 * theirs.abs().max().item())


@pytest.mark.parametrize("make", [
    lambda: DCGANGenerator((3, 8, 8), latent_dim=4, width=8, norm="none"),
    lambda: nn.Sequential(DCGANGenerator((3, 8, 8), latent_dim=4, width=8, norm="none"), Halving(3, 2), Flatten()),
])  # fmt: skip
def test_torch_func_sees_through_them(make: Callable[[], nn.Module]) -> None:
    net = make().double()
    z = random(2, 4)
    by_torch = torch.func.jacrev(lambda z: net(z).flatten())(z)
    rows = [torch.autograd.grad(net(z).flatten()[i], z)[0] for z in [z.clone().requires_grad_()] for i in range(8)]
    assert torch.allclose(by_torch[:8], torch.stack(rows))
    assert torch.allclose(torch.func.vmap(net)(z[:, None])[:, 0], net(z))
    z.requires_grad_()
    out = net(z).flatten()[:8]
    (batched,) = torch.autograd.grad(out, z, torch.eye(8, dtype=torch.float64), is_grads_batched=True)
    assert torch.allclose(batched, by_torch[:8])


def test_an_odd_side_is_torchs() -> None:
    layer, plain = Halving(3, 8), nn.Conv2d(3, 8, 4, 2, 1)
    plain.load_state_dict(layer.state_dict())
    for shape in ((2, 3, 9, 9), (2, 3, 8, 12)):
        x = random(*shape, dtype=torch.float32).requires_grad_()
        ours, theirs = (torch.autograd.grad(net(x).square().sum(), x)[0] for net in (layer, plain))
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_what_flatten_returns_can_be_written_over() -> None:
    for shape in ((2, 1, 4, 4), (2, 4, 1, 1), (2, 4, 3, 3)):
        x = random(*shape).contiguous(memory_format=LAST).requires_grad_()
        y = Flatten()(x * 1)
        assert torch.equal(y.mul_(2), 2 * x.flatten(1))
        y.sum().backward()
        assert torch.equal(x.grad, torch.full_like(x, 2))
