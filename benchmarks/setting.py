"""One setting: a configuration of `configs/`, on the backbone, width and size that are asked for.

The zoo's game and the bare loop are both made from it, with the same networks, optimisers and constants.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import yaml
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from benchmarks.loops import LOOPS, Draws, Loop
from benchmarks.loops.adversarial import information_head

if TYPE_CHECKING:
    from zoo.gan import GAN

ROOT = Path(__file__).parent.parent
Backbone = Literal["dcgan", "resnet", "mlp"]
Precision = Literal["32-true", "bf16-mixed"]
ROLES = ("generator", "discriminator", "diffusion_discriminator", "encoder")
ENERGIES = ("began", "ebgan")  # which need an autoencoder, of images
EVERYBODY_MOVES = {"vae_gan": {"margin": 1e9}}  # on every batch, or the two sides would differ in who waits
LEFT_OUT = {"pt_weight": 0.0, "reconstructions": False, "objective": "minimax"}  # what no bare loop has
Spec = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Args:
        variant: a name in `configs/` that has a bare loop.
        backbone: of generator and discriminator; encoders, autoencoders and discriminators of pairs keep their own
            convolutions beside a `resnet`. `mlp` is the toy ring's.
        width: of every network; None is 64, for the ring its configuration's.
        size: pixels a side; colour images.
        batch: real images a step.
        precision: the trainer's; the bare loop's step runs under autocast where that is not float32.
        compile: pass both sides' networks through `torch.compile`.

    Raises:
        ValueError: for a variant without a loop, or an energy on the ring.
    """

    variant: str
    backbone: Backbone = "dcgan"
    width: int | None = None
    size: int = 32
    batch: int = 64
    precision: Precision = "32-true"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.variant not in LOOPS:
            raise ValueError(f"variant {self.variant!r} has no bare loop; choose from {', '.join(LOOPS)}")
        if self.backbone == "mlp" and self.variant in ENERGIES:
            raise ValueError(f"{self.variant} needs an autoencoder of images; choose the backbone dcgan or resnet")

    @property
    def spec(self) -> Spec:
        """The configuration's `init_args`, with the same moves in every round."""
        spec: Spec = read(ROOT / f"configs/{self.variant}.yaml")["model"]["init_args"]
        return spec | EVERYBODY_MOVES.get(self.variant, {})

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of one image or point."""
        return (2,) if self.backbone == "mlp" else (3, self.size, self.size)

    @property
    def d_steps(self) -> int:
        """Batches a round."""
        return self.spec["dynamics"]["init_args"].get("d_steps", 1)

    def data(self, n: int = 4096) -> Tensor:
        """Images (n, 3, S, S), uint8, or points (n, 2): noise, since no step looks at what is in them."""
        generator = torch.Generator().manual_seed(0)
        if self.backbone == "mlp":
            return torch.randn(n, 2, generator=generator)
        return torch.randint(256, (n, *self.image_shape), dtype=torch.uint8, generator=generator)

    def networks(self) -> dict[str, nn.Module]:
        """Generator, discriminator and whatever else the paper has, without the zoo's game."""
        torch.manual_seed(0)
        latent_dim = self._network("generator")["init_args"]["latent_dim"]
        made: dict[str, nn.Module] = {}
        for role in ROLES:
            if role in self.spec:
                spec = self._network(role)
                linked = "Encoder" in spec["class_path"] or "Pair" in spec["class_path"]
                more = {"latent_dim": latent_dim} if linked else {}
                made[role] = build(spec, image_shape=self.image_shape, **more)
        return made

    def bare_networks(self) -> dict[str, nn.Module]:
        """`networks`, with what the zoo's game adds to them: spectral norms, InfoGAN's Q."""
        networks = self.networks()
        critic = networks["discriminator"]
        if self.variant == "sngan":
            for module in critic.modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    spectral_norm(module)
        if self.variant == "infogan":
            codes = self.spec["categorical"] + self.spec["continuous"]
            networks["q"] = information_head(critic.head.in_features, codes)  # type: ignore[union-attr,arg-type]
        return networks

    def gan(self) -> GAN:
        """The zoo's game."""
        kind = read(ROOT / f"configs/{self.variant}.yaml")["model"]["class_path"]
        others = {name: self._argument(name, value) for name, value in self.spec.items() if name not in ROLES}
        return build({"class_path": kind}, **self.networks(), **others, compile=self.compile)

    def loop(
        self, gan: GAN | None = None, draws: Draws | None = None, device: torch.device | str | None = None
    ) -> Loop:
        """The bare loop, on copies of the game's networks or on its own."""
        networks = self.bare_networks() if gan is None else networks_of(gan)
        if device is not None:
            networks = {role: net.to(device) for role, net in networks.items()}
        numbers = {k: v for k, v in self.spec.items() if not isinstance(v, dict | list)}
        for name, value in LEFT_OUT.items():
            if numbers.pop(name, value) != value:
                raise ValueError(f"{self.variant}: the bare loop has no {name} but {value!r}")
        rounds = {k: v for k, v in self.spec["dynamics"]["init_args"].items() if k != "g_steps"}
        makers = {side: plain_optimizer(self.spec[side]) for side in ("g_optimizer", "d_optimizer")}
        loop = LOOPS[self.variant](networks, draws=draws, **makers, **rounds, **numbers)  # type: ignore[arg-type]
        for net in networks.values() if self.compile else ():
            net.compile()
        return loop

    def autocast(self, device: torch.device) -> torch.autocast:
        """What a step of the bare loop runs in, where the trainer has it for the zoo's."""
        return torch.autocast(device.type, torch.bfloat16, self.precision == "bf16-mixed", cache_enabled=False)

    def _network(self, role: str) -> Spec:
        spec: Spec = self.spec[role]
        arguments = dict(spec["init_args"])
        plain = spec["class_path"] in ("zoo.backbones.DCGANGenerator", "zoo.backbones.DCGANDiscriminator")
        if self.backbone == "mlp":
            if plain:
                side = "generator" if role == "generator" else "discriminator"
                spec = read(ROOT / "configs/data/ring.yaml")["model"]["init_args"][side]
                arguments = dict(spec["init_args"])
                if self.variant == "infogan" and role == "generator":
                    arguments["latent_dim"] = self.spec["generator"]["init_args"]["latent_dim"]
            width = self.width
        else:
            width = self.width or 64
            if plain and self.backbone == "resnet":
                spec = {"class_path": spec["class_path"].replace("DCGAN", "ResNet")}
        return {"class_path": spec["class_path"], "init_args": arguments | ({"width": width} if width else {})}

    def _argument(self, name: str, value: Any) -> Any:
        if name.endswith("_optimizer"):
            return partial(build, value)
        if isinstance(value, list):
            return [build(part) for part in value]
        return build(value) if isinstance(value, dict) else value


def read(path: Path) -> Spec:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def build(spec: Spec, *args: Any, **more: Any) -> Any:
    """What a `class_path` with `init_args` stands for."""
    module, _, name = spec["class_path"].rpartition(".")
    return getattr(import_module(module), name)(*args, **{**spec.get("init_args", {}), **more})


def networks_of(gan: GAN) -> dict[str, nn.Module]:
    """Copies of a game's networks."""
    return {name: deepcopy(getattr(gan, name)) for name in (*ROLES, "q") if hasattr(gan, name)}


def plain_optimizer(spec: Spec) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    """torch's own optimiser with its fastest kernel: Adam fused, RMSprop with one call for all parameters."""
    arguments = dict(spec.get("init_args", {}))
    if spec["class_path"] == "torch.optim.RMSprop":
        return partial(torch.optim.RMSprop, **arguments)
    betas = (arguments.pop("beta1", 0.5), arguments.pop("beta2", 0.999))
    return partial(torch.optim.Adam, betas=betas, fused=True, **arguments)
