"""A classifier beside D's score, from which G learns what the classes look like."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from zoo.stabilizers.base import Stabilizer
from zoo.types import Batch, Critic, Game, Output, Terms


class AuxiliaryClassifier(Stabilizer):
    """AC-GAN: Odena, Olah & Shlens 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs".

        D: + λ (-E log P(y | x) - E log P(y | G(z, y)))
        G: + λ (-E log P(y | G(z, y)))

    P is a softmax of D's features["classes"], a linear layer beside the score's; the score does not depend on y.

    Args:
        weight: λ, at least 0; 1 in the paper.

    Raises:
        ValueError: for a negative weight, or a discriminator without `label: classifier`.
    """

    classifies = True

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"AuxiliaryClassifier: weight must be at least 0, got {weight}")
        self.weight = weight

    def prepare(self, gan: Game) -> None:
        """Refuse a D that does not classify."""
        if getattr(gan.discriminator, "label", None) != "classifier":
            raise ValueError(
                f"{type(gan).__name__}: AuxiliaryClassifier needs a discriminator that classifies; set its label: "
                f"classifier, which {type(gan.discriminator).__name__} has not"
            )

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """-λ E log P(y | x) - λ E log P(y | G(z, y)) as `classifier`."""
        return {"classifier": self.weight * (_cross_entropy(real, batch) + _cross_entropy(fake, batch))}

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """-λ E log P(y | G(z, y)) as `classifier`."""
        return {"classifier": self.weight * _cross_entropy(fake, batch)}

    def extra_repr(self) -> str:
        """The weight, for printing."""
        return f"weight={self.weight}"


def _cross_entropy(out: Output, batch: Batch) -> Tensor:
    assert batch.labels is not None  # without them D has refused
    return F.cross_entropy(out.features["classes"], batch.labels)
