"""How every score answers to corrupted data: the table of docs/metrics.md.

python -m benchmarks.corruptions --root data

Real images are the first of Fashion-MNIST's test split; a copy of them, which stands for a generator's images, is
corrupted more and more. Scores are taken in the features of fashion-cnn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as VF

from zoo.datamodules import FashionMNIST
from zoo.metrics import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    mode_statistics,
    precision_recall,
)
from zoo.metrics.features import Classifier, Features

CLASSES = 10
HIGHER_IS_WORSE = {"fd", "kd", "mode kl"}

Corruption = Callable[[Tensor, Tensor, float], Tensor]  # images (N, 1, H, W) in [-1, 1], labels (N,), how much


def noise(images: Tensor, labels: Tensor, sigma: float) -> Tensor:
    """Gaussian, of standard deviation `sigma` on the scale [-1, 1]."""
    added = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + sigma * added).clamp(-1, 1)


def blur(images: Tensor, labels: Tensor, sigma: float) -> Tensor:
    """Gaussian, of standard deviation `sigma` pixels."""
    return VF.gaussian_blur(images, [25, 25], [sigma, sigma]) if sigma else images


def dropped(images: Tensor, labels: Tensor, classes: float) -> Tensor:
    """Without the first classes; what is left is repeated up to the same number."""
    return repeated(images[labels >= classes], len(images))


def duplicated(images: Tensor, labels: Tensor, times: float) -> Tensor:
    """Every `times`-th image only, that many times."""
    return repeated(images[:: int(times)], len(images))


def repeated(images: Tensor, n: int) -> Tensor:
    """The images again and again until there are n."""
    return images[torch.arange(n) % len(images)]


CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "noise, sigma": (noise, (0, 0.1, 0.2, 0.4)),
    "blur, sigma in pixels": (blur, (0, 1, 2, 4)),
    "classes dropped": (dropped, (0, 2, 5, 8)),
    "copies of each image": (duplicated, (1, 4, 20, 100)),
}


def scores(real: Features, fake: Features) -> dict[str, float]:
    """All of them, by column."""
    assert real.logits is not None
    assert fake.logits is not None
    precision, recall = precision_recall(real.features, fake.features)
    density, coverage = density_coverage(real.features, fake.features)
    shares = real.logits.argmax(1).bincount(minlength=CLASSES)
    return {
        "fd": float(frechet_distance(real.features, fake.features)),
        "kd": float(kernel_distance(real.features, fake.features)),
        "is": float(inception_score(fake.logits.double().softmax(1), splits=1)),
        "precision": float(precision),
        "recall": float(recall),
        "density": float(density),
        "coverage": float(coverage),
        "mode kl": mode_statistics(fake.logits, CLASSES, shares).kl,
    }


def worse(name: str, values: list[float]) -> bool:
    """Whether each step of a corruption makes the score strictly worse."""
    steps = [b - a for a, b in pairwise(values)]
    return all(step > 0 if name in HIGHER_IS_WORSE else step < 0 for step in steps)


def table(rows: Iterable[tuple[str, list[str]]], head: list[str]) -> str:
    """In Markdown."""
    lines = [" | ".join(head), " | ".join(["---"] * len(head)), *(" | ".join([name, *cells]) for name, cells in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="data", help="where Fashion-MNIST is, or is downloaded to")
    parser.add_argument("--n", type=int, default=2000, help="images")
    options = parser.parse_args()
    data = FashionMNIST(root=options.root)
    data.setup()
    images, labels = (t[: options.n] for t in data.splits["val"])
    extractor = Classifier("fashion-cnn")
    real, images = extractor(images), images.float() / 127.5 - 1
    rows: list[tuple[str, list[str]]] = []
    for title, (corrupt, amounts) in CORRUPTIONS.items():
        found = [scores(real, extractor(corrupt(images, labels, amount))) for amount in amounts]
        rows += [
            (f"{title} {amount:g}", [f"{value:.4g}" for value in row.values()])
            for amount, row in zip(amounts, found, strict=True)
        ]
        verdicts = {name: worse(name, [row[name] for row in found]) for name in found[0]}
        rows.append(("*each step worse*", ["yes" if verdict else "no" for verdict in verdicts.values()]))
    print(f"{extractor.name} {extractor.fingerprint}, {options.n} images and their corrupted copies")
    print(table(rows, ["corruption", *found[0]]))


if __name__ == "__main__":
    main()
