"""Where the time of an evaluation goes: inside the generator, inside the extractor, and in everything else.

python -m benchmarks.evaluation [--n 10000] [--width 64] [--scores fd,kd,is,prdc] [--features fashion-cnn|inception]
                                [--threads 1] [--json FILE]

A fresh generator of the DCGAN on 32x32 grey images is measured as at the end of a run, in the features of fashion-cnn,
or in the 2,048 of Inception v3 with weights drawn at random, which cost as much as the published ones. Images of noise
stand for the real ones, since their features are remembered and cost a second run nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.backbones import DCGANDiscriminator, DCGANGenerator
from zoo.callbacks.evaluation import Evaluation
from zoo.metrics.features import Classifier, Extractor, InceptionV3
from zoo.metrics.features.memory import VARIABLE
from zoo.variants.nsgan import NSGAN


def clock(device: torch.device) -> float:
    """Seconds, once the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


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


def untrained_inception(folder: Path, layer: str = "2048") -> Path:
    """A file with weights of Inception v3 drawn at random, as far as `layer`."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict: Mapping[str, Any], **kwargs: Any) -> Any:  # type: ignore[override]
            """Nothing."""

    empty, file = folder / "none.pth", folder / "random.pth"
    torch.save({}, empty)
    torch.save(Untrained("random", [layer], feature_extractor_weights_path=str(empty)).state_dict(), file)
    return file


def profile(n: int, width: int, scores: list[str], extractor: Extractor, device: torch.device) -> dict[str, float]:
    """Seconds of one evaluation of `n` samples: "generator", "extractor", and "all" of it."""
    shape = (1, 32, 32)
    gan = NSGAN(DCGANGenerator(shape, width=width), DCGANDiscriminator(shape, width=8), ema_decay=0.999).to(device)
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
    parser.add_argument("--features", choices=("fashion-cnn", "inception"), default="fashion-cnn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json")
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    device = torch.device(told.device)
    print(f"{told.threads} threads, {device}, torch {torch.__version__}, {platform.processor() or platform.machine()}")
    with tempfile.TemporaryDirectory() as cache:
        os.environ[VARIABLE] = cache
        own = told.features == "fashion-cnn"
        extractor = Classifier("fashion-cnn") if own else InceptionV3(untrained_inception(Path(cache)))
        cases = {what: profile(told.n, told.width, what.split(","), extractor, device) for what in ("fd", told.scores)}
    for what, seconds in cases.items():
        inside = seconds["generator"] + seconds["extractor"]
        print(
            f"{what}, {told.n} samples: {seconds['all']:.2f} s, generator {seconds['generator']:.2f}, extractor "
            f"{seconds['extractor']:.2f}, all else {seconds['all'] - inside:.2f}; {inside / seconds['all']:.1%} inside "
            "the two networks"
        )
    if told.json:
        Path(told.json).write_text(json.dumps({"told": vars(told), "seconds": cases}, indent=1))


if __name__ == "__main__":
    main()
