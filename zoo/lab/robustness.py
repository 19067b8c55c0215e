"""A GAN and a WGAN with generators that get worse: DCGAN, DCGAN without batch norm, and an MLP.

Claim: A GAN depends on its architecture: take batch norm out of a DCGAN's generator, or put an MLP in its place, and it
learns worse or collapses. A WGAN with the same generators learns all the same.

Paper: Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", section 4.3, figures 5 to 7.

Figure: Samples of six trainings on the handwritten digits, above by the GAN with the -log D loss, below by WGAN; in
columns the generators, right the data. Over each, the Fréchet distance to the data in features of a digits classifier.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.optim import RMSprop

from zoo.backbones import DCGANDiscriminator, DCGANGenerator, MLPGenerator
from zoo.backbones.base import Generator
from zoo.datamodules import Digits
from zoo.gan import GAN
from zoo.lab import Result
from zoo.lab._games import fit
from zoo.metrics import frechet_distance, precision_recall
from zoo.metrics.features import Classifier
from zoo.optim import Adam
from zoo.run.pictures import picture
from zoo.variants.nsgan import NSGAN
from zoo.variants.wgan import WGAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPE, BATCH = (1, 16, 16), 64
WIDTH, LATENT = 32, 64
SAMPLES, SHOWN = 1000, 36
GENERATORS: dict[str, Callable[..., Generator]] = {
    "DCGAN": partial(DCGANGenerator, width=WIDTH),
    "no batch norm": partial(DCGANGenerator, width=WIDTH, norm="none"),
    "MLP": partial(MLPGenerator, width=512, depth=3),
}
ADAM = partial(Adam, lr=2e-4)
RMS = partial(RMSprop, lr=2e-4, foreach=True)
GAMES: dict[str, tuple[Callable[..., GAN], int]] = {  # and batches to a generator's step
    "GAN": (partial(NSGAN, g_optimizer=ADAM, d_optimizer=ADAM), 1),
    "WGAN": (partial(WGAN, g_optimizer=RMS, d_optimizer=RMS), 5),
}


MEASURES = ("Fréchet distance", "recall", "spread of samples / of data", "classes, of 10")


class Seen(NamedTuple):
    """What a training came to."""

    samples: Tensor  # (1000, 1, 16, 16)
    distance: float  # Fréchet, in features of the classifier
    recall: float  # the share of the data that lie among the samples, in these features
    spread: float  # the samples' over the data's
    classes: int  # of 10, with 1 % of the samples


def spread(images: Tensor) -> float:
    """The mean Euclidean distance between two images of (N, C, H, W)."""
    return torch.pdist(images.flatten(1)).mean().item()


def classes(logits: Tensor, share: float = 0.01) -> int:
    """How many classes have at least this share of the images, by their logits (N, 10)."""
    return int((torch.bincount(logits.argmax(1), minlength=10) >= share * len(logits)).sum())


def play(game: str, architecture: str, data: Digits, g_steps: int, seed: int) -> Tensor:
    """Samples (1000, 1, 16, 16) of one of the six, after `g_steps` of the generator."""
    torch.manual_seed(seed)
    objective, rounds = GAMES[game]
    discriminator = DCGANDiscriminator(SHAPE, width=WIDTH, norm="batch")  # first, so that all start from one
    gan = objective(GENERATORS[architecture](SHAPE, latent_dim=LATENT), discriminator)
    fit(gan, data, rounds * g_steps)
    return gan.sample(SAMPLES, seed=seed)


def run(seed: int, quick: bool) -> Result:
    """Six trainings of as many generator steps on 8x8 digits at 16 pixels; only the generator changes.

    G without batch norm keeps its other layers, as in the authors' code, and not a constant number of filters, as in
    their text. The MLP is 64-512-512-512-256 with a tanh that theirs has not. Both discriminators are DCGANs with batch
    norm. The WGAN has the paper's clipping and five moves of the critic, at a rate of 2e-4 in place of 5e-5.
    """
    g_steps = 10 if quick else 600
    data = Digits(image_size=SHAPE[1], batch_size=BATCH, seed=seed)
    data.setup()
    real = data.splits["train"].data / 127.5 - 1
    known = Classifier("digits-cnn")
    vectors = known(real).features
    floor = frechet_distance(vectors, known(data.splits["val"].data).features).item()
    seen: dict[str, Seen] = {}
    numbers: dict[str, float | list[float]] = {"steps of G": g_steps, "Fréchet distance of held-out data": floor}
    for game in GAMES:
        for architecture in GENERATORS:
            samples = play(game, architecture, data, g_steps, seed)
            features, logits = known(samples)
            one = Seen(
                samples, frechet_distance(vectors, features).item(), precision_recall(vectors, features)[1].item(),
                spread(samples) / spread(real), classes(logits),
            )  # fmt: skip
            seen[f"{game}, {architecture}"] = one
            numbers |= {f"{game}, {architecture}: {what}": value for what, value in zip(MEASURES, one[1:], strict=True)}
    return Result(numbers, _finding(seen, floor, g_steps), partial(_draw, seen, real), size=(10.5, 5.9))


def _finding(seen: dict[str, Seen], floor: float, g_steps: int) -> str:
    def listed(game: str, what: str, form: str) -> str:
        return ", ".join(f"{getattr(seen[f'{game}, {each}'], what):{form}}" for each in GENERATORS)

    def loss(game: str) -> float:
        return seen[f"{game}, no batch norm"].distance / seen[f"{game}, DCGAN"].distance

    collapsed = [name for name, one in seen.items() if one.spread < 0.5]
    agreed = " A WGAN's samples by an MLP are bad, but not alike: so the paper has it." * (collapsed == ["GAN, MLP"])
    return (
        f"After {g_steps} steps of {', '.join(GENERATORS)}, in this order, the Fréchet distance to the data is "
        f"{listed('GAN', 'distance', '.0f')} by GAN and {listed('WGAN', 'distance', '.0f')} by WGAN (held-out data: "
        f"{floor:.1f}), the recall {listed('GAN', 'recall', '.2f')} and {listed('WGAN', 'recall', '.2f')}, the spread "
        f"over the data's {listed('GAN', 'spread', '.2f')} and {listed('WGAN', 'spread', '.2f')}, the classes of 10 "
        f"{listed('GAN', 'classes', 'd')} and {listed('WGAN', 'classes', 'd')}. Collapsed, with less than half of the "
        f"data's spread: {'; '.join(collapsed) or 'none'}.{agreed} Without batch norm the distance is "
        f"{loss('GAN'):.1f} times as large by GAN, and {loss('WGAN'):.1f} times by WGAN: the paper's GAN fails there, "
        "on images of 64 pixels; here G has two transposed convolutions, which is not deep. To one step of its "
        "generator a WGAN has five of its critic."
    )


def _draw(seen: dict[str, Seen], real: Tensor, figure: Figure) -> None:
    grid = figure.subplots(len(GAMES), len(GENERATORS) + 1)
    for row, game in zip(grid, GAMES, strict=True):
        for here, architecture in zip(row, GENERATORS, strict=False):
            one = seen[f"{game}, {architecture}"]
            here.imshow(picture(one.samples[:SHOWN]))
            here.set_title(f"{game}, {architecture}: {one.distance:.0f}")
    shown = real[torch.randperm(len(real))[: 2 * SHOWN]]
    for here, images in zip(grid[:, -1], (shown[:SHOWN], shown[SHOWN:]), strict=True):
        here.imshow(picture(images))
        here.set_title("data")
    for here in grid.flat:
        here.set_axis_off()
