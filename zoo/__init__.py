"""A zoo of generative adversarial networks on PyTorch Lightning.

    from zoo import backbones, variants
    gan = variants.WGANGP(backbones.DCGANGenerator((1, 32, 32)), backbones.DCGANDiscriminator((1, 32, 32), norm="none"))

`zoo.GAN` is the game that every variant plays, `zoo.fit` trains one, `zoo.load` reads a checkpoint of a run,
`zoo.from_pretrained` a published one, by name or from a folder, and `zoo.show` draws samples.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"
__all__ = ["GAN", "__version__", "fit", "from_pretrained", "load", "show"]

if not Path(__file__).with_name("datamodules").is_dir():  # in a checkout zoo.datamodules lies beside zoo/
    __path__.append(str(Path(__file__).parents[1]))


_ROOMS = {
    "GAN": "zoo.gan", "fit": "zoo.cli.fitting", "from_pretrained": "zoo.hub.pretrained", "load": "zoo.hub.load",
    "show": "zoo.run.pictures",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)
