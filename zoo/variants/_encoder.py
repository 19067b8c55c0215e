"""The common part of the games with an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from zoo.gan import GAN


class EncoderGAN(GAN):
    """A game in which an encoder leads from x back to z.

    Args:
        generator: as in `GAN`.
        discriminator: as in `GAN`.
        encoder: x (N, ...) to z (N, latent_dim), or to a mean and a log variance if the game's encoder is stochastic.
        networks: further networks, by attribute name.
        kwargs: the rest of `GAN`.

    Raises:
        ValueError: for an encoder of the other kind, or a latent_dim, of the encoder or of a discriminator of pairs,
            that differs from the generator's.
    """

    encoder: nn.Module
    stochastic_encoder: ClassVar[bool] = False

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, encoder: nn.Module, *,
        networks: Mapping[str, nn.Module] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(generator, discriminator, networks={**(networks or {}), "encoder": encoder}, **kwargs)
        name = type(self).__name__
        if getattr(encoder, "stochastic", False) != self.stochastic_encoder:
            returns = "a mean and a log variance" if self.stochastic_encoder else "one z for each x"
            needed = str(self.stochastic_encoder).lower()
            raise ValueError(f"{name}: its encoder returns {returns}; set the encoder's stochastic: {needed}")
        if encoder.latent_dim != self.latent_dim:
            raise ValueError(
                f"{name}: the encoder's latent_dim is {encoder.latent_dim}, the generator's {self.latent_dim}"
            )
        if self.paired and discriminator.latent_dim != self.latent_dim:
            raise ValueError(
                f"{name}: the discriminator's latent_dim is {discriminator.latent_dim}, the generator's "
                f"{self.latent_dim}"
            )
