"""ImageFolder: layouts, odd files, refusals."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from tests.files import GREY, RED, fill, greys, loaded, save
from zoo.__main__ import main
from zoo.datamodules import ImageFolder, image_folder
from zoo.datamodules.decoded import remembered
from zoo.datamodules.image_folder import decode
from zoo.metrics.features.simple import PixelFeatures
from zoo.run.pictures import picture
from zoo.run.sample_files import write_samples


def read_one(path, channels=3, size=16):
    return decode([path], (channels, size, size))[0]


def test_class_folders_give_labels(tmp_path):
    fill(tmp_path / "cat", 12)
    fill(tmp_path / "ant" / "deep" / "er", 8, start=100)
    data = ImageFolder(root=str(tmp_path))
    assert (data.num_classes, data.classes) == (2, ["ant", "cat"])
    data.setup()
    train, val = data.splits["train"], data.splits["val"]
    assert (len(train.data), len(val.data)) == (18, 2)
    for split in (train, val):
        assert split.labels.tolist() == [int(grey < 100) for grey in greys(split)]
    assert sorted(greys(train) + greys(val)) == [*range(12), *range(100, 108)]


@pytest.mark.parametrize("layout", ["flat", "one folder", "mixed"])
def test_other_layouts_are_unlabelled(tmp_path, layout):
    fill(tmp_path / ("images" if layout == "one folder" else ""), 10)
    if layout == "mixed":
        fill(tmp_path / "more", 10, start=50)
        fill(tmp_path / "yet more", 10, start=80)
    data = loaded(tmp_path, batch_size=4)
    assert data.num_classes is None
    assert data.classes == []
    (x,) = next(iter(data.train_dataloader()))
    assert x.shape == (4, 3, 32, 32)
    assert len(data.splits["val"].data) == (3 if layout == "mixed" else 1)


def test_a_lone_subfolder_stands_for_its_parent(tmp_path):
    (tmp_path / "readme.txt").write_text("about")
    fill(tmp_path / "train" / "a", 10)
    fill(tmp_path / "train" / "b", 10, start=30)
    assert ImageFolder(root=str(tmp_path)).classes == ["a", "b"]


@pytest.mark.parametrize("held_out", [("val",), ("test",), ("val", "test")])
def test_split_folders(tmp_path, held_out):
    for i, split in enumerate(("train", *held_out)):
        fill(tmp_path / split / "x", 3, start=20 * i)
        fill(tmp_path / split / "y", 2, start=100 + 20 * i)
    data = loaded(tmp_path, batch_size=5)
    assert data.classes == ["x", "y"]
    assert greys(data.splits["train"]) == [0, 1, 2, 100, 101]
    assert greys(data.splits["val"]) == [20, 21, 22, 120, 121]
    assert data.splits["val"].labels.tolist() == [0, 0, 0, 1, 1]
    ((x, labels),) = data.test_dataloader()
    first = 40 if len(held_out) == 2 else 20
    assert ((x[:, 0, 0, 0] + 1) * 127.5).round().tolist()[:3] == [first, first + 1, first + 2]
    assert labels.tolist() == [0, 0, 0, 1, 1]


def test_one_class_is_none(tmp_path):
    fill(tmp_path / "train" / "faces", 3)
    fill(tmp_path / "val" / "faces", 3)
    assert ImageFolder(root=str(tmp_path)).num_classes is None
    assert loaded(tmp_path).splits["val"].labels is None


def test_the_held_out_tenth_is_fixed(tmp_path):
    fill(tmp_path, 40)
    val = greys(loaded(tmp_path).splits["val"])
    assert len(val) == 4
    assert val != [0, 1, 2, 3]
    assert greys(loaded(tmp_path, seed=9).splits["val"]) == val
    moved = tmp_path.rename(tmp_path.parent / "elsewhere")
    assert greys(loaded(moved).splits["val"]) == val
    fill(moved, 1, start=40)
    assert len(set(greys(loaded(moved).splits["val"])) & set(val)) >= 3
    fill(moved / "tiny", 2)
    data = loaded(moved / "tiny", batch_size=1)
    assert [len(data.splits[split].data) for split in ("train", "val")] == [1, 1]


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.jpeg", "a.bmp", "a.webp", "a.GIF", "a.tif", "ä 画像 %20.PNG"])
def test_formats_and_names(tmp_path, name):
    save(tmp_path / name, "L", GREY)
    fill(tmp_path, 1, start=GREY)
    data = loaded(tmp_path, channels=1)
    pixels = torch.cat([split.data for split in data.splits.values()])
    assert len(pixels) == 2
    assert (pixels.int() - GREY).abs().max() <= 1


def test_other_and_hidden_files_are_passed_over(tmp_path):
    fill(tmp_path, 3)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._000.png").write_bytes(b"resource fork")
    save(tmp_path / ".thumbnails" / "000.png")
    assert sum(len(split.data) for split in loaded(tmp_path).splits.values()) == 3


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", GREY, (GREY, GREY, GREY)),
        ("LA", (0, 0), (255, 255, 255)),
        ("LA", (GREY, 255), (GREY, GREY, GREY)),
        ("RGB", RED, RED),
        ("RGBA", (*RED, 255), RED),
        ("RGBA", (*RED, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("I;16", 257 * GREY, (GREY, GREY, GREY)),
        ("I;16", 65535, (255, 255, 255)),
    ],
)
def test_modes_become_rgb(tmp_path, mode, colour, expected):
    pixel = read_one(save(tmp_path / "a.png", mode, colour))[:, 7, 7]
    assert pixel.tolist() == list(expected)


def test_scans_of_12_bits_in_16_are_not_taken_for_black(tmp_path, monkeypatch):
    """In [0, 4095] the value v becomes 255 v / 4095: 4095 is white, 819 is 51; decoded again for another range."""
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    scans = tmp_path / "scans"
    scans.mkdir()
    for name, value in (("a", 4095), ("b", 819), ("c", 3000)):
        Image.fromarray(np.full((16, 16), value, dtype=np.uint16)).save(scans / f"{name}.tif")

    def pixels(**options):
        data = ImageFolder(root=scans, image_size=16, channels=1, **options)
        data.setup()
        return sorted({int(v) for split in data.splits.values() for v in split.data.unique()})

    with pytest.raises(ValueError, match=r"up to 4095 of 65535 .*value_range, as \[0, 4095\], or \[0, 65535\]"):
        pixels()
    assert pixels(value_range=(0, 4095)) == [51, 187, 255]
    assert pixels(value_range=(819, 3000)) == [0, 255]
    assert pixels(value_range=(0, 65535)) == [3, 12, 16]
    with pytest.raises(ValueError, match=r"value_range must be \[low, high\]"):
        pixels(value_range=(5, 5))


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    assert read_one(tmp_path / "ramp.png", 1).flatten().tolist() == list(range(256))


def test_palettes_and_cmyk(tmp_path):
    palette = Image.new("RGB", (16, 16), RED).quantize()
    palette.save(tmp_path / "palette.png")
    palette.save(tmp_path / "see-through.png", transparency=0)
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=95)
    assert read_one(tmp_path / "palette.png")[:, 3, 3].tolist() == list(RED)
    assert read_one(tmp_path / "see-through.png")[:, 3, 3].tolist() == [255, 255, 255]
    assert read_one(tmp_path / "see-through.png", 4)[3, 3, 3] == 0
    red = read_one(tmp_path / "cmyk.jpg")[:, 3, 3]
    assert red.tolist() == pytest.approx([255, 0, 0], abs=4)
    assert read_one(tmp_path / "cmyk.jpg", 1)[0, 3, 3] == pytest.approx(76, abs=4)
    assert read_one(tmp_path / "cmyk.jpg", 4)[3, 3, 3] == 255


def test_alpha_is_kept_when_asked_for(tmp_path):
    save(tmp_path / "0.png", "RGBA", (*RED, 51))
    save(tmp_path / "1.png", "RGB", RED)
    data = loaded(tmp_path, channels=4, batch_size=1)
    assert data.image_shape == (4, 32, 32)
    pixels = torch.cat([split.data for split in data.splits.values()])[:, :, 9, 9].tolist()
    assert sorted(pixels) == [[*RED, 51], [*RED, 255]]


def test_grey_is_asked_for(tmp_path):
    assert read_one(save(tmp_path / "a.png"), 1)[0, 0, 0] == round(0.299 * RED[0] + 0.587 * RED[1] + 0.114 * RED[2])


def test_exif_rotation_is_applied(tmp_path):
    pixels = np.zeros((16, 16), dtype=np.uint8)
    pixels[:8] = 255  # as stored: white on top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown rotated by 90 degrees clockwise: white on the right
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    shown = read_one(tmp_path / "a.png", 1)[0]
    assert (shown[:, 8:] == 255).all()
    assert (shown[:, :8] == 0).all()


@pytest.mark.parametrize("portrait", [False, True])
def test_the_central_square_is_kept(tmp_path, portrait):
    pixels = np.zeros((16, 48), dtype=np.uint8)
    pixels[:, 16:32] = np.arange(16)
    Image.fromarray(pixels.T if portrait else pixels).save(tmp_path / "a.png")
    square = read_one(tmp_path / "a.png", 1)[0]
    expected = torch.arange(16, dtype=torch.uint8).expand(16, 16)
    assert torch.equal(square.T if portrait else square, expected)


def test_the_central_rectangle_is_kept(tmp_path):
    """Of 10 x 60 pixels the middle 20 columns are 1:2, and of 60 x 20 the middle 10 rows."""
    for name, pixels in (("wide", np.tile(np.arange(60), (10, 1))), ("tall", np.tile(np.arange(60)[:, None], 20))):
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{name}.png")
    wide, tall = decode([tmp_path / "wide.png", tmp_path / "tall.png"], (1, 10, 20))[:, 0].tolist()
    assert wide == [[*range(20, 40)]] * 10
    assert tall == [[row] * 20 for row in range(25, 35)]


def test_shrinking_is_antialiased(tmp_path):
    stripes = np.zeros((128, 128), dtype=np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    shrunk = read_one(tmp_path / "a.png", 1)[0].int()
    assert (shrunk[:, 1:-1] - 128).abs().max() <= 4


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("L", (16, 16), grey) for grey in (40, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read_one(tmp_path / "a.gif", 1) == 40).all()


def test_flips_are_for_training(tmp_path):
    pixels = np.zeros((32, 32), dtype=np.uint8)
    pixels[:, 16:] = 255
    for i in range(20):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    data = loaded(tmp_path, flip=True, batch_size=18)
    ((x,),) = data.train_dataloader()
    assert set(x[:, 0, 0, 0].tolist()) == {-1.0, 1.0}
    ((x,),) = data.val_dataloader()
    assert set(x[:, 0, 0, 0].tolist()) == {-1.0}


def test_what_is_no_folder_of_images_is_named(tmp_path):
    data = ImageFolder(root=str(tmp_path / "nowhere"))
    assert data.image_shape == (3, 32, 32)
    with pytest.raises(ValueError, match=r"ImageFolder: root='.*nowhere' is not a folder"):
        data.setup()
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"ImageFolder: no images under '.*'; the formats are"):
        loaded(tmp_path)
    fill(tmp_path, 1)
    with pytest.raises(ValueError, match="has one image; at least 2 are needed"):
        loaded(tmp_path)
    fill(tmp_path / "train", 3)
    (tmp_path / "val").mkdir()
    with pytest.raises(ValueError, match=r"ImageFolder: no images under '.*val'"):
        loaded(tmp_path)


def test_folders_that_links_repeat_are_read_once(tmp_path):
    fill(tmp_path / "a", 8)
    (tmp_path / "a/loop").symlink_to(tmp_path / "a")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "a")
    data = loaded(tmp_path)
    assert sorted(greys(data.splits["train"]) + greys(data.splits["val"])) == list(range(8))


def test_a_pipe_is_not_waited_for(tmp_path):
    fill(tmp_path, 4)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match=r"1 of .* images cannot be read: '.*pipe\.png' \(the first: it is no regular"):
        loaded(tmp_path)


def test_broken_files_are_left_out_where_that_is_asked_for(tmp_path):
    fill(tmp_path / "a", 10)
    fill(tmp_path / "b", 10, start=100)
    for name in ("a/003.png", "b/104.png"):
        (tmp_path / name).write_bytes(b"not a png")
    with pytest.raises(ValueError, match=r"003\.png.*--data\.skip_broken true"):
        loaded(tmp_path)
    with pytest.warns(UserWarning, match=r"2 images .* left out: .*003\.png.*104\.png"):
        data = loaded(tmp_path, skip_broken=True)
    train, val = data.splits["train"], data.splits["val"]
    assert sorted(greys(train) + greys(val)) == sorted({*range(10), *range(100, 110)} - {3, 104})
    for split in (train, val):
        assert split.labels.tolist() == [int(grey >= 100) for grey in greys(split)]


def test_ten_broken_files_are_named_and_all_are_counted(tmp_path):
    fill(tmp_path, 20)
    whole = (tmp_path / "000.png").read_bytes()
    for i in range(12):
        (tmp_path / f"{i:03}.png").write_bytes(whole[: len(whole) // 2] if i == 0 else b"not a png")
    with pytest.raises(ValueError, match="12 of 20 images cannot be read") as caught:
        decode(sorted(tmp_path.iterdir()), (1, 16, 16))
    names = [f"{i:03}.png" in str(caught.value) for i in range(12)]
    assert names == [True] * 10 + [False] * 2
    assert str(tmp_path / "000.png") in str(caught.value)
    assert "and 2 more" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("dtype", "top"), [(np.int32, 70_000), (np.float32, 0.5)])
def test_pixels_without_a_range_are_refused(tmp_path, dtype, top):
    Image.fromarray(np.full((16, 16), top, dtype=dtype)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif' \(.* no known range\)"):
        read_one(tmp_path / "a.tif")


def test_a_class_that_training_lacks_is_refused(tmp_path):
    for folder in ("train/a", "train/b", "val/a", "val/c"):
        fill(tmp_path / folder, 2)
    with pytest.raises(ValueError, match=r"'c' in '.*val' is no class of .* \['a', 'b'\]"):
        loaded(tmp_path)


# Images decoded by an earlier run are mapped from disk, and never where they have changed.


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def root(tmp_path):
    fill(tmp_path / "set", 20)
    return tmp_path / "set"


@pytest.fixture
def decodings(monkeypatch):
    """How many images each call decoded."""
    counts, decode = [], image_folder.decode_parts

    def counted(paths, *how):
        counts.append(len(paths))
        return decode(paths, *how)

    monkeypatch.setattr(image_folder, "decode_parts", counted)
    return counts


def test_a_second_run_decodes_nothing(root, cache, decodings):
    first, second = loaded(root), loaded(root)
    assert sorted(decodings) == [2, 18]
    for split in ("train", "val"):
        assert torch.equal(first.splits[split].data, second.splits[split].data)
    kept = set(cache.iterdir())
    uncached = loaded(root, cache=False)
    assert set(cache.iterdir()) == kept
    assert sorted(decodings) == [2, 2, 18, 18]
    assert [greys(second.splits[split]) for split in ("train", "val")] == [
        greys(uncached.splits[split]) for split in ("train", "val")
    ]


def test_preparing_decodes_for_the_ranks_that_follow(root, decodings):
    ImageFolder(root=str(root)).prepare_data()
    loaded(root)
    assert sorted(decodings) == [2, 18]


@pytest.mark.parametrize("change", ["edited", "edited at the same size", "added", "another size", "another folder"])
def test_what_has_changed_is_decoded(root, tmp_path, decodings, change):
    before = loaded(root)
    other, options = root, {}
    if change == "edited":
        save(root / "003.png", "L", 99, (40, 40))
    elif change == "edited at the same size":
        file = root / "003.png"
        size, told = file.stat().st_size, file.stat().st_mtime_ns
        save(file, "L", 99)
        assert file.stat().st_size == size
        os.utime(file, ns=(told + 1, told + 1))
    elif change == "added":
        save(root / "099.png", "L", 99)
    elif change == "another size":
        options = {"image_size": 16}
    else:
        other = tmp_path / "other"
        fill(other, 20, start=60)
        for file, twin in zip(sorted(other.iterdir()), sorted(root.iterdir()), strict=True):
            told = twin.stat().st_mtime_ns
            os.utime(file.rename(other / twin.name), ns=(told, told))
    decodings.clear()
    after = loaded(other, **options)
    assert decodings
    seen = sorted(greys(after.splits["train"]) + greys(after.splits["val"]))
    expected = {
        "another size": list(range(20)),
        "another folder": list(range(60, 80)),
        "added": [*range(20), 99],
    }.get(change, [*(i for i in range(20) if i != 3), 99])
    assert seen == expected
    assert sorted(greys(before.splits["train"]) + greys(before.splits["val"])) == list(range(20))


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda c: c[:50] + bytes([c[50] ^ 1]) + c[51:]])
def test_a_damaged_file_is_replaced(root, cache, decodings, damage):
    whole = loaded(root).splits["train"].data.clone()
    for file in cache.iterdir():
        file.write_bytes(damage(file.read_bytes()))
    assert torch.equal(loaded(root).splits["train"].data, whole)
    assert len(decodings) == 4
    loaded(root)
    assert len(decodings) == 4


def test_the_files_unused_for_longest_make_room(root, cache, monkeypatch):
    size = 20 * 3 * 32 * 32 + 8  # of both splits
    monkeypatch.setattr("zoo.datamodules.decoded.MOST", size)
    loaded(root)
    first = set(cache.iterdir())
    assert sum(file.stat().st_size for file in first) == size
    killed = cache / "killed.part"
    killed.write_bytes(bytes(100))
    os.utime(killed, (0, 0))
    loaded(root, image_size=8)
    small = set(cache.iterdir()) - first
    assert len(small) == 2
    assert killed not in small
    assert len(set(cache.iterdir()) & first) < 2


def test_a_cache_that_is_cleared_meanwhile_is_no_obstacle(root, cache):
    paths = sorted(root.iterdir())

    def decode():
        main(["cache", "--clear"])
        yield torch.arange(20, dtype=torch.uint8)[:, None, None, None]

    assert remembered(paths, (1, 1, 1), decode).flatten().tolist() == list(range(20))


def test_the_command_shows_and_clears_it(root, cache, capsys):
    loaded(root)
    (cache.parent / "mine").mkdir()
    assert main(["cache"]) == main(["cache", "--clear"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if str(cache) in line] == [f"{cache}: 0.1 MB", f"{cache}: 0.1 MB, deleted"]
    assert [path.name for path in cache.parent.iterdir()] == ["mine"]


def test_a_cache_that_cannot_be_written_is_done_without(root, cache, decodings):
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    data = loaded(root)
    assert sorted(greys(data.splits["train"]) + greys(data.splits["val"])) == list(range(20))
    assert cache.read_text() == "a file where the folder should be"


def test_nothing_half_written_is_left_and_writing_stays_in_memory(root, cache):
    data = loaded(root).splits["train"].data
    kept = {file: file.read_bytes() for file in cache.iterdir()}
    assert sorted(len(content) for content in kept.values()) == [2 * 3 * 32 * 32 + 4, 18 * 3 * 32 * 32 + 4]
    data.zero_()
    assert {file: file.read_bytes() for file in cache.iterdir()} == kept


def test_a_broken_image_keeps_nothing(root, cache):
    (root / "005.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1 of \d+ images cannot be read.*005\.png"):
        loaded(root)
    assert not any(len(np.fromfile(file, np.uint8)) == 18 * 3 * 32 * 32 for file in cache.glob("*"))


def test_transparent_images_are_scored_and_shown_on_white_and_saved_with_alpha(tmp_path):
    """Half-transparent red on white is (255, 127.5, 127.5)."""
    red = torch.tensor([1.0, -1.0, -1.0, 0.0]).view(1, 4, 1, 1).expand(2, 4, 32, 32)
    assert picture(red)[9, 9].tolist() == [255, 128, 128]
    pink = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(2, 3, 32, 32)
    seen = PixelFeatures()
    torch.testing.assert_close(seen(red).features, seen(pink).features)
    torch.testing.assert_close(
        seen((red * 127.5 + 127.5).round().byte()).features, seen(pink).features, atol=5e-3, rtol=0
    )
    write_samples([red], 2, f"{tmp_path}/folder/")
    with Image.open(tmp_path / "folder" / "000001.png") as image:
        assert (image.mode, image.getpixel((3, 3))) == ("RGBA", (255, 0, 0, 128))
