"""One rank of a pair that gathers every metric over its own share of the rows; rank r saves the scores to <out>-<r>.pt.

python -m tests.metrics_script <rank> <ranks> <out>
"""

import sys

import torch
from torch import Tensor, distributed

from zoo.metrics import PRDC, FrechetDistance, InceptionScore, KernelDistance, ModeHistogram

N, D = 61, 5  # odd: one rank has a row more


def scores(rank: int, ranks: int, batch: int = 9) -> dict[str, Tensor]:
    """All metrics of the rows r, r + W, r + 2W, ..., in batches."""
    real, fake = torch.randn(2, N, D, generator=torch.Generator().manual_seed(0)) + torch.tensor([[[0.0]], [[0.5]]])
    pairs = {
        "frechet": FrechetDistance(D),
        "kernel": KernelDistance(subsets=4, subset_size=20),
        "prdc": PRDC(),
    }
    inception, modes = InceptionScore(splits=4), ModeHistogram(D)
    for metric in pairs.values():
        for rows, is_real in ((real, True), (fake, False)):
            for chunk in torch.split(rows[rank::ranks], batch):
                metric.update(chunk, real=is_real)
    for chunk in torch.split(fake[rank::ranks], batch):
        inception.update(chunk.softmax(1))
        modes.update(chunk)
    found = {name: metric.compute() for name, metric in (pairs | {"inception": inception, "modes": modes}).items()}
    prdc = found.pop("prdc")
    with pairs["frechet"].sync_context():
        found["moments"] = pairs["frechet"].moments(real=True).covariance
    return prdc | {name: torch.as_tensor(value, dtype=torch.float64) for name, value in found.items()}


def main() -> None:
    """Run one rank."""
    rank, ranks, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    distributed.init_process_group("gloo", init_method=f"file://{out}-meeting", rank=rank, world_size=ranks)
    torch.save(scores(rank, ranks), f"{out}-{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
