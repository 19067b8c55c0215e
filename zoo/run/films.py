"""Moving pictures: a walk between latents, and a run's samples in the course of training."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.noise import Noise
from zoo.run.files import put
from zoo.run.pictures import picture
from zoo.run.records import read_picture

if TYPE_CHECKING:
    from zoo.gan import GAN

FORMATS = {".webp": "WEBP", ".gif": "GIF", ".png": "PNG"}  # all animated
_LOSSLESS = {".webp": {"lossless": True, "quality": 60}}
_FONT = 14  # pixels
_HOLD = 1.5  # seconds that the last picture of a run stays


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Spherical interpolation of latents a and b (N, latent_dim) at t in [0, 1]; parallel ones linearly.

    sin((1-t)Ω)/sin Ω a + sin(tΩ)/sin Ω b, Ω the angle between a and b (White 2016, "Sampling Generative Networks").
    A straight line between two normal latents passes through shorter ones than training had: by 1/√2 halfway.
    """
    cosine = torch.cosine_similarity(a, b, dim=1).clamp(-1, 1).unsqueeze(1)
    angle = torch.acos(cosine)
    parallel = angle.sin() < 1e-6
    sine = torch.where(parallel, 1.0, angle.sin())
    from_a = torch.where(parallel, 1 - t, ((1 - t) * angle).sin() / sine)
    from_b = torch.where(parallel, t, (t * angle).sin() / sine)
    return from_a * a + from_b * b


def walk(
    gan: GAN, n: int = 16, *, stops: int = 4, frames: int = 24, seed: int = 0,
    labels: int | Sequence[int] | None = None,
) -> Iterator[Tensor]:  # fmt: skip
    """Samples of n latents that go round through `stops` random ones, `stops * frames` frames of (n, *image_shape).

    The frame after the last is the first, so that the film can loop.

    Args:
        gan: the trained game; its averaged generator is used where there is one.
        n: latents that walk side by side.
        stops: latents that each of them passes through, at least 1; 1 does not move.
        frames: from one stop to the next.
        seed: of the latents.
        labels: a class for all; or several, to pass through at an even rate and return, by weights of two of them;
            None is the classes in turn.

    Raises:
        ValueError: a number below 1; classes that the generator does not have, or cannot mix.
    """
    if min(n, stops, frames) < 1:
        raise ValueError(f"walk: n, stops and frames must be at least 1, got {n}, {stops} and {frames}")
    noise = Noise(seed)
    points = [gan.sample_latent(n, noise) for _ in range(stops)]
    for stop, (here, there) in enumerate(itertools.pairwise([*points, points[0]])):
        for frame in range(frames):
            along = (stop + frame / frames) / stops
            classes = _between(gan, n, labels, along) if isinstance(labels, Sequence) else labels
            yield gan.sample(n, z=slerp(here, there, frame / frames), labels=classes)


def _between(gan: GAN, n: int, classes: Sequence[int], along: float) -> Tensor:
    """Weights (n, num_classes) of a round through `classes`, of which a share `along`, in [0, 1), is over."""
    if gan.num_classes is None:
        raise ValueError(f"walk: {type(gan.generator).__name__} has no classes; leave labels out")
    if not classes or not all(0 <= each < gan.num_classes for each in classes):
        raise ValueError(f"walk: labels must be in 0..{gan.num_classes - 1}, got {list(classes)}")
    number, share = divmod(along * len(classes), 1)
    weights = torch.zeros(n, gan.num_classes)
    weights[:, classes[int(number)]] += 1 - share
    weights[:, classes[(int(number) + 1) % len(classes)]] += share
    return weights


def of_run(folder: Path) -> Iterator[np.ndarray]:
    """The pictures in `samples/` of a run's folder, in order, each with its kimg above it.

    Raises:
        ValueError: there are none, one cannot be read or is not named by its kimg, or they differ in size.
    """
    paths = sorted((folder / "samples").glob("*.png"), key=_kimg)
    if not paths:
        raise ValueError(f"{folder} has no pictures in samples/; a run writes them unless `samples` is null")
    size = None
    for path in paths:
        drawn = read_picture(path)
        size = size or drawn.size
        if drawn.size != size:
            raise ValueError(
                f"{path} has {drawn.width} x {drawn.height} pixels and {paths[0].name} {size[0]} x {size[1]}: "
                "a film has frames of one size"
            )
        yield titled(np.asarray(drawn), f"{_kimg(path):g} kimg")


def _kimg(path: Path) -> float:
    try:
        return float(path.stem)
    except ValueError:
        raise ValueError(f"{path} is no picture of a run's: it is not named by its kimg") from None


def titled(image: np.ndarray, title: str) -> np.ndarray:
    """An image (H, W, 3), uint8, with a line of text on white above it."""
    sheet = Image.new("RGB", (image.shape[1], image.shape[0] + _FONT + 6), "white")
    sheet.paste(Image.fromarray(image), (0, _FONT + 6))
    ImageDraw.Draw(sheet).text((3, 2), title, "black", ImageFont.load_default(_FONT))
    return np.asarray(sheet)


def save_film(frames: Iterable[np.ndarray], path: str | Path, fps: float = 12, *, hold: bool = False) -> Path:
    """Write frames (H, W, 3), uint8, as a film that repeats: an animated .webp, .gif or .png, or a folder of PNGs.

    Args:
        frames: of one size.
        path: its suffix is the format; without a suffix it is a folder, for 00000.png, 00001.png and so on.
        fps: frames per second.
        hold: the last frame stays 1.5 seconds.

    Raises:
        ValueError: another suffix, no frames, or `fps` outside [0.1, 1000].
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix and suffix not in FORMATS:
        raise ValueError(f"{path}: a film ends in {', '.join(FORMATS)}, or is a folder, without a suffix")
    if not 0.1 <= fps <= 1000:
        raise ValueError(f"a film has 0.1 to 1000 frames per second, got {fps}")
    images = (Image.fromarray(frame) for frame in frames)
    first = next(images, None)
    if first is None:
        raise ValueError(f"{path}: a film needs at least one frame")
    if not suffix:
        path.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(itertools.chain([first], images)):
            image.save(path / f"{i:05d}.png")
        return path
    rest = list(images)
    durations = [round(1000 / fps)] * (1 + len(rest))
    durations[-1] = round(1000 * _HOLD) if hold else durations[-1]
    options = {"save_all": True, "append_images": rest, "duration": durations, "loop": 0, **_LOSSLESS.get(suffix, {})}
    memory = BytesIO()
    first.save(memory, FORMATS[suffix], **options)
    put(memory.getbuffer(), path)
    return path


def of_walk(frames: Iterable[Tensor], columns: int | None = None) -> Iterator[np.ndarray]:
    """The :func:`zoo.run.pictures.picture` of each frame of a :func:`walk`."""
    return (picture(samples, columns) for samples in frames)
