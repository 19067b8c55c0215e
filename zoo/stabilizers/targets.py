"""Other targets for the players: matched features for G, smoothed labels for D."""

from __future__ import annotations

from zoo import distributed
from zoo.stabilizers.base import Stabilizer
from zoo.types import Batch, Critic, Game, Output, Terms


class FeatureMatching(Stabilizer):
    """G minimises weight · ‖E f(x) - E f(G(z))‖², f a layer of D (Salimans et al. 2016, section 3.1).

    As the paper has it, instead of its adversarial loss; D keeps its own. The square is summed over the features; the
    authors' scripts take its mean (MNIST) or the mean absolute difference (CIFAR-10). The two means are over all ranks.
    On its turn G so costs a second forward pass of D, on the real images.

    Args:
        weight: at least 0.
        feature: which of D's features; `hidden` is what its last layer sees, `code` an autoencoder's.
        alone: whether it stands instead of the objective's loss for G. False adds it.

    Raises:
        ValueError: for a negative weight; where `alone` would drop more of G's loss than its adversarial part; and, on
            G's first turn, if D shows no such feature.
    """

    def __init__(self, weight: float = 1.0, feature: str = "hidden", alone: bool = True) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"FeatureMatching: weight must be at least 0, got {weight}")
        self.weight, self.feature, self.replaces_g_loss = weight, feature, alone

    def prepare(self, gan: Game) -> None:
        """Refuse to drop terms of G's loss other than the adversarial one."""
        if self.replaces_g_loss and gan.g_terms.__qualname__ != "GAN.g_terms":
            raise ValueError(
                f"{type(gan).__name__}: its loss for G has parts of its own, which FeatureMatching would replace; "
                "give FeatureMatching alone: false"
            )

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """The squared distance, as `feature_matching`."""
        real = critic(batch.real, "real")
        if self.feature not in real.features:
            shown = ", ".join(real.features) or "none"
            raise ValueError(f"FeatureMatching: D shows no feature {self.feature!r}; choose from {shown}")
        here = real.features[self.feature].flatten(1).mean(0) - fake.features[self.feature].flatten(1).mean(0)
        (difference,) = distributed.mean_with_graph([here])
        return {"feature_matching": self.weight * difference.square().sum()}

    def extra_repr(self) -> str:
        """What is matched, for printing."""
        return f"weight={self.weight}, feature={self.feature}, alone={self.replaces_g_loss}"


class LabelSmoothing(Stabilizer):
    """One-sided: D is to say `real` of real images, not 1 (Salimans et al. 2016, section 3.4).

    L_D = -E[α log D(x) + (1-α) log(1 - D(x))] - E log(1 - D(G(z))), which is the log loss plus (1-α) E score(x). D's
    optimum is α p_data / (p_data + p_g), so α/2 where G is right. The target of fakes stays 0: a target β would add β
    p_g to the optimum's numerator, and where there are no data G would get no signal to move away. A mean of per-image
    terms, so the same on any number of ranks. The paper's α is 0.9 (from memory), and its ImageNet code's
    0.75 (openai/improved-gan, imagenet/train_imagenet.py).

    Args:
        real: α, in (0, 1]; 1 is the plain run, bit for bit.
        fake: 0; anything else is refused.

    Raises:
        ValueError: for a smoothed fake, a `real` outside (0, 1], or an objective whose L_D is no log loss.
    """

    def __init__(self, real: float = 0.9, fake: float = 0.0) -> None:
        super().__init__()
        if not 0 < real <= 1:
            raise ValueError(f"LabelSmoothing: real must be in (0, 1], got {real}")
        if fake != 0:
            raise ValueError(
                f"LabelSmoothing: fake must be 0, got {fake}: a smoothed fake tells G to stay where there are no data"
            )
        self.real = real

    def prepare(self, gan: Game) -> None:
        """Refuse an objective without labels to smooth."""
        if not gan.log_loss:
            raise ValueError(
                f"{type(gan).__name__}: LabelSmoothing is for objectives whose D is a classifier with a log loss, "
                "such as NSGAN or MinimaxGAN (log_loss = True)"
            )

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """What smoothing adds to the log loss, as `label_smoothing`."""
        return {"label_smoothing": (1 - self.real) * real.score.mean()}

    def extra_repr(self) -> str:
        """The target, for printing."""
        return f"real={self.real}"
