"""A zoo of generative adversarial networks on PyTorch Lightning.

    from zoo import backbones, variants
    gan = variants.WGANGP(backbones.DCGANGenerator((1, 32, 32)), backbones.DCGANDiscriminator((1, 32, 32), norm="none"))

`zoo.GAN` is the game that every variant plays, `zoo.load` reads a checkpoint of a run, and `zoo.from_pretrained` a
published one, by name or from a folder.
"""

from pathlib import Path
from typing import Any

from zoo import lean

__version__ = "0.1.0"
__all__ = ["GAN", "__version__", "from_pretrained", "load"]

lean.spare()  # before anything here imports Lightning

if not Path(__file__).with_name("datamodules").is_dir():  # in a checkout zoo.datamodules lies beside zoo/
    __path__.append(str(Path(__file__).parents[1]))


def __getattr__(name: str) -> Any:
    if name == "GAN":
        from zoo.gan import GAN

        return GAN
    if name == "load":
        from zoo.hub.load import load

        return load
    if name == "from_pretrained":
        from zoo.hub.pretrained import from_pretrained

        return from_pretrained
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")
