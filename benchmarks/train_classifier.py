"""Train a classifier that `zoo.metrics` carries, and write it with its accuracy to zoo/metrics/weights/.

python -m benchmarks.train_classifier digits
python -m benchmarks.train_classifier fashion_mnist --root data
python -m benchmarks.train_classifier mnist --root data
python -m benchmarks.train_classifier cifar10 --root data
python -m benchmarks.train_classifier cifar10 --folder data/cifar10    # train/<class>/*, test/<class>/*
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.datamodules import CIFAR10, MNIST, DataModule, Digits, FashionMNIST, ImageFolder
from zoo.metrics.features.classifier import SIZE, WEIGHTS, SmallCNN, fit

NAMES = {"digits": "digits-cnn", "mnist": "mnist-cnn", "fashion_mnist": "fashion-cnn", "cifar10": "cifar10-cnn"}
EPOCHS = {"digits": 40, "mnist": 3, "fashion_mnist": 6, "cifar10": 8}
SMALL = 16  # half of the batches are shrunk to this size first, as images of small GANs are enlarged
BATCH = 128


def data_module(dataset: str, root: str, folder: str | None) -> DataModule:
    """The set at 32 x 32, or a folder's images in its place."""
    if folder is not None:
        return ImageFolder(root=folder, image_size=SIZE, channels=3 if dataset == "cifar10" else 1, batch_size=BATCH)
    kind = {"digits": Digits, "mnist": MNIST, "fashion_mnist": FashionMNIST, "cifar10": CIFAR10}[dataset]
    where = {} if dataset == "digits" else {"root": root}
    return kind(image_size=SIZE, batch_size=BATCH, **where)


def augmented(images: Tensor, generator: torch.Generator, *, flip: bool) -> Tensor:
    """All images of a batch moved by up to two pixels, perhaps mirrored, perhaps shrunk and enlarged again."""
    down, right, mirror, small = torch.rand(4, generator=generator).tolist()
    images = images.roll((int(5 * down) - 2, int(5 * right) - 2), (2, 3))
    images = images.flip(-1) if flip and mirror < 0.5 else images
    return at_size(images, SMALL) if small < 0.5 else images


def at_size(images: Tensor, size: int) -> Tensor:
    """As an image of `size` pixels would look to the network."""
    return fit(F.interpolate(images, (size, size), mode="bilinear", antialias=True), images.shape[1])


def train(net: nn.Module, data: DataModule, epochs: int, *, flip: bool, seed: int) -> None:
    """AdamW under a one-cycle schedule."""
    generator = torch.Generator().manual_seed(seed)
    loader = data.train_dataloader()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * len(loader))
    net.train()
    for epoch in range(epochs):
        start, losses = time.monotonic(), []
        for images, labels in loader:
            loss = F.cross_entropy(net(augmented(images, generator, flip=flip))[1], labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        print(f"epoch {epoch + 1}/{epochs}: loss {torch.stack(losses).mean():.4f}, {time.monotonic() - start:.0f} s")


@torch.no_grad()
def normalise(net: SmallCNN, data: DataModule) -> None:
    """Scale the features to a mean square of 1 over training images, so that distances have a scale; no logit moves."""
    net.eval()
    squares = [net(images)[0].square().mean() for images, _ in islice(data.train_dataloader(), 100)]
    scale = torch.stack(squares).mean().sqrt()
    last = net.body[-2]
    last.weight /= scale
    last.bias /= scale
    net.head.weight *= scale


@torch.no_grad()
def accuracy(net: nn.Module, data: DataModule, size: int) -> float:
    """The share of held-out images of `size` pixels that it names rightly."""
    net.eval()
    right = [net(at_size(images, size))[1].argmax(1) == labels for images, labels in data.val_dataloader()]
    return torch.cat(right).double().mean().item()


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=NAMES)
    parser.add_argument("--root", default="data", help="where the set's own files are, or are downloaded to")
    parser.add_argument("--folder", help="a folder of its images instead, with train/<class> and test/<class>")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    epochs = options.epochs or EPOCHS[options.dataset]
    data = data_module(options.dataset, options.root, options.folder)
    data.setup()
    net = SmallCNN(data.image_shape[0]).to(memory_format=torch.channels_last)
    start = time.monotonic()
    train(net, data, epochs, flip=options.dataset == "cifar10", seed=options.seed)

    normalise(net, data)
    net.half().float()  # measured as carried
    name = NAMES[options.dataset]
    given = f" --folder data/{options.dataset}" if options.folder else " --root data"
    where = "" if options.dataset == "digits" else given
    about = {
        "data": options.dataset + (", images from a folder" if options.folder else ""),
        "test_accuracy": {f"{size}px": round(accuracy(net, data, size), 4) for size in (SIZE, SMALL)},
        "test_images": len(data.splits["val"].data),
        "parameters": sum(p.numel() for p in net.parameters()),
        "command": f"python -m benchmarks.train_classifier {options.dataset}{where} --epochs {epochs} "
        f"--seed {options.seed}",
        "seconds": round(time.monotonic() - start),
        "torch": torch.__version__,
    }
    kept = {key: value.half() if value.is_floating_point() else value for key, value in net.state_dict().items()}
    WEIGHTS.mkdir(exist_ok=True)
    torch.save(kept, WEIGHTS / f"{name}.pt")
    (WEIGHTS / f"{name}.json").write_text(json.dumps(about, indent=2) + "\n")
    print(json.dumps(about, indent=2))


if __name__ == "__main__":
    main()
