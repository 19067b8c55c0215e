"""Base classes of generators and discriminators, image shapes, labels and normalisation layers."""

from collections.abc import Sequence
from typing import Any, Literal, assert_never, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from zoo.support.described import Described

Norm = Literal["batch", "layer", "instance", "none"]
NORMS: tuple[Norm, ...] = get_args(Norm)
GeneratorLabel = Literal["concat", "batch_norm"]
DiscriminatorLabel = Literal["projection", "classifier"]

SIDES = (8, 128)  # pixels, of the images of convolutional networks


class Generator(Described, nn.Module):
    """z (N, latent_dim) -> samples (N, *image_shape).

    With `num_classes`, a label's one-hot code is concatenated to z, so that the first layer gives every class a vector
    of its own (the conditional GAN of Mirza & Osindero, 2014). A dense code as long as z makes G collapse within
    classes: one step of Adam at rate lr moves what the first layer makes of a code e by up to lr‖e‖₁, in the same
    direction in every batch, while steps along z, drawn anew, average out. docs/conditional.md has measurements.
    With `label` "batch_norm" labels enter through conditional batch norms instead; `net` then takes them, too.
    Labels can be weights (N, num_classes) as well: then the classes' vectors are averaged.

    A subclass sets `net`, which maps (N, input_dim) to (N, *image_shape).
    """

    mixes_classes = True  # labels can be weights
    net: nn.Module

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int, num_classes: int | None, label: GeneratorLabel = "concat"
    ) -> None:
        super().__init__()
        check_at_least(self, 1, latent_dim=latent_dim, num_classes=num_classes)
        check_choice(self, get_args(GeneratorLabel), label=label)
        if label == "batch_norm" and num_classes is None:
            raise ValueError(
                f"{type(self).__name__}: label batch_norm needs num_classes; configs set conditional: true"
            )
        self.label = label
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.input_dim = latent_dim + (num_classes or 0 if label == "concat" else 0)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map z (N, latent_dim) and labels (N,), int64, or weights (N, num_classes), to samples (N, *image_shape).

        Raises ValueError for labels that are missing, not asked for, or of another shape.
        """
        check_labels(self, labels, z.shape[0])
        if self.label == "batch_norm":
            return self.net(z, labels)
        if labels is not None and self.num_classes is not None:
            code = labels if labels.ndim == 2 else one_hot(labels, self.num_classes)
            z = torch.cat([z, code.to(z)], dim=1)
        return self.net(z)


class Discriminator(Described, nn.Module):
    """x (N, *image_shape) -> score (N,) and features {"hidden": (N, hidden_dim)}.

    The score is an unbounded logit or critic value, linear in the hidden representation. With
    `num_classes` it is <embed(y), hidden> more: the projection discriminator (Miyato & Koyama,
    2018), whose embedding starts Xavier-uniform as in the authors' code. With `label` "classifier" the
    score does not depend on labels, and features["classes"] are logits (N, num_classes), linear in the
    hidden representation: the auxiliary classifier (Odena et al., 2017), which
    `zoo.stabilizers.AuxiliaryClassifier` trains.

    A subclass sets `trunk`, which maps (N, *image_shape) to (N, hidden_dim).
    """

    energy = False
    trunk: nn.Module

    def __init__(
        self, image_shape: Sequence[int], hidden_dim: int, num_classes: int | None,
        label: DiscriminatorLabel = "projection",
    ) -> None:  # fmt: skip
        super().__init__()
        check_at_least(self, 1, num_classes=num_classes)
        check_choice(self, get_args(DiscriminatorLabel), label=label)
        if label == "classifier" and num_classes is None:
            raise ValueError(
                f"{type(self).__name__}: label classifier needs num_classes; configs set conditional: true"
            )
        self.label = label
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.head = nn.Linear(hidden_dim, 1)
        self.embed = self.classes = None
        if label == "classifier" and num_classes is not None:
            self.classes = nn.Linear(hidden_dim, num_classes)
        elif num_classes is not None:
            self.embed = nn.Embedding(num_classes, hidden_dim)
            nn.init.xavier_uniform_(self.embed.weight)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Score x (N, *image_shape), given labels (N,), int64, when conditional.

        Raises ValueError for an x of another shape, and for labels that are missing, not asked
        for, or not (N,).
        """
        check_input(self, x)
        check_labels(self, labels, x.shape[0])
        hidden = self.trunk(x)
        score = self.head(hidden).squeeze(1)
        if self.embed is not None:
            score = score + (self.embed(labels) * hidden).sum(1)
        return score, {"hidden": hidden} | ({} if self.classes is None else {"classes": self.classes(hidden)})


def norm2d(norm: Norm, channels: int) -> nn.Module:
    """Return the normalisation of maps (N, C, H, W), each with a gain and a bias per channel.

    "batch": over (N, H, W) per channel. "layer": over (C, H, W) per sample, that is
    GroupNorm(1, C), whose affine is per channel and not per element. "instance": over (H, W) per
    sample and channel. "none": the identity.
    """
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=True)
        case "none":
            return nn.Identity()
        case _:
            assert_never(norm)


def xavier(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Module:
    """Set the layer's weights Xavier-uniform with `gain` and its bias to 0; return the layer."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def init_orthogonal(net: nn.Module, gain: float | None) -> None:
    """Start the net's linear and convolutional weights orthogonal with `gain`, biases at 0; None does nothing."""
    if gain is None:
        return
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def init_normal(net: nn.Module, std: float | None) -> None:
    """Start the net's linear and convolutional weights from N(0, std²), biases at 0; None does nothing."""
    if std is None:
        return
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def check_shape(net: nn.Module, image_shape: Sequence[int]) -> tuple[int, int, tuple[int, int]]:
    """C, S and (h, w) of an image_shape (C, h S/4, w S/4): the map of h x w pixels is doubled to the image.

    S is 8, 16, 32, 64 or 128; h and w are 4 for square images of S pixels. Otherwise the shorter of them is 4 to 7 and
    the longer at most 16: 32 x 48 pixels are doubled three times from 4 x 6, 28 x 28 twice from 7 x 7.

    Raises ValueError for an image that no such map makes, and for sides outside [8, 128].
    """
    shape = tuple(image_shape)
    if len(shape) == 3 and shape[0] >= 1 and SIDES[0] <= min(shape[1:]) and max(shape[1:]) <= SIDES[1]:
        size, (h, w) = 4, shape[1:]
        while h % 2 == w % 2 == 0 and min(h, w) >= 8:
            size, h, w = 2 * size, h // 2, w // 2
        if size > 4 and min(h, w) < 8 and max(h, w) <= 16:
            return shape[0], size, (h, w)
    raise ValueError(
        f"{type(net).__name__}: image_shape is {shape}; a convolutional net takes (C, H, W) with C >= 1 and sides from "
        f"{SIDES[0]} to {SIDES[1]} that a small map becomes by doublings, its shorter side 4 to 7, its longer at most "
        "16: squares of 8, 16, 28, 32, 64 or 128 pixels, or 32 x 48 (4 x 6, doubled three times)"
    )


def doublings(first: int, last: int) -> list[int]:
    """Return first, 2 first, 4 first, ..., last; empty when last < first."""
    return [first << k for k in range((last // first).bit_length())]


def check_at_least(net: nn.Module, minimum: int, **values: int | None) -> None:
    """Raise ValueError for the first named size below `minimum`; None passes."""
    for name, value in values.items():
        if value is not None and value < minimum:
            raise ValueError(f"{type(net).__name__}: {name} is {value}; it must be at least {minimum}")


def check_choice(net: nn.Module, choices: tuple[Any, ...], **values: Any) -> None:
    """Raise ValueError for the first named value that is not among the choices."""
    for name, value in values.items():
        if value not in choices:
            raise ValueError(f"{type(net).__name__}: {name} is {value!r}; choose from {choices}")


def check_input(net: nn.Module, x: Tensor) -> None:
    """Raise ValueError unless x is a batch of the net's image_shape."""
    if x.shape[1:] != net.image_shape:
        raise ValueError(
            f"{type(net).__name__}: got x of shape {tuple(x.shape)}; "
            f"it was built for (N, *image_shape) with image_shape {net.image_shape}"
        )


def check_labels(net: Generator | Discriminator, labels: Tensor | None, n: int) -> None:
    """Raise ValueError unless labels are (n,), or a generator's weights, for a conditional net and None for others."""
    name = type(net).__name__
    if net.num_classes is None:
        if labels is not None:
            raise ValueError(f"{name}: got labels, but is unconditional; set num_classes")
    elif labels is None:
        raise ValueError(f"{name}: num_classes is {net.num_classes}, so labels (N,) are needed")
    elif labels.shape not in ((n,), (n, net.num_classes) if isinstance(net, Generator) else (n,)):  # n may be a symbol
        raise ValueError(f"{name}: labels have shape {tuple(labels.shape)}; expected ({n},)")
