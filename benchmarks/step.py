"""The cost of a training step: every configuration in `Trainer.fit`, and a plain loop of the same networks for three.

    python -m benchmarks.step                  # nsgan, wgan_gp and mdgan: DCGAN of width 64, 32 px, batch 64
    python -m benchmarks.step nsgan began --device cuda
    python -m benchmarks.step nsgan wgan_gp mdgan --threads 2 --pairs 40

Both sides of a pair are a round of `d_steps` batches, one after the other in one process; a ratio is the median over
the pairs. The times are printed by `torch.utils.benchmark.Compare`, per batch.
"""

from __future__ import annotations

import argparse
import inspect
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.benchmark import Compare, Measurement, TaskSpec

from zoo.gan import GAN

CONFIGS = Path(__file__).parents[1] / "configs"
Step = Callable[[Tensor], None]


def build(spec: Any, **known: Any) -> Any:
    """The objects of a configuration; `known` arguments, as image_shape, are given to the classes that take them."""
    if isinstance(spec, list):
        return [build(part, **known) for part in spec]
    if not isinstance(spec, dict) or "class_path" not in spec:
        return spec
    module, _, name = spec["class_path"].rpartition(".")
    cls = getattr(import_module(module), name)
    given = {key: build(value, **known) for key, value in spec.get("init_args", {}).items()}
    if issubclass(cls, torch.optim.Optimizer):
        return partial(cls, **given)
    taken = inspect.signature(cls).parameters
    return cls(**{**{key: value for key, value in known.items() if key in taken}, **given})


def game(config: str, shape: tuple[int, ...]) -> GAN:
    """The game of a configuration of `configs/`."""
    spec = yaml.safe_load((CONFIGS / f"{config}.yaml").read_text())["model"]
    latent_dim = spec["init_args"]["generator"]["init_args"]["latent_dim"]
    made: GAN = build(spec, image_shape=shape, latent_dim=latent_dim)
    return made


class Plain:
    """A plain loop over copies of a game's networks, with its optimisers and its average of the generator."""

    def __init__(self, gan: GAN) -> None:
        nets = {name: deepcopy(net).train() for name, net in gan.named_children() if name != "generator_ema"}
        self.nets = {name: net for name, net in nets.items() if any(True for _ in net.parameters())}
        sides = {name: "d" if "discriminator" in name else "g" for name in self.nets}
        self.optimizers = {name: gan.make_optimizer[sides[name]](net.parameters()) for name, net in self.nets.items()}
        self.g, self.d = self.nets["generator"], self.nets["discriminator"]
        self.average, self.latent_dim, self.steps = deepcopy(self.g), gan.latent_dim, 0
        self.d_steps, self.gp_weight = getattr(gan.dynamics, "d_steps", 1), getattr(gan, "gp_weight", 0.0)

    def move(self, loss: Tensor, *names: str) -> None:
        """One step of these networks; no other network's gradients are computed."""
        parameters = [p for name in names for p in self.nets[name].parameters()]
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        for name in names:
            self.optimizers[name].step()
        if "generator" in names:
            with torch.no_grad():
                torch._foreach_lerp_([*self.average.parameters()], [*self.g.parameters()], 0.001)

    def fake(self, real: Tensor) -> Tensor:
        """G of new latents."""
        made: Tensor = self.g(torch.randn(len(real), self.latent_dim, device=real.device))
        return made

    def nsgan(self, real: Tensor) -> None:
        """Both sides once."""
        with torch.no_grad():
            fake = self.fake(real)
        self.move(F.softplus(-self.d(real)[0]).mean() + F.softplus(self.d(fake)[0]).mean(), "discriminator")
        self.move(F.softplus(-self.d(self.fake(real))[0]).mean(), "generator")

    def wgan_gp(self, real: Tensor) -> None:
        """The critic once, and the generator on every `d_steps`-th batch."""
        with torch.no_grad():
            fake = self.fake(real)
        alpha = torch.rand(len(real), 1, 1, 1, device=real.device)
        x = (alpha * real + (1 - alpha) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.d(x)[0].sum(), x, create_graph=True)
        penalty = self.gp_weight * (slope.flatten(1).norm(dim=1) - 1).square().mean()
        self.move(self.d(fake)[0].mean() - self.d(real)[0].mean() + penalty, "discriminator")
        self.steps += 1
        if self.steps % self.d_steps == 0:
            self.move(-self.d(self.fake(real))[0].mean(), "generator")

    def mdgan(self, real: Tensor) -> None:
        """D1; G and E; D2; G."""
        d2, e = self.nets["diffusion_discriminator"], self.nets["encoder"]
        with torch.no_grad():
            rebuilt = self.g(e(real))
        self.move(F.softplus(-self.d(real)[0]).mean() + F.softplus(self.d(rebuilt)[0]).mean(), "discriminator")
        rebuilt = self.g(e(real))
        adversarial = F.softplus(-self.d(rebuilt)[0]).mean()
        self.move((rebuilt - real).square().flatten(1).sum(1).mean() + 0.01 * adversarial, "generator", "encoder")
        with torch.no_grad():
            rebuilt, fake = self.g(e(real)), self.fake(real)
        self.move(F.softplus(-d2(rebuilt)[0]).mean() + F.softplus(d2(fake)[0]).mean(), "diffusion_discriminator")
        self.move(F.softplus(-d2(self.fake(real))[0]).mean(), "generator")


class Pairs:
    """Batches for `Trainer.fit`: rounds of the game and of the plain step take turns, and their times are kept."""

    def __init__(self, real: Tensor, plain: Step | None, per_round: int, pairs: int) -> None:
        self.real, self.plain, self.per_round, self.pairs = real, plain, per_round, pairs
        self.zoo: list[float] = []
        self.bare: list[float] = []

    def __len__(self) -> int:
        return (self.pairs + 2) * self.per_round  # two rounds to warm up

    def clock(self) -> float:
        """Seconds, once the device is done."""
        if self.real.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def __iter__(self) -> Iterator[tuple[Tensor]]:
        for _ in range(self.pairs + 2):
            began = self.clock()
            for _ in range(self.per_round):
                yield (self.real,)
            self.zoo.append((self.clock() - began) / self.per_round)
            began = self.clock()
            for _ in range(self.per_round if self.plain else 0):
                self.plain(self.real)  # type: ignore[misc]
            self.bare.append((self.clock() - began) / self.per_round)


def measure(config: str, device: str, batch: int, size: int, pairs: int) -> list[Measurement]:
    """Times of a step in `Trainer.fit` and, where there is one, of the plain loop."""
    gan = game(config, (3, size, size)).to(device)
    plain = getattr(Plain(gan), config, None)
    real = torch.rand(batch, 3, size, size, device=device) * 2 - 1
    data = Pairs(real, plain, getattr(gan.dynamics, "d_steps", 1), pairs)
    kind = "cpu" if device == "cpu" else "gpu"
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    Trainer(accelerator=kind, devices=1, max_epochs=1, **quiet).fit(gan, data)
    found = {"zoo fit": data.zoo[2:], **({"plain loop": data.bare[2:]} if plain else {})}
    about = {"label": f"a batch of {batch}, {device}", "sub_label": config, "num_threads": torch.get_num_threads()}
    made = [Measurement(1, times, TaskSpec("", "", description=side, **about)) for side, times in found.items()]
    line = f"{config}: {1000 * made[0].median:.1f} ms, {batch / made[0].median:.0f} images/s"
    if plain:
        ratio = median(a / b for a, b in zip(data.zoo[2:], data.bare[2:], strict=True))
        line += f", {ratio:.3f} of the plain loop"
    print(line, flush=True)
    return made


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", default=["nsgan", "wgan_gp", "mdgan"], help="names in configs/")
    parser.add_argument("--device", nargs="*", default=["cpu"], help="cpu, cuda")
    for name, default in (("threads", 1), ("batch", 64), ("size", 32), ("pairs", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    sizes = (asked.batch, asked.size, asked.pairs)
    Compare([made for d in asked.device for config in asked.configs for made in measure(config, d, *sizes)]).print()


if __name__ == "__main__":
    main()
