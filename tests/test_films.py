import math

import numpy as np
import pytest
import torch
from PIL import Image

from tests.bundles import publish
from tests.games import networks
from zoo.__main__ import main
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.run.films import of_run, save_film, slerp, titled, walk
from zoo.run.pictures import cells, picture
from zoo.variants.nsgan import NSGAN


def test_slerp_keeps_the_length_and_turns_at_a_constant_rate() -> None:
    a, b = torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 3.0], [2.0, 0.0]])
    third = slerp(a, b, 1 / 3)
    assert third[0].tolist() == pytest.approx([3 * math.cos(math.pi / 6), 3 * math.sin(math.pi / 6)], abs=1e-6)
    assert third[1].tolist() == pytest.approx([4 / 3, 0.0])  # parallel: linear
    assert torch.allclose(slerp(a, b, 0), a)
    assert torch.allclose(slerp(a, b, 1), b, atol=1e-6)


def test_a_walk_begins_at_latents_of_the_seed_and_comes_back() -> None:
    gan = NSGAN(*networks())
    frames = list(walk(gan, 3, stops=2, frames=4, seed=5))
    assert len(frames) == 8
    assert torch.allclose(frames[0], gan.sample(3, seed=5), atol=1e-6)
    steps = [(there - here).abs().max() for here, there in zip(frames, [*frames[1:], frames[0]], strict=True)]
    assert max(steps) < 2 * (frames[4] - frames[0]).abs().max()
    with pytest.raises(ValueError, match="at least 1, got 3, 0 and 24"):
        next(walk(gan, 3, stops=0))


def conditional() -> NSGAN:
    torch.manual_seed(0)
    generator = MLPGenerator((2,), latent_dim=6, width=5, depth=2, num_classes=3)
    return NSGAN(generator, MLPDiscriminator((2,), width=7, num_classes=3))


def test_a_walk_goes_from_class_to_class_and_back() -> None:
    """Two classes over 8 frames: whole at frames 0 and 4, and halfway between at 2 and 6."""
    gan = conditional()
    z = gan.sample(2, seed=5, labels=1), gan.sample(2, seed=5, labels=2)
    frames = list(walk(gan, 2, stops=1, frames=8, seed=5, labels=[1, 2]))
    assert torch.allclose(frames[0], z[0], atol=1e-6)
    assert torch.allclose(frames[4], z[1], atol=1e-6)
    half = torch.tensor([[0.0, 0.5, 0.5]]).expand(2, 3)
    assert torch.allclose(frames[2], gan.sample(2, seed=5, labels=half), atol=1e-6)
    assert torch.allclose(frames[2], frames[6], atol=1e-6)
    assert not torch.allclose(frames[2], (z[0] + z[1]) / 2, atol=1e-4)
    for classes, words in (([1, 3], r"in 0\.\.2, got \[1, 3\]"), ([], r"got \[\]")):
        with pytest.raises(ValueError, match=words):
            next(walk(gan, 2, labels=classes))
    with pytest.raises(ValueError, match="has no classes"):
        next(walk(NSGAN(*networks()), 2, labels=[0, 1]))


def test_a_network_that_does_not_mix_classes_is_refused() -> None:
    gan = conditional()
    gan.generator.mixes_classes = False
    with pytest.raises(ValueError, match="takes whole classes, not weights of them"):
        next(walk(gan, 2, labels=[1, 2]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "1"], "--to: the film starts at a class; name it with --class"),
        (["--class", "0", "--to", "1"], "--class: {} is not conditional, its samples are of no class"),
    ],
)
def test_classes_that_a_walk_cannot_pass_through(tmp_path, capsys, words: list[str], said: str) -> None:
    folder = publish(tmp_path / "published")
    assert main(["walk", str(folder), *words, "-o", str(tmp_path / "walk.webp")]) == 2
    assert capsys.readouterr().err == f"error: {said.format(folder)}\n"


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png"])
def test_a_film_has_every_frame_and_its_time(tmp_path, suffix: str) -> None:
    frames = [np.full((8, 12, 3), level, np.uint8) for level in (0, 90, 180)]
    path = save_film(frames, tmp_path / f"new/film{suffix}", fps=10, hold=True)
    durations, levels = [], []
    with Image.open(path) as film:
        for i in range(film.n_frames):
            film.seek(i)
            levels.append(np.asarray(film.convert("RGB"))[4, 6, 0])
            durations.append(film.info["duration"])
    assert levels == pytest.approx([0, 90, 180], abs=2)
    assert durations == [100, 100, 1500]


def test_a_film_without_a_suffix_is_a_folder(tmp_path) -> None:
    path = save_film([np.zeros((4, 4, 3), np.uint8)] * 2, tmp_path / "frames")
    assert sorted(file.name for file in path.iterdir()) == ["00000.png", "00001.png"]


def test_what_is_no_film(tmp_path) -> None:
    frame = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r"ends in \.webp, \.gif, \.png"):
        save_film([frame], tmp_path / "film.mp4")
    for fps in (0, 0.01, float("nan"), float("inf")):  # a GIF's frame lasts 655 s at most
        with pytest.raises(ValueError, match=r"0\.1 to 1000 frames per second"):
            save_film([frame], tmp_path / "film.gif", fps=fps)
    with pytest.raises(ValueError, match="at least one frame"):
        save_film([], tmp_path / "film.gif")


def test_a_runs_pictures_come_in_order_of_kimg(tmp_path) -> None:
    (tmp_path / "samples").mkdir()
    for kimg, level in ((100.0, 200), (20.0, 100)):
        Image.new("RGB", (64, 6), (level, 0, 0)).save(tmp_path / f"samples/{kimg:010.3f}.png")
    frames = list(of_run(tmp_path))
    assert [int(frame[-1, 0, 0]) for frame in frames] == [100, 200]
    assert frames[0].shape == titled(np.zeros((6, 64, 3), np.uint8), "20 kimg").shape
    assert (frames[0][:20] == titled(np.zeros((6, 64, 3), np.uint8), "20 kimg")[:20]).all()
    (tmp_path / "samples/000120.000.png").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"000120\.000\.png cannot be read as a picture"):
        list(of_run(tmp_path))
    Image.new("RGB", (64, 7)).save(tmp_path / "samples/000120.000.png")  # of a resume with other --samples.n
    with pytest.raises(ValueError, match=r"000120\.000\.png has 64 x 7 pixels and 000020\.000\.png 64 x 6"):
        list(of_run(tmp_path))
    (tmp_path / "samples/000120.000.png").rename(tmp_path / "samples/cover.png")
    with pytest.raises(ValueError, match=r"cover\.png is no picture of a run's"):
        list(of_run(tmp_path))


def test_the_ground_of_a_picture_of_points_is_darker_where_the_value_ranks_higher() -> None:
    place = cells()
    data = torch.tensor([[2.9, 2.9]])
    image = picture(torch.tensor([[-2.9, -2.9]]), None, data, landscape=place[:, 0]).astype(int)
    assert place[0].tolist() == pytest.approx([-2.9765625, 2.9765625])
    assert image[192, 383].sum() < image[192, 192].sum() < image[192, 1].sum()  # values rise to the right
