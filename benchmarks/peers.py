"""Other libraries' training steps, on the zoo's networks, in a process and an environment of their own.

`python -m benchmarks.peers LIBRARY VARIANT ...` is the worker that `benchmarks.step --peer-python` starts. It writes a
line of JSON when it is ready, and then, for every number of steps that it reads, the seconds that they took. Only the
library's step is timed, with data from the same memory: no printing, no pickling, no pictures. Where a library reads
losses in its step, it does so here. Its optimisers are torch's Adam and RMSprop, made as its documentation makes them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.flops import Cost
from benchmarks.loops import Deal
from benchmarks.loops.base import first_of, rectify_natively
from benchmarks.machine import ROOT, pin
from benchmarks.setting import Setting, Spec
from zoo.backbones.maps import Doubling, Flatten, Halving, Unflatten

KNOWN = {
    "torchgan": ("minimax", "nsgan", "lsgan", "wgan", "wgan_gp", "dragan", "began", "ebgan"),
    "mimicry": ("nsgan", "hinge_gan", "sngan", "wgan_gp"),
}
Step = Callable[[Tensor], None]


class Peer:
    """A worker and the pipe to it.

    Args:
        python: an interpreter that has the library, torch and the zoo's backbones.
        library: a name in `KNOWN`.
        setting: what it trains.
        plain: with torch's own layers and layout instead of the zoo's.
        threads: it may use.

    Raises:
        RuntimeError: where the library cannot do it, with the end of its error.
    """

    def __init__(self, python: str, library: str, setting: Setting, *, plain: bool, threads: int) -> None:
        command = [python, "-m", "benchmarks.peers", library, setting.variant, "--backbone", setting.backbone]
        command += ["--size", str(setting.size), "--batch", str(setting.batch), "--threads", str(threads)]
        command += ["--width", str(setting.width)] if setting.width else []
        command += ["--plain"] if plain else []
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the worker
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        self.cost: dict[str, float] = json.loads(self._read())

    def play(self, steps: int) -> float:
        """Seconds of this many steps."""
        assert self.process.stdin is not None
        print(steps, file=self.process.stdin, flush=True)
        return float(self._read())

    def close(self) -> None:
        """End it."""
        self.process.communicate()
        self.errors.close()

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError((self.errors.read().strip().splitlines() or ["no word"])[-1])
        return line


def torchgan(setting: Setting, networks: dict[str, nn.Module], folder: Path) -> Step:
    """`Trainer.train_iter`, counted as `Trainer.train` does; its order is the generator first."""
    losses, models = import_module("torchgan.losses"), import_module("torchgan.models")
    trainers = import_module("torchgan.trainer")

    class Maker(models.Generator):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__(networks["generator"].latent_dim)
            self.net = networks["generator"]

        def forward(self, z: Tensor) -> Tensor:
            return self.net(z)

    class Judge(models.Discriminator):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__(3)
            self.net = networks["discriminator"]

        def forward(self, x: Tensor) -> Tensor:
            return first_of(self.net(x))

    log = [losses.MinimaxGeneratorLoss(), losses.MinimaxDiscriminatorLoss()]
    critic = [losses.WassersteinGeneratorLoss(), losses.WassersteinDiscriminatorLoss()]
    table = {
        "minimax": [losses.MinimaxGeneratorLoss(nonsaturating=False), log[1]],
        "nsgan": log,
        "lsgan": [losses.LeastSquaresGeneratorLoss(), losses.LeastSquaresDiscriminatorLoss()],
        "wgan": [critic[0], losses.WassersteinDiscriminatorLoss(clip=(-0.01, 0.01))],
        "wgan_gp": [*critic, losses.WassersteinGradientPenalty()],
        "dragan": [*log, losses.DraganGradientPenalty()],
        "began": [losses.BoundaryEquilibriumGeneratorLoss(), losses.BoundaryEquilibriumDiscriminatorLoss()],
        "ebgan": [losses.EnergyBasedGeneratorLoss(), losses.EnergyBasedDiscriminatorLoss(margin=0.5)],
    }
    made = {"generator": Maker, "discriminator": Judge}
    trainer = trainers.Trainer(
        {
            name: {"name": cls, "optimizer": _described(setting.spec[f"{name[0]}_optimizer"])}
            for name, cls in made.items()
        },
        table[setting.variant],
        device=torch.device("cpu"),
        ncritic=setting.d_steps,
        checkpoints=f"{folder}/model/gan",
        recon=f"{folder}/images",
    )
    trainer.batch_size = setting.batch

    def step(real: Tensor) -> None:
        trainer.real_inputs = real
        told = trainer.train_iter()
        for key, value in zip(
            ("generator_losses", "discriminator_losses", "generator_iters", "discriminator_iters"), told, strict=True
        ):
            trainer.loss_information[key] += value

    return step


def mimicry(setting: Setting, networks: dict[str, nn.Module], folder: Path) -> Step:
    """`train_step` of both networks, as `Trainer.train` calls them."""
    for package in ("torch_mimicry", "torch_mimicry.training"):
        _without_init(package)
    gan = import_module("torch_mimicry.nets.gan.gan")
    wgan_gp = import_module("torch_mimicry.nets.wgan_gp.wgan_gp_base")
    metric_log = import_module("torch_mimicry.training.metric_log")

    penalised = setting.variant == "wgan_gp"
    kind = {"hinge_gan": "hinge", "wgan_gp": "wasserstein"}.get(setting.variant, "ns")
    maker: Any = wgan_gp.WGANGPBaseGenerator if penalised else gan.BaseGenerator
    judge: Any = wgan_gp.WGANGPBaseDiscriminator if penalised else gan.BaseDiscriminator

    class Maker(maker):
        def __init__(self) -> None:
            super().__init__(nz=networks["generator"].latent_dim, ngf=0, bottom_width=4, loss_type=kind)
            self.net = networks["generator"]

        def forward(self, z: Tensor) -> Tensor:
            return self.net(z)

    class Judge(judge):
        def __init__(self) -> None:
            super().__init__(ndf=0, loss_type=kind)
            self.net = networks["discriminator"]

        def forward(self, x: Tensor) -> Tensor:
            return first_of(self.net(x)).unsqueeze(1)

    generator, discriminator = Maker(), Judge()
    optimizers = {}
    for side, net in (("g", generator), ("d", discriminator)):
        described = _described(setting.spec[f"{side}_optimizer"])
        optimizers[side] = described["name"](net.parameters(), **described["args"])
    labels, done = torch.zeros(setting.batch), 0

    def step(real: Tensor) -> None:
        nonlocal done
        done += 1
        log, batch = metric_log.MetricLog(), (real, labels)
        discriminator.train_step(batch, netG=generator, optD=optimizers["d"], log_data=log, device=real.device)
        if done % setting.d_steps == 0:
            generator.train_step(batch, netD=discriminator, optG=optimizers["g"], log_data=log, device=real.device)

    return step


def _described(spec: Spec) -> dict[str, Any]:
    arguments = dict(spec.get("init_args", {}))
    if spec["class_path"] == "torch.optim.RMSprop":
        return {"name": torch.optim.RMSprop, "args": arguments}
    return {
        "name": torch.optim.Adam,
        "args": {"lr": arguments["lr"], "betas": (arguments["beta1"], arguments["beta2"])},
    }


def _without_init(name: str) -> None:
    """Import a package without its `__init__`, which wants TensorFlow or TensorBoard."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {name!r}")
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package


def write_plainly(net: nn.Module, *, inplace: bool) -> None:
    """Put torch's own layers, in its own layout, where the zoo has subclasses of them; `inplace` is the rectifiers'."""
    rectify_natively(net)
    net.to(memory_format=torch.contiguous_format)
    for module in net.modules():
        if isinstance(module, nn.ReLU | nn.LeakyReLU):
            module.inplace = inplace
        for kind, plain in ((Halving, nn.Conv2d), (Doubling, nn.ConvTranspose2d)):
            if isinstance(module, kind):
                module.forward = partial(plain.forward, module)
        if isinstance(module, Flatten):
            module.forward = nn.Flatten().forward
        if isinstance(module, Unflatten):
            module.forward = nn.Unflatten(1, (module.channels, module.size, module.size)).forward


def main() -> None:
    """Be a worker."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("library", choices=sorted(KNOWN))
    parser.add_argument("variant")
    parser.add_argument("--backbone", default="dcgan")
    parser.add_argument("--width", type=int)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain", action="store_true")
    told = parser.parse_args()
    pipe, sys.stdout = sys.stdout, sys.stderr
    pin(told.threads)
    setting = Setting(told.variant, told.backbone, told.width, told.size, told.batch)
    networks = setting.bare_networks()
    if told.plain:
        for net in networks.values():
            write_plainly(net, inplace=told.library == "mimicry")  # as each library's own DCGAN has it
    with tempfile.TemporaryDirectory() as folder:
        step = {"torchgan": torchgan, "mimicry": mimicry}[told.library](setting, networks, Path(folder))
        batches = iter(Deal(setting.data(), setting.batch))
        for _ in range(setting.d_steps):
            step(next(batches))
        with Cost() as cost:
            for _ in range(setting.d_steps):
                step(next(batches))
        spent = {"flops": cost.total / setting.d_steps, "launches": cost.launches.total() / setting.d_steps}
        print(json.dumps(spent), file=pipe, flush=True)
        for line in sys.stdin:
            began = time.perf_counter()
            for _ in range(int(line)):
                step(next(batches))
            print(time.perf_counter() - began, file=pipe, flush=True)


if __name__ == "__main__":
    main()
