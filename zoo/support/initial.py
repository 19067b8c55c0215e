"""Where networks come from, if not from noise."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class InitFrom:
    """A trained GAN to start from; `zoo.hub.finetune.begin` loads it.

    Args:
        ref: a published GAN, as for `zoo.from_pretrained`, or the path of a run's .ckpt; it must be given.
        parts: the networks to load, as "generator"; None is all that both games have.
        freeze: modules or parameters that stay as they are, as "discriminator.trunk.0"; a module with all below it.

    Raises:
        ValueError: without a ref, for no parts, and for one name where a list belongs.
    """

    ref: str = ""
    parts: Sequence[str] | None = None
    freeze: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.ref:
            raise ValueError("init_from: no ref is given; beside parts or freeze it is --model.init_from.ref NAME")
        for name in ("parts", "freeze"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ValueError(f"init_from: {name} is a list of names, got {value!r}; write [{value}]")
        if self.parts is not None and not self.parts:
            raise ValueError("init_from: parts names no network; leave it out to load all that fit")
