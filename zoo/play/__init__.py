"""A page to play with a trained generator: `python -m zoo play`, and the Space of a published folder.

`frame` turns the page's controls into a picture; `page` puts them into a browser, with gradio, the extra `play`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from zoo.gan import GAN
from zoo.hub.pretrained import trained
from zoo.noise import Noise
from zoo.run.films import slerp
from zoo.run.pictures import picture
from zoo.support.sampling import truncated

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING = "a page needs gradio: pip install 'gan-zoo[play]'"
SLIDERS = 4  # of z, its last numbers, which are InfoGAN's codes
_IMAGES, _POINTS = 16, 2_500
_SIDE = 560  # pixels that the page has for the picture
_ALL = "all"
_FAR = 4.0  # a truncation that is none


def frame(
    gan: GAN, seed: int = 0, other: int = 1, share: float = 0.0, truncation: float | None = None,
    label: int | None = None, shifts: Sequence[float] = (),
) -> np.ndarray:  # fmt: skip
    """The picture of 16 images, or of 2,500 points, uint8 (H, W, 3).

    Args:
        gan: the trained game.
        seed: of the latents.
        other: of the latents on the way to which a `share` is gone, 0 to 1, by :func:`zoo.run.films.slerp`.
        share: of that way.
        truncation: the largest |z_i|, as for :func:`zoo.support.sampling.truncated`; None leaves z as it is.
        label: one class for all; None is the classes in turn.
        shifts: added to the last numbers of every z.
    """
    points = gan.sample(1, seed=0).ndim == 2
    n = _POINTS if points else _IMAGES
    here, there = (gan.sample_latent(n, Noise(each)) for each in (seed, other))
    z = slerp(here, there, share)
    if truncation is not None:
        z = truncated(z, truncation)
    if shifts:
        z[:, z.shape[1] - len(shifts) :] += torch.tensor(shifts, dtype=z.dtype)
    return picture(gan.sample(n, z=z, labels=label))


def page(ref: str | Path, trust: Sequence[str] = ()) -> Any:
    """The `gradio.Blocks` of a trained GAN; `launch()` serves it, at 127.0.0.1 unless it is a Space.

    Args:
        ref: as for :func:`zoo.hub.pretrained.trained`; the folder of an `app.py`.
        trust: modules that may be imported to build it.

    Raises:
        ValueError: there is no such GAN, or no gradio.
    """
    try:
        import gradio as gr
    except ModuleNotFoundError as error:
        raise ValueError(MISSING) from error
    gan = trained(ref, trust=trust)
    normal = type(gan).sample_latent is GAN.sample_latent
    classes = [_ALL, *map(str, range(gan.num_classes or 0))]
    last = range(max(gan.latent_dim - SLIDERS, 0), gan.latent_dim)

    def draw(seed: float, other: float, share: float, truncation: float, label: str, *shifts: float) -> np.ndarray:
        chosen = None if label == _ALL else int(label)
        cut = truncation if normal and truncation < _FAR else None
        image = frame(gan, int(seed or 0), int(other or 0), share, cut, chosen, shifts)
        factor = max(1, _SIDE // max(image.shape[:2]))
        return image.repeat(factor, axis=0).repeat(factor, axis=1)

    with gr.Blocks(title=f"{type(gan).__name__}: GAN zoo", analytics_enabled=False) as made:
        gr.Markdown(f"# {type(gan).__name__} at {gan.kimg:g} kimg")
        with gr.Row():
            with gr.Column():
                seed, other = gr.Number(0, label="seed", precision=0), gr.Number(1, label="other seed", precision=0)
                share = gr.Slider(0, 1, 0, step=0.01, label="from seed to other seed")
                truncation = gr.Slider(0.1, _FAR, _FAR, step=0.1, label="truncation", visible=normal)
                label = gr.Dropdown(classes, value=_ALL, label="class", visible=len(classes) > 1)
                shifts = [gr.Slider(-3, 3, 0, step=0.1, label=f"z {i}") for i in last]
            image = gr.Image(label="samples", format="png", height=_SIDE, buttons=["download", "fullscreen"])
        controls = [seed, other, share, truncation, label, *shifts]
        for control in controls:
            control.change(draw, controls, image, show_progress="hidden", trigger_mode="always_last")
        made.load(draw, controls, image, show_progress="hidden")
    return made
