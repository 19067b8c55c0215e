"""The machine that a benchmark runs on: which it is, and how much arithmetic it can do."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).parent.parent


def pin(threads: int) -> None:
    """Use this many threads in every library, here and in child processes."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    torch.set_num_threads(threads)


def facts(device: torch.device) -> dict[str, Any]:
    """What to print above a table."""
    on_gpu = device.type == "cuda"
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "tf32": torch.backends.cuda.matmul.allow_tf32 if on_gpu else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
    }


def clock(device: torch.device) -> float:
    """Seconds, once the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peaks(batch: int, width: int, size: int, device: torch.device, seconds: float = 0.5) -> dict[str, float]:
    """FLOP/s of a matrix product and of convolutions of the sizes in a DCGAN; the best of many calls of each.

    Of each convolution the forward pass and both gradients are tried, in both layouts.

    Args:
        batch: images at once.
        width: of the DCGAN.
        size: pixels a side.
        device: where.
        seconds: to try each for.
    """
    found = {}
    for name, flops, call in _kernels(batch, width, size, device):
        found[name] = flops / _least(call, device, seconds)
    return found


def _kernels(batch: int, width: int, size: int, device: torch.device) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    n = 1024 if device.type == "cpu" else 8192
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    yield f"matmul {n}", 2 * n**3, lambda: a @ b
    side = size // 2
    shapes = [(f"conv 3x3 {width}-{width} at {side}", width, width, 3, 1, side)]
    while side > 4:
        last = 2 * width * size // (2 * side) // 2
        shapes.append((f"conv 4x4 stride 2 {last}-{2 * last} at {side}", last, 2 * last, 4, 2, side))
        side //= 2
    for label, c_in, c_out, kernel, stride, pixels in shapes:
        for layout, form in (("contiguous", torch.contiguous_format), ("channels-last", torch.channels_last)):
            x = torch.randn(batch, c_in, pixels, pixels, device=device).to(memory_format=form)
            w = torch.randn(c_out, c_in, kernel, kernel, device=device).to(memory_format=form)
            yield from _passes(f"{label}, {layout}", x, w, stride)


def _passes(label: str, x: Tensor, w: Tensor, stride: int) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    y = F.conv2d(x, w, stride=stride, padding=1)
    flops = 2 * y.numel() * w[0].numel()
    yield f"{label}, forward", flops, lambda: F.conv2d(x, w, stride=stride, padding=1)
    sizes = [stride, stride], [1, 1], [1, 1], False, [0, 0], 1
    for name, mask in (("input gradient", [True, False, False]), ("weight gradient", [False, True, False])):
        gradient = partial(torch.ops.aten.convolution_backward, y, x, w, None, *sizes, mask)
        yield f"{label}, {name}", flops, gradient


def _least(call: Callable[[], Any], device: torch.device, seconds: float) -> float:
    call()
    least, until = float("inf"), clock(device) + seconds
    while (began := clock(device)) < until:
        call()
        least = min(least, clock(device) - began)
    return least


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    name = fields.get("model name", platform.processor())
    return f"{name} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"


def _commit() -> str:
    try:
        command = ["git", "describe", "--always", "--dirty"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
