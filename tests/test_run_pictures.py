import math

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.run.pictures import picture, save_picture, to_uint8


def flat(*levels: float, channels: int = 1, side: int = 32) -> torch.Tensor:
    """One image of a single level each."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, channels, side, side)


def dark_cells(image: np.ndarray) -> set[tuple[int, int]]:
    """(row, column) of the 3 x 3 cells that are not white."""
    return {(int(r), int(c)) for r, c in np.argwhere(image[1::3, 1::3].sum(-1) < 765)}


class TestToUint8:
    def test_brings_every_level_back(self):
        levels = torch.arange(256, dtype=torch.uint8)
        assert torch.equal(to_uint8(levels.float() / 127.5 - 1), levels)

    def test_rounds_and_clips(self):
        x = torch.tensor([-5.0, -1.0, (10.4 / 127.5) - 1, (10.6 / 127.5) - 1, 1.0, math.inf])
        assert to_uint8(x).tolist() == [0, 0, 10, 11, 255, 255]

    def test_refuses_nan(self):
        with pytest.raises(ValueError, match="NaN"):
            to_uint8(torch.tensor([0.0, math.nan]))


class TestImages:
    def test_fills_a_near_square_grid_row_by_row(self):
        image = picture(flat(-1.0, -0.6, -0.2, 0.2, 0.6))
        assert image.dtype == np.uint8
        assert image.shape == (2 * 32 + 2, 3 * 32 + 4, 3)
        centres = [[image[16 + 34 * row, 16 + 34 * column, 0] for column in range(3)] for row in (0, 1)]
        assert centres == [[0, 51, 102], [153, 204, 255]]  # the sixth place is empty, so white

    def test_as_many_columns_as_asked_for(self):
        assert picture(flat(0, 0, 0, 0), columns=4).shape == (32, 4 * 34 - 2, 3)
        assert picture(flat(0, 0), columns=3).shape == (32, 3 * 34 - 2, 3)

    @pytest.mark.parametrize(("side", "shown"), [(8, 32), (16, 32), (28, 56), (32, 32), (64, 64)])
    def test_small_images_are_enlarged_without_smoothing(self, side, shown):
        image = torch.rand(1, 1, side, side) * 2 - 1
        seen = picture(image)
        assert seen.shape == (shown, shown, 3)
        assert np.array_equal(seen[:: shown // side, :: shown // side, 0], to_uint8(image)[0, 0])
        assert len(np.unique(seen)) == len(to_uint8(image).unique())

    def test_a_wide_image_is_enlarged_by_its_short_side(self):
        assert picture(torch.zeros(1, 1, 8, 40)).shape == (32, 160, 3)

    @pytest.mark.parametrize(
        ("channels", "colour"),
        [(1, [26, 26, 26]), (2, [26, 51, 0]), (3, [26, 51, 77]), (4, [163, 173, 184])],
    )
    def test_colours(self, channels, colour):
        levels = torch.tensor([26.0, 51, 77, 102])[:channels] / 127.5 - 1
        image = picture(levels.view(1, channels, 1, 1).expand(1, channels, 32, 32))
        assert image[5, 5].tolist() == colour

    def test_takes_what_a_model_gives(self):
        samples = torch.zeros(1, 1, 32, 32, dtype=torch.bfloat16, requires_grad=True)
        assert picture(samples)[0, 0, 0] == 128


class TestPoints:
    def test_x_is_right_and_y_is_up(self):
        # A cell is 6 / 128 wide: (2.5 + 3) * 128 / 6 = 117.3, (3 - 1) * 128 / 6 = 42.7.
        assert dark_cells(picture(torch.tensor([[2.5, 1.0]]))) == {(42, 117)}

    def test_a_point_stays_where_it_is_whatever_else_there_is(self):
        pair = picture(torch.tensor([[2.5, 1.0], [-2.9, -2.9]]))
        assert dark_cells(pair) == {(42, 117), (125, 2)}

    def test_density_is_shaded_on_a_log_scale(self):
        points = torch.tensor([[-2.0, 0.01]] + [[0.0, 0.01]] * 9 + [[2.0, 0.01]] * 99)
        image = picture(points)
        row = 63 * 3 + 1
        levels = [int(image[row, column * 3 + 1, 0]) for column in (21, 64, 106)]
        assert levels[2] == 0  # log 100: the fullest
        assert levels[1] == 95  # log 10: halfway to the palest, 190
        assert levels[0] == int(190 * (1 - math.log(2) / math.log(100)))

    def test_a_point_is_dark_enough_to_see(self):
        crowd = torch.cat([torch.zeros(100_000, 2), torch.tensor([[2.0, 0.01]])])
        assert picture(crowd)[63 * 3 + 1, 106 * 3 + 1, 0] < 200

    def test_over_the_data(self):
        data = torch.tensor([[-2.0, 0.01], [2.0, 0.01]]).repeat(9, 1)
        image = picture(torch.tensor([[2.0, 0.01], [0.0, 0.01]]).repeat(9, 1), data=data)
        missed, met, made = (image[63 * 3 + 1, column * 3 + 1].tolist() for column in (21, 106, 64))
        assert missed == [165, 165, 165]  # the data's fullest cells, in grey
        assert met == made == [0, 60, 160]
        assert image[0, 0].tolist() == [255, 255, 255]

    def test_says_how_many_are_outside(self):
        inside = torch.tensor([[2.5, 1.0]])
        assert np.ptp(picture(inside), axis=-1).max() == 0  # grey
        far = picture(torch.cat([inside, torch.tensor([[3.1, 0.0], [0.0, -math.inf]])]))
        red = np.ptp(far, axis=-1) > 50
        assert red[:20, :140].any()
        assert not red[20:].any()
        assert (42, 117) in dark_cells(far)


@pytest.mark.parametrize(
    ("samples", "columns", "message"),
    [
        (torch.zeros(4, 3), None, r"got \(4, 3\)"),
        (torch.zeros(3, 8, 8), None, r"got \(3, 8, 8\)"),
        (torch.zeros(0, 1, 8, 8), None, "nothing in it"),
        (torch.zeros(0, 2), None, "nothing in it"),
        (torch.zeros(4, 1, 8, 8), 0, "at least 1, got 0"),
        (torch.zeros(4, 2), 2, "points have no columns"),
        (torch.full((4, 1, 8, 8), math.nan), None, "NaN"),
        (torch.full((4, 2), math.nan), None, "NaN"),
    ],
)
def test_refusals(samples, columns, message):
    with pytest.raises(ValueError, match=message):
        picture(samples, columns)


@pytest.mark.parametrize("samples", [torch.rand(5, 3, 8, 8) * 2 - 1, torch.randn(50, 2)])
def test_the_file_holds_the_same_pixels(tmp_path, samples):
    path = save_picture(samples, tmp_path / "new" / "folder" / "a.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), picture(samples))


def test_an_unknown_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"end in \.png, \.jpg, \.jpeg, \.webp"):
        save_picture(torch.zeros(1, 2), tmp_path / "a.gif")
