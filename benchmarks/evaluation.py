"""Where the time of an evaluation goes: inside the generator, inside the extractor, and in everything else.

python -m benchmarks.evaluation [--n 10000] [--width 64] [--scores fd,kd,is,prdc] [--threads 1] [--json FILE]

A fresh generator of the DCGAN on 32x32 grey images is measured as at the end of a run, in the features of fashion-cnn;
images of noise stand for the real ones, since their features are remembered and cost a second run nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from pathlib import Path

import torch
from torch import nn

from benchmarks.machine import clock, facts, pin
from zoo.backbones import DCGANDiscriminator, DCGANGenerator
from zoo.callbacks.evaluation import Evaluation
from zoo.metrics.features import Classifier
from zoo.metrics.features.memory import VARIABLE
from zoo.variants.nsgan import NSGAN


class Stopwatch:
    """Seconds inside the forward passes of modules, by name."""

    def __init__(self, device: torch.device, **modules: nn.Module) -> None:
        self.seconds: Counter[str] = Counter()
        for name, module in modules.items():
            began: list[float] = []
            module.register_forward_pre_hook(lambda *_, began=began: began.append(clock(device)))
            module.register_forward_hook(
                lambda *_, began=began, name=name: self.seconds.update({name: clock(device) - began.pop()})
            )


def profile(n: int, width: int, scores: list[str], device: torch.device) -> dict[str, float]:
    """Seconds of one evaluation of `n` samples: "generator", "extractor", and "all" of it."""
    shape = (1, 32, 32)
    gan = NSGAN(DCGANGenerator(shape, width=width), DCGANDiscriminator(shape, width=8), ema_decay=0.999).to(device)
    extractor = Classifier("fashion-cnn")
    images = torch.randint(256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    evaluation = Evaluation(extractor, images, "val", n=n, scores=scores, device=device)
    watch = Stopwatch(device, generator=gan.generator_ema, extractor=extractor)
    began = clock(device)
    evaluation(gan)
    return {**watch.seconds, "all": clock(device) - began}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation")
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--scores", default="fd,kd,is,prdc")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json")
    told = parser.parse_args()
    pin(told.threads)
    device = torch.device(told.device)
    machine = facts(device)
    print(", ".join(f"{k} {v}" for k, v in machine.items() if v is not None))
    with tempfile.TemporaryDirectory() as cache:
        os.environ[VARIABLE] = cache
        cases = {what: profile(told.n, told.width, what.split(","), device) for what in ("fd", told.scores)}
    for what, seconds in cases.items():
        inside = seconds["generator"] + seconds["extractor"]
        print(
            f"{what}, {told.n} samples: {seconds['all']:.2f} s, generator {seconds['generator']:.2f}, extractor "
            f"{seconds['extractor']:.2f}, all else {seconds['all'] - inside:.2f}; {inside / seconds['all']:.1%} inside "
            "the two networks"
        )
    if told.json:
        Path(told.json).write_text(json.dumps({"machine": machine, "told": vars(told), "seconds": cases}, indent=1))


if __name__ == "__main__":
    main()
