"""What the games with an encoder share."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from zoo.gan import GAN


class EncodedGAN(GAN):
    """A game in which an encoder leads from x back to z.

    Args:
        generator: as in `GAN`.
        discriminator: as in `GAN`.
        encoder: x (N, ...) to z (N, latent_dim), or to a mean and a log variance if the game's encoder is stochastic.
        kwargs: the rest of `GAN`.

    Raises:
        ValueError: for an encoder of the other kind, or of another latent_dim than the generator's.
    """

    stochastic_encoder: ClassVar[bool] = False

    def __init__(self, generator: nn.Module, discriminator: nn.Module, encoder: nn.Module, **kwargs: Any) -> None:
        self.__dict__["encoder"] = encoder  # dynamics and stabilizers see the players while the game is built
        super().__init__(generator, discriminator, **kwargs)
        name = type(self).__name__
        if getattr(encoder, "stochastic", False) != self.stochastic_encoder:
            returns = "a mean and a log variance" if self.stochastic_encoder else "one z for each x"
            wanted = str(self.stochastic_encoder).lower()
            raise ValueError(f"{name}: its encoder returns {returns}; set the encoder's stochastic: {wanted}")
        if encoder.latent_dim != self.latent_dim:
            raise ValueError(
                f"{name}: the encoder's latent_dim is {encoder.latent_dim}, the generator's {self.latent_dim}"
            )
        self.encoder = encoder
