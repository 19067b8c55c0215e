"""A trained generator as a graph without this package: ONNX, or PyTorch's own exported program."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.gan import GAN
from zoo.noise import Noise
from zoo.support.freezing import evaluating

OPSET = 20
FORMATS = (".onnx", ".pt2")
_TOLERANCE = {False: 1e-5, True: 1.0}  # of pixels in [0, 1], and of levels, which rounding may move by one


class Pixels(nn.Module):
    """The averaged generator where there is one, from z to pixels as other programs take them.

    z (N, latent_dim), and labels (N,), int64, of a conditional generator, to images (N, C, H, W), in [0, 1] or uint8 in
    0..255; points (N, 2) stay as they are.
    """

    def __init__(self, gan: GAN, *, uint8: bool = False) -> None:
        super().__init__()
        self.net: nn.Module = gan.generator if gan.generator_ema is None else gan.generator_ema
        self.uint8 = uint8

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The pixels; see the class."""
        x: Tensor = self.net(z) if labels is None else self.net(z, labels)
        if x.ndim == 2:
            return x
        x = (x.clamp(-1, 1) + 1) / 2
        return (x * 255).round().to(torch.uint8) if self.uint8 else x


def export_graph(gan: GAN, path: str | Path, *, uint8: bool = False) -> Path:
    """Write the generator as `.onnx` (opset 20) or `.pt2` (torch.export), and compare the file's output with torch's.

    Inputs are named z and, of a conditional generator, labels; the output is `image`, see :class:`Pixels`. The batch
    size is free.

    Args:
        gan: the trained game, on the CPU.
        path: the file to write.
        uint8: images are uint8, not float32 in [0, 1].

    Raises:
        ValueError: for another suffix; for `.onnx` without the extra `onnx`; for a file whose output differs from
            torch's by more than 1e-5, or a level of uint8, on five latents.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"{path}: a graph ends in {' or '.join(FORMATS)}")
    if path.suffix == ".onnx":
        for name in ("onnx", "onnxscript", "onnxruntime"):
            try:
                import_module(name)
            except ImportError:
                raise ValueError(f"{path}: ONNX needs {name}: pip install 'gan-zoo[onnx]'") from None
    net = Pixels(gan, uint8=uint8)
    inputs = _inputs(gan, 3)
    free = torch.export.Dim("batch")
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), evaluating(net), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(net, tuple(inputs.values()), dynamic_shapes=tuple({0: free} for _ in inputs))
        if path.suffix == ".pt2":
            torch.export.save(program, path)
        else:
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            made = torch.onnx.export(
                program, input_names=list(inputs), output_names=["image"], opset_version=OPSET, verbose=False
            )
            assert made is not None
            made.save(path)
        fresh = _inputs(gan, 5)
        expected = net(*fresh.values())
    worst = float((_output(path, fresh).double() - expected.double()).abs().max())
    if not worst <= _TOLERANCE[uint8]:
        path.unlink()
        raise ValueError(f"{path}: its output differs from torch's by {worst:.2g}")
    return path


def _inputs(gan: GAN, n: int) -> dict[str, Tensor]:
    z = gan.sample_latent(n, Noise(n)).to(gan.device, gan.latent_dtype)
    return {"z": z} if gan.num_classes is None else {"z": z, "labels": torch.arange(n) % gan.num_classes}


@torch.no_grad()
def _output(path: Path, inputs: dict[str, Tensor]) -> Tensor:
    if path.suffix == ".pt2":
        result: Tensor = torch.export.load(path).module()(*inputs.values())
        return result
    session = import_module("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {name: x.numpy() for name, x in inputs.items()})[0])
