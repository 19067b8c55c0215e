"""DiffAugment against numbers worked out by hand."""

import pytest
import torch
from torch import Tensor

from tests.games import fit, networks
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.noise import Noise
from zoo.stabilizers import DiffAugment
from zoo.variants.nsgan import NSGAN


class Given(Noise):
    """Draws what it is given, the same for every image."""

    def __init__(self, *values: float) -> None:
        super().__init__(0)
        self.values = torch.tensor(values)

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.values.expand(shape[0], -1).reshape(shape)


def change(x: Tensor, noise: Noise, *policy: str) -> Tensor:
    return DiffAugment(policy).perturb(x, role="fake", kimg=0.0, noise=noise)


def test_colors() -> None:
    """Brightness + 0.25, saturation times 0.5, contrast times 1.25."""
    x = torch.tensor([[0.0, -0.5], [0.3, -0.5], [0.6, -0.5]]).view(1, 3, 1, 2)
    # 0.25 0.55 0.85 and -0.25; around the greys 0.55 and -0.25 halved: 0.4 0.55 0.7 and -0.25; mean of all 0.15
    seen = change(x, Given(0.75, 0.25, 0.75), "color")
    assert seen.shape == x.shape
    assert seen.flatten().tolist() == pytest.approx([0.4625, -0.35, 0.65, -0.35, 0.8375, -0.35])


def test_saturation_leaves_grey_images() -> None:
    x = torch.randn(2, 1, 4, 4)
    torch.testing.assert_close(change(x, Given(0.5, 0.9, 0.5), "color"), x)


@pytest.mark.parametrize(
    ("drawn", "place"),
    [((0.0, 0.99), (4, 3)), ((0.5, 0.5), (3, 5)), ((0.99, 0.0), (2, 7)), ((0.5, 0.7), (3, 4))],
)
def test_a_pixel_moves_by_up_to_an_eighth(drawn: tuple[float, float], place: tuple[int, int]) -> None:
    """8 by 16 pixels: one of -1, 0, 1 rows, and one of -2 to 2 columns; 0 comes in where the image is left."""
    x = torch.full((1, 2, 8, 16), -1.0)
    x[:, :, 3, 5] = 7
    (seen,) = change(x, Given(*drawn), "translation")
    for channel in seen:
        assert (channel == 7).nonzero().tolist() == [list(place)]
        rows, columns = abs(place[0] - 3), abs(place[1] - 5)
        assert (channel == 0).sum() == 8 * 16 - (8 - rows) * (16 - columns)


@pytest.mark.parametrize(
    ("drawn", "rows", "columns"),
    [((0.5, 0.5), (1, 2), (2, 3, 4)), ((0.0, 0.0), (0,), (0, 1)), ((0.99, 0.99), (3,), (4, 5))],
)
def test_half_the_height_and_width_is_cut_out(drawn, rows, columns) -> None:
    """4 by 6 pixels: 2 rows and 3 columns, less of them at the edges; no gradient comes from there."""
    x = torch.ones(2, 3, 4, 6, requires_grad=True)
    seen = change(x, Given(*drawn), "cutout")
    expected = torch.ones(4, 6)
    for row in rows:
        for column in columns:
            expected[row, column] = 0
    assert torch.equal(seen, expected.expand(2, 3, 4, 6))
    (gradient,) = torch.autograd.grad(seen.sum(), x)
    assert torch.equal(gradient, expected.expand(2, 3, 4, 6))


def test_every_shift_is_as_likely() -> None:
    x = torch.zeros(5000, 1, 8, 16)
    x[:, :, 4, 8] = 1
    seen = change(x, Noise(0), "translation").mean((0, 1))
    assert seen[3:6, 6:11].flatten().tolist() == pytest.approx([1 / 15] * 15, abs=0.015)
    assert seen.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (3, 8, 24), (2, 1, 5)])
def test_each_image_changes_by_itself_and_the_gradient_is_that_of_the_change(shape) -> None:
    x = torch.randn(3, *shape, dtype=torch.float64, requires_grad=True)
    policy = ("color", "translation", "cutout")
    assert torch.autograd.gradcheck(lambda x: change(x, Noise(0), *policy), x)
    first, *rest = change(x[:1].expand(20, -1, -1, -1), Noise(0), *policy)
    assert all(not torch.equal(first, other) for other in rest)
    assert first.dtype == x.dtype


def test_d_sees_nothing_else_in_either_turn_and_g_learns_through_it() -> None:
    torch.manual_seed(0)
    shape = (3, 8, 16)
    gan = NSGAN(MLPGenerator(shape, latent_dim=4, width=5), MLPDiscriminator(shape, width=5), stabilizers=[])
    plain = [p.clone() for p in gan.generator.parameters()]
    gan.stabilizers.append(DiffAugment(["cutout"]))
    seen = []
    gan.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    fit(gan, [(torch.ones(8, *shape),)])
    assert len(seen) == 3  # real images and fakes in D's turn, fakes in G's
    for images in seen:
        assert all(4 * 8 // 4 <= (image[0] == 0).sum() <= 4 * 8 for image in images)
    assert any(not torch.equal(p, before) for p, before in zip(gan.generator.parameters(), plain, strict=True))


def test_no_change_is_the_plain_run() -> None:
    x = torch.randn(2, 1, 4, 4)
    assert change(x, Noise(0)) is x


def test_refusals() -> None:
    with pytest.raises(ValueError, match="unknown policy 'colour'; choose from color, translation, cutout"):
        DiffAugment(["cutout", "colour"])
    with pytest.raises(ValueError, match=r"must be a list of names, got 'color,cutout'; write \[color,cutout\]"):
        DiffAugment("color,cutout")
    with pytest.raises(ValueError, match=r"DiffAugment changes images \(C, H, W\), but the data are \(2,\)"):
        NSGAN(*networks(), stabilizers=[DiffAugment()])
    with pytest.raises(ValueError, match=r"DiffAugment changes images \(C, H, W\), but the data are \(2,\)"):
        change(torch.zeros(3, 2), Noise(0), "color")
