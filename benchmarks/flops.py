"""What an iteration costs: FLOPs by torch's own table, and kernels launched."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

NO_KERNEL = {
    "view", "_unsafe_view", "_reshape_alias", "alias", "as_strided", "detach", "expand", "lift_fresh", "permute",
    "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unsqueeze",
    "_record_function_enter_new", "_record_function_exit",
}  # fmt: skip


class Cost(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is active.

    torch's `FlopCounterMode` breaks as soon as `autograd.grad(create_graph=True)` is called, so this is its table
    under a mode of our own. A multiply-add is two FLOPs; only convolutions and matrix products count.

    Attributes:
        flops: of each operation, by name.
        launches: calls of each operation that computes something, by name; views are left out.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: Counter[str] = Counter()
        self.launches: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """FLOPs of all operations."""
        return self.flops.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        name = packet.__name__
        if packet in flop_registry:
            self.flops[name] += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        if name not in NO_KERNEL:
            self.launches[name] += 1
        return out
