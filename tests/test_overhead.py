"""What a fit is spared, and that nothing else is."""

import inspect
import os
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.profilers import SimpleProfiler
from torch import nn

from tests.games import fit, networks, points, same, snapshot, trainer
from zoo.overhead import skip_graph_capture_check
from zoo.variants.nsgan import NSGAN

FREED = """
import ctypes, resource, torch
from zoo.overhead import keep_memory
ctypes.CDLL(None).mallopt(-3, 2**17)  # M_MMAP_THRESHOLD: all that is larger is the kernel's again when it is freed
if {keeping}:
    keep_memory()
faults = []
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [torch.ones(2_000_000) for _ in range(20)]
    del parts
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults[1:]))
"""


def faults(keeping: bool, **environment: str) -> int:
    command = [sys.executable, "-c", FREED.format(keeping=keeping)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    return int(told.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_memory_that_was_freed_is_there_for_the_next_step() -> None:
    assert faults(keeping=False) > 1000
    assert faults(keeping=True) < 10
    assert faults(keeping=True, MALLOC_TRIM_THRESHOLD_="131072") > 1000


class Hooks(Callback):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_before_backward(self, trainer, pl_module, loss) -> None:
        self.seen.append("backward")

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        self.seen.append("step")


def test_callbacks_are_asked_as_ever() -> None:
    hooks = Hooks()
    fit(NSGAN(*networks()), points(2), callbacks=[hooks])
    assert hooks.seen == ["backward", "step"] * 4


def test_a_profiler_that_was_asked_for_stays() -> None:
    profiler = SimpleProfiler()
    fit(NSGAN(*networks()), points(2), profiler=profiler)
    assert len(profiler.recorded_durations["run_training_batch"]) == 2


def test_the_empty_profiler_makes_no_generators() -> None:
    made = fit(NSGAN(*networks()), points(1))
    assert made.profiler.profile("one") is made.profiler.profile("other")
    assert trainer().profiler.profile("one") is not trainer().profiler.profile("one")


def test_the_signature_of_a_step_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning asks at every step whether it takes batch_idx; here Python is kept from finding that out anew."""

    class Own(NSGAN):
        def training_step(self, batch, batch_idx: int = 0) -> None:
            super().training_step(batch, batch_idx)

    gan = Own(*networks())
    fit(gan, points(1))
    asked = []
    monkeypatch.setattr(inspect, "_signature_from_function", lambda *_, **__: asked.append(1))
    assert inspect.getfullargspec(gan.training_step).args == ["self", "batch", "batch_idx"]
    assert asked == []


def test_a_cpus_optimizer_does_not_look_for_a_gpu_that_records() -> None:
    looked = []

    class Watched(torch.optim.SGD):
        def _accelerator_graph_capture_health_check(self) -> None:
            looked.append(self.param_groups[0]["params"][0].device.type)

        def step(self, closure=None):
            self._accelerator_graph_capture_health_check()
            return super().step(closure)

    fit(NSGAN(*networks(), d_optimizer=lambda p: Watched(p, lr=0.1)), points(1))
    assert looked == []
    elsewhere = Watched([nn.Parameter(torch.zeros(1, device="meta"))], lr=0.1)
    skip_graph_capture_check([elsewhere])
    elsewhere._accelerator_graph_capture_health_check()
    assert looked == ["meta"]


@pytest.mark.parametrize("listener", ["callback", "instance", "module", "backward"])
def test_whoever_listens_is_told_and_nothing_else_changes(listener: str) -> None:
    """Backward passes and steps go straight to torch only where no hook is there, with the same bits."""
    told: list[str] = []
    quiet, heard, callback = NSGAN(*networks(), clip_norm=0.1), NSGAN(*networks(), clip_norm=0.1), Callback()

    class Listening(NSGAN):
        def on_after_backward(self) -> None:
            told.append("module")

    class Own(NSGAN):
        def backward(self, loss, *args, **kwargs) -> None:
            told.append("backward")
            super().backward(loss, *args, **kwargs)

    if listener == "instance":
        callback.on_before_optimizer_step = lambda *args: told.append("instance")
    elif listener == "callback":
        callback = Hooks()
        callback.seen = told
    else:
        heard = {"module": Listening, "backward": Own}[listener](*networks(), clip_norm=0.1)
    fit(quiet, points(3))
    fit(heard, points(3), callbacks=[callback])
    assert quiet._unobserved
    assert not heard._unobserved
    assert len(told) == (12 if listener == "callback" else 6)
    assert same(snapshot(quiet), snapshot(heard))


def test_another_precision_has_its_own_backward() -> None:
    gan = NSGAN(*networks())
    fit(gan, points(1), precision="bf16-mixed")
    assert not gan._unobserved
