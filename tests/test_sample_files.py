"""What `zoo sample -o` writes: the same samples in every format."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.__main__ import main
from zoo.run.pictures import picture, save_picture
from zoo.run.sample_files import kind_of, write_samples
from zoo.stabilizers import SpectralNorm
from zoo.variants import nsgan


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", "grid"), ("a.JPG", "grid"), ("b/a.webp", "grid"), ("a.npz", "array"), ("a.npy", "array"),
     ("out", "folder"), ("out.v2/", "folder")],
)  # fmt: skip
def test_what_a_name_asks_for(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_an_unknown_suffix_is_refused_with_the_choices(capsys) -> None:
    assert main(["sample", "no-such-run", "-o", "a.gif"]) == 2  # before anything is loaded
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(word in said for word in ("a.gif", ".png", ".jpg", ".webp", ".npz", ".npy", "folder"))


def parts(channels: int = 1) -> list[torch.Tensor]:
    """Levels 0, 60, 120, 180, 240, one an image, in parts of 2, 2 and 1."""
    levels = torch.tensor([0.0, 60, 120, 180, 240]).view(-1, 1, 1, 1) / 127.5 - 1
    return list(levels.expand(-1, channels, 4, 6).split(2))


def test_an_array_holds_all_parts_in_order(tmp_path: Path) -> None:
    write_samples(parts(3), 5, str(tmp_path / "new" / "a.npy"))
    images = np.load(tmp_path / "new" / "a.npy")
    assert (images.shape, images.dtype) == ((5, 4, 6, 3), np.uint8)
    assert images[:, 0, 0, 0].tolist() == [0, 60, 120, 180, 240]
    write_samples(parts(3), 5, str(tmp_path / "a.npz"), labels=torch.tensor([3, 1, 4, 1, 5]))
    packed = np.load(tmp_path / "a.npz")
    assert np.array_equal(packed["arr_0"], images)
    assert packed["arr_1"].tolist() == [3, 1, 4, 1, 5]


def test_points_stay_what_they_are(tmp_path: Path) -> None:
    points = torch.tensor([[0.25, -3.5], [1e-6, 7.0], [2.0, 2.0]])
    for name in ("a.npy", "a.npz"):
        write_samples(points.split(2), 3, str(tmp_path / name))
    read, packed = np.load(tmp_path / "a.npy"), np.load(tmp_path / "a.npz")
    assert read.dtype == np.float32
    assert np.array_equal(read, points.numpy())
    assert packed.files == ["arr_0"]
    assert np.array_equal(packed["arr_0"], points.numpy())
    with pytest.raises(ValueError, match=r"grey, RGB and RGBA images, not samples \(2,\); use \.npz or \.npy"):
        write_samples([points], 3, str(tmp_path / "folder"))


def test_a_folder_has_an_image_a_file(tmp_path: Path) -> None:
    folder = write_samples(parts(), 5, str(tmp_path / "grey"))
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == [f"{i:06d}.png" for i in range(5)]
    with Image.open(files[3]) as image:
        assert (image.mode, image.size, image.getpixel((5, 3))) == ("L", (6, 4), 180)
    with pytest.raises(ValueError, match="not empty"):
        write_samples(parts(), 5, str(folder))
    with Image.open(write_samples(parts(3), 5, f"{tmp_path}/rgb/") / "000004.png") as image:
        assert image.getpixel((0, 0)) == (240, 240, 240)


def test_nothing_is_left_of_an_array_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="NaN"):
        write_samples([*parts(), torch.full((1, 1, 4, 6), torch.nan)], 6, str(tmp_path / "a.npz"))
    assert not list(tmp_path.iterdir())


def test_a_grid_in_every_format(tmp_path: Path) -> None:
    samples = torch.cat(parts(3))
    for name, error in (("a.png", 0), ("a.webp", 0), ("a.jpg", 3)):
        with Image.open(save_picture(samples, tmp_path / name)) as image:
            shown = np.asarray(image.convert("RGB")).astype(int)
        inside = np.abs(shown - picture(samples))[2:30, 2:46]  # of the first image, away from the white gap
        assert inside.max() <= error
    with pytest.raises(ValueError, match="at most 16383 pixels a side, not 17678"):
        save_picture(torch.zeros(520, 1, 8, 8), tmp_path / "b.webp", columns=520)  # 520 x 34 - 2


def test_one_class_in_every_format(tmp_path: Path, capsys, monkeypatch) -> None:
    from zoo.backbones import DCGANDiscriminator, DCGANGenerator

    nets = (
        DCGANGenerator((1, 8, 8), width=4, num_classes=3),
        DCGANDiscriminator((1, 8, 8), width=4, norm="none", num_classes=3),
    )
    gan = nsgan.NSGAN(*nets, stabilizers=[SpectralNorm()]).eval()
    monkeypatch.setattr("zoo.hub.pretrained.trained", lambda ref, trust: gan)
    for name in ("a.png", "a.npy", "a.npz", "folder"):
        words = ["--class", "2", "--n", "300", "--seed", "4", "-o", f"{tmp_path}/{name}"]
        assert main(["sample", "it", *words]) == 0, capsys.readouterr().err
    wanted = gan.sample(300, seed=4, labels=2)
    images = ((wanted + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(np.load(tmp_path / "a.npy"), images)
    assert np.load(tmp_path / "a.npz")["arr_1"].tolist() == [2] * 300
    with Image.open(tmp_path / "folder" / "000299.png") as image:
        assert np.array_equal(np.asarray(image), images[299, :, :, 0])
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), picture(wanted))
    assert main(["sample", "it", "-o", f"{tmp_path}/classes.npz"]) == 0
    assert np.load(tmp_path / "classes.npz")["arr_1"].tolist() == [i % 3 for i in range(63)]  # whole rows of 9
    assert main(["sample", "it", "--columns", "3", "-o", f"{tmp_path}/b.npz"]) == 2
    assert "--columns" in capsys.readouterr().err
