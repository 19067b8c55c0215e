"""Labels and attention inside of convolutional networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from zoo.backbones.base import Norm, norm2d


class Labelled(nn.Sequential):
    """Layers in order; those that are `labelled` are called with the labels, too."""

    labelled = True

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """x (N, ...), labels (N,) or (N, num_classes), or None where no layer is labelled."""
        for layer in self:
            x = layer(x, labels) if getattr(layer, "labelled", False) else layer(x)
        return x


class ConditionalBatchNorm2d(nn.Module):
    """γ_y (x - mean) / std + β_y: batch norm with a gain and a bias for each class and channel.

    Dumoulin, Shlens & Kudlur 2017, "A Learned Representation For Artistic Style"; in the generator of a GAN Miyato &
    Koyama 2018. γ starts at 1 and β at 0.
    """

    labelled = True

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = nn.Embedding(num_classes, channels), nn.Embedding(num_classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """x (N, C, H, W), labels (N,), int64, or weights (N, num_classes), which average γ and β."""
        if labels.ndim == 2:
            gain, bias = (labels.to(table.weight) @ table.weight for table in (self.gain, self.bias))
        else:
            gain, bias = self.gain(labels), self.bias(labels)
        return self.norm(x) * gain[:, :, None, None] + bias[:, :, None, None]


class SelfAttention(nn.Module):
    """x + γ · attention over all places of a map: Zhang et al. 2019, "Self-Attention Generative Adversarial Networks".

    For places i of x and j of x max-pooled by 2, a_ij = softmax_j(⟨f(x_i), g(x_j)⟩), and the layer adds γ v(Σ_j a_ij
    h(x_j)) to x_i. f, g, h and v are 1x1 convolutions without bias, f and g to C/8 channels, h to C/2 and v back to C.
    γ starts at 0, so the layer starts as the identity. The pooling and C/2 are those of BigGAN (Brock et al. 2019); the
    paper's text has neither.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, values = max(1, channels // 8), max(1, channels // 2)
        self.query, self.key = (nn.Conv2d(channels, inner, 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, values, 1, bias=False)
        self.out = nn.Conv2d(values, channels, 1, bias=False)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
        self.gamma = nn.Parameter(torch.zeros(()))

    def reset_parameters(self) -> None:
        """Pass x on as it is; the layers have their own."""
        nn.init.zeros_(self.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, C, H, W), H and W at least 2, to the same shape."""
        query = self.query(x).flatten(2)  # (N, C/8, HW)
        key, value = (max_pool2d(layer(x), 2).flatten(2) for layer in (self.key, self.value))
        weights = torch.softmax(query.mT @ key, dim=2)  # (N, HW, HW/4)
        seen = (value @ weights.mT).reshape(len(x), -1, *x.shape[2:])
        return x + self.gamma * self.out(seen)


def norm_of(norm: Norm, channels: int, num_classes: int | None) -> nn.Module:
    """`norm2d`, or conditional batch norm where the number of classes is given."""
    return norm2d(norm, channels) if num_classes is None else ConditionalBatchNorm2d(channels, num_classes)
