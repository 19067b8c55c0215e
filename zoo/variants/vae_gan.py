"""VAE/GAN: Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric", algorithm 1.

    L_D = -E log D(x) - E log(1 - D(G(z)))
    L_G = γ L_like - (1-γ) L_D,   L_like = ½ E ‖f(x) - f(x̃)‖²,   x̃ = G(E(x))
    L_E = E KL(q(z|x) ‖ N(0, I)) + L_like

D(x) = σ(score), f its features["hidden"]. The encoder never sees L_D, and D never moves on L_like. c being the two
parts of L_D, D waits where it is good at one of them, min(c) < 0.68 - m, and G where D is bad at one,
max(c) > 0.68 + m; if that stops both, both move.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import RMSprop

from zoo import distributed
from zoo.types import Batch, Critic, Data, Output, Terms, Turn
from zoo.variants._encoder import EncoderGAN


class VAEGAN(EncoderGAN):
    """A variational autoencoder whose decoder is the generator, and whose error is measured in D's features.

    Three players, each with its own loss: D, G and E, in this order.

    Deviations: the paper was not re-read; the constants are those of the authors' code (margin 0.35, equilibrium 0.68,
    RMSprop with decay 0.9) and of its CelebA script (γ, the rate). There all three move from one forward pass, and that
    batch decides which player waits; here each turn has its own forward pass and latents, and the costs of the batch
    before decide, as they were before its moves, averaged over ranks. They are read once a batch, which waits for the
    device. The authors' rate falls to nearly 0 over the run; here it is constant unless a scheduler is given. Their
    weight decay of 1e-5 and the 1e-3 inside their logarithms are left out. L_like is summed over D's last hidden layer,
    theirs over one of its convolutions: what γ means goes with the number of features.

    Args:
        generator: the decoder.
        discriminator: must show features["hidden"].
        encoder: x (N, ...) to mean and log variance, each (N, latent_dim); its optimiser takes G's settings.
        gamma: γ, in [0, 1]: the weight of L_like in the decoder's loss.
        margin: m, at least 0, in nats; half the width of the band in which all players move.
        equilibrium: the middle of the band, in nats; 0.68 is just under -log ½, a D that cannot tell.
        reconstructions: score x̃ as a fake too. D's loss then averages over both kinds of fakes, G's adds them up, as
            in the authors' code, whose CelebA script does without.
        kwargs: the rest of `GAN`.

    Logs:
        loss/g/likelihood: γ L_like; loss/e/likelihood is L_like itself.
        loss/e/prior: the divergence of q(z|x) from N(0, I), in nats.
        vae_gan/cost_real: -E log D(x), in nats, of the batch before anybody moved; a D that cannot tell has 0.69.
        vae_gan/cost_fake: -E log(1 - D(G(z))), likewise.

    Raises:
        ValueError: for a γ or margin outside its range, an encoder that is not stochastic or of another latent_dim than
            the generator's, and, in training, for a discriminator without features["hidden"].
    """

    default_optimizer = partial(RMSprop, lr=0.025 / 64, alpha=0.9, foreach=True)  # theirs sums over a batch of 64
    stochastic_encoder = True
    log_loss = True
    costs: Tensor

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, encoder: nn.Module, *, gamma: float = 1e-6,
        margin: float = 0.35, equilibrium: float = 0.68, reconstructions: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        if not 0 <= gamma <= 1 or margin < 0:
            raise ValueError(f"VAEGAN: gamma must be in [0, 1] and margin at least 0, got {gamma} and {margin}")
        super().__init__(generator, discriminator, encoder, **kwargs)
        self.gamma, self.margin, self.equilibrium, self.reconstructions = gamma, margin, equilibrium, reconstructions
        self.register_buffer("costs", torch.full((2,), equilibrium))  # both parts of L_D, of the last batch
        self.waiting: frozenset[str] = frozenset()

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), from logits."""
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """E log(1 - D(G(z))), from logits: the minimax loss."""
        return -F.softplus(d_fake).mean()

    @staticmethod
    def prior_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL(q(z|x) ‖ N(0, I)) from (N, latent_dim) each, summed over dimensions, averaged over the batch."""
        return (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean() / 2

    def likelihood_loss(self, real: Output, rebuilt: Output) -> Tensor:
        """½‖f(x) - f(x̃)‖², summed over features, averaged over the batch."""
        if "hidden" not in real.features:
            shown = ", ".join(real.features) or "none"
            raise ValueError(
                f"VAEGAN compares features['hidden'], and its {type(self.discriminator).__name__} shows {shown}; "
                "return (score, {'hidden': ...}) from its forward"
            )
        return (real.features["hidden"] - rebuilt.features["hidden"]).flatten(1).square().sum(1).mean() / 2

    def turns(self) -> tuple[Turn, ...]:
        """D; G; E. `play` leaves out who must wait."""
        return (
            Turn("d", ("d",), self.d_turn, side="d"),
            Turn("g", ("g",), self.g_turn, side="g"),
            Turn("e", ("e",), self.e_turn, side="g", samples=False),
        )

    def players(self) -> dict[str, nn.Module]:
        """D, G and E."""
        return {"d": self.discriminator, "g": self.generator, "e": self.encoder}

    def rebuild(self, batch: Batch, mean: Tensor, log_variance: Tensor) -> Tensor:
        """x̃ = G(z), z a reparametrised sample of q(z|x) given by (N, latent_dim) each."""
        z = mean + (log_variance / 2).exp() * batch.noise.normal(*mean.shape, dtype=mean.dtype)
        return self.generate(z, batch.labels)

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """L_D, with that of reconstructions if D scores them."""
        if not self.reconstructions:
            return super().d_terms(critic, batch, real, fake)
        rebuilt = critic(self.rebuild(batch, *self.encoder(batch.real)), "fake")
        self.outputs["d"]["rebuilt"] = rebuilt.detach()
        return {"adversarial": self.d_loss(real.score, torch.cat([fake.score, rebuilt.score]))}

    def g_turn(self, critic: Critic, batch: Batch, name: str = "g") -> Terms:
        """-(1-γ) L_D and γ L_like."""
        terms = super().g_turn(critic, batch, name)
        real, rebuilt = critic(batch.real, "real"), critic(self.rebuild(batch, *self.encoder(batch.real)), "fake")
        self.outputs[name]["real"] = real.detach()
        if self.reconstructions:
            self.outputs[name]["rebuilt"] = rebuilt.detach()
            terms["adversarial_rebuilt"] = self.g_loss(rebuilt.score)
        weighed = {key: (1 - self.gamma) * term for key, term in terms.items()}
        return weighed | {"likelihood": self.gamma * self.likelihood_loss(real, rebuilt)}

    def e_turn(self, critic: Critic, batch: Batch) -> Terms:
        """KL(q(z|x) ‖ N(0, I)) and L_like."""
        mean, log_variance = self.encoder(batch.real)
        real, rebuilt = critic(batch.real, "real"), critic(self.rebuild(batch, mean, log_variance), "fake")
        return {"prior": self.prior_loss(mean, log_variance), "likelihood": self.likelihood_loss(real, rebuilt)}

    def training_step(self, batch: Data | Tensor, batch_idx: int = 0) -> None:
        """Decide who waits, then play."""
        self.waiting = self.gate()
        super().training_step(batch, batch_idx)

    def play(self, turn: Turn, data: Data) -> None:
        """Play the turn, unless its player must wait."""
        if turn.name not in self.waiting:
            super().play(turn, data)

    def gate(self) -> frozenset[str]:
        """The names of the turns that are left out of the next batch: d, g or none."""
        costs = self.costs.tolist()
        d_waits = min(costs) < self.equilibrium - self.margin
        g_waits = max(costs) > self.equilibrium + self.margin
        if d_waits == g_waits:
            return frozenset()
        return frozenset({"d" if d_waits else "g"})

    def after_turn(self, turn: Turn) -> None:
        """Keep the costs from before the moves: those of D's turn, or of G's if D waits."""
        if turn.name == "d" or (turn.name == "g" and "d" in self.waiting):
            outputs = dict(self.outputs[turn.name])
            real = outputs.pop("real").score
            fakes = torch.cat([output.score for output in outputs.values()])
            self.costs.copy_(distributed.mean(torch.stack([F.softplus(-real).mean(), F.softplus(fakes).mean()])))
            self.latest["vae_gan/cost_real"], self.latest["vae_gan/cost_fake"] = self.costs.unbind()
