"""Every variant as a plain torch loop, by the name of its configuration."""

from benchmarks.loops.adversarial import (
    BEGAN,
    DRAGAN,
    EBGAN,
    LSGAN,
    NSGAN,
    WGAN,
    WGANGP,
    Hinge,
    InfoGAN,
    Minimax,
    Unrolled,
)
from benchmarks.loops.base import Deal, Draws, Loop, Player, TorchDraws
from benchmarks.loops.encoders import ALI, MDGAN, VAEGAN, RegularizedGAN

LOOPS: dict[str, type[Loop]] = {
    "nsgan": NSGAN,
    "wgan_gp": WGANGP,
    "began": BEGAN,
    "minimax": Minimax,
    "lsgan": LSGAN,
    "wgan": WGAN,
    "dragan": DRAGAN,
    "hinge_gan": Hinge,
    "sngan": NSGAN,
    "ebgan": EBGAN,
    "infogan": InfoGAN,
    "regularized_gan": RegularizedGAN,
    "mdgan": MDGAN,
    "unrolled_gan": Unrolled,
    "ali": ALI,
    "vae_gan": VAEGAN,
}

__all__ = ["LOOPS", "Deal", "Draws", "Loop", "Player", "TorchDraws"]
