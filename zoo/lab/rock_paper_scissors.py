"""Rock, paper, scissors: two learners chase each other round the equilibrium, and what makes them settle.

Claim: In rock-paper-scissors each player's best reply makes the other change, so that both run round the equilibrium,
one third each, rather than to it. What holds for GANs holds here: averages and damped dynamics converge.

Paper: Freund & Schapire 1999, "Adaptive Game Playing Using Multiplicative Weights"; Daskalakis et al. 2018, "Training
GANs with Optimism"; Mescheder et al. 2017, "The Numerics of GANs"; Nagarajan & Kolter 2017, "Gradient descent GAN
optimization is locally stable".

Figure: Left, the first player's mix of the three moves, from the same start (dot): best replies run round the edges,
plain gradient steps spiral out to them, consensus optimisation goes in. Right, how far both mixes are from one third
each, for all learners.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.dynamics import Alternating, Consensus, Dynamics, GradientRegularized, Simultaneous, Unrolled
from zoo.lab import Result
from zoo.lab._figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, panels
from zoo.lab._games import play_zerosum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# PAYOFF[i, j]: what i wins against j, in the order rock, paper, scissors.
PAYOFF = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], dtype=torch.float64)
MOVES = ("rock", "paper", "scissors")
LECTURE = torch.tensor([0.36, 0.32, 0.32], dtype=torch.float64)  # the mix that the lecture starts with
START = torch.tensor([0.6, 0.25, 0.15], dtype=torch.float64)  # the first player's here
LR, HEDGE_LR = 0.5, 0.1
COLOURS = {
    "simultaneous": RED, "alternating": ORANGE, "hedge": PURPLE, "average of hedge": BLACK, "optimistic hedge": GREY,
    "gradient-regularised": BLUE, "unrolled": SKY, "consensus": GREEN,
}  # fmt: skip


def best_reply(mix: Tensor) -> tuple[int, float]:
    """The move that wins most against a mix of the three, and what it wins on average."""
    gain, move = (PAYOFF @ mix).max(0)
    return int(move), float(gain)


def best_replies(mix: Tensor, n: int) -> list[int]:
    """The moves when `n` times the best reply to the last one is played, from a mix of the three on."""
    moves = []
    for _ in range(n):
        move, _ = best_reply(mix)
        moves.append(move)
        mix = torch.eye(3, dtype=torch.float64)[move]
    return moves


def duality_gap(first: Tensor, second: Tensor) -> float:
    """What the best replies to both mixes win together; 0 at the equilibrium only."""
    return best_reply(second)[1] + best_reply(first)[1]


def hedge_bound(start: tuple[Tensor, Tensor], steps: int, lr: float) -> float:
    """The largest duality gap of hedge's averages: Σ over players of log(1 / least starting weight) / (ηT) + η/2.

    Freund & Schapire 1999, with η = `lr`, for gains in [-1, 1] and a start that need not be uniform.
    """
    return sum(float(-logits.log_softmax(0).min()) / (lr * steps) + lr / 2 for logits in start)


def hedge(start: tuple[Tensor, Tensor], steps: int, lr: float, *, optimistic: bool = False) -> Tensor:
    """Both players multiply each move's weight by exp(lr · what it wins against the other's mix).

    Optimistic (Daskalakis et al. 2018): the last gain counts twice and the one before is taken off again.

    Returns:
        (steps + 1, 2, 3): both mixes, from the start on.
    """
    logits = torch.stack(start)
    path, before = [logits.softmax(1)], None
    for _ in range(steps):
        first, second = path[-1]
        gain = torch.stack([PAYOFF @ second, PAYOFF @ first])  # the game is symmetric
        logits = logits + lr * (2 * gain - before if optimistic and before is not None else gain)
        path, before = [*path, logits.softmax(1)], gain
    return torch.stack(path)


def dynamics() -> dict[str, Dynamics]:
    """The zoo's; D is the first player, G the second."""
    return {
        "simultaneous": Simultaneous(), "alternating": Alternating(), "consensus": Consensus(1.0),
        "gradient-regularised": GradientRegularized(1.0), "unrolled": Unrolled(5, lr=LR),
    }  # fmt: skip


def distance(path: Tensor) -> Tensor:
    """How far both mixes are from one third each, summed over moves and players (L1), (steps + 1,)."""
    return (path - 1 / 3).abs().sum((1, 2))


def run(seed: int, quick: bool) -> Result:
    """The first player starts off the equilibrium, the second near it, from a mix that the seed draws."""
    steps, hedged = (120, 1000) if quick else (400, 5000)
    start = START.log(), 0.1 * torch.randn(3, dtype=torch.float64)
    softmax = partial(torch.softmax, dim=-1)
    paths = {
        name: play_zerosum(each, -PAYOFF, start, steps, lr=LR, strategy=softmax) for name, each in dynamics().items()
    }
    paths["hedge"] = hedge(start, hedged, HEDGE_LR)
    paths["average of hedge"] = paths["hedge"].cumsum(0) / torch.arange(1, hedged + 2)[:, None, None]
    paths["optimistic hedge"] = hedge(start, hedged, HEDGE_LR, optimistic=True)
    away = {name: distance(path) for name, path in paths.items()}
    reply, gain = best_reply(LECTURE)
    numbers: dict[str, float | list[float]] = {"steps": steps, "steps of hedge": hedged}
    numbers["best reply to the lecture's mix wins"] = gain
    cycle = best_replies(LECTURE, 4)
    numbers["best replies to one another, as moves 0 to 2"] = list(map(float, cycle))
    gap, bound = duality_gap(*paths["average of hedge"][-1]), hedge_bound(start, hedged, HEDGE_LR)
    numbers["average of hedge: duality gap, and its bound"] = [gap, bound]
    for name in COLOURS:
        numbers[f"{name}: distance, start and end"] = [float(away[name][0]), float(away[name][-1])]
    numbers["average of hedge: first player's mix"] = paths["average of hedge"][-1, 0].tolist()
    ends = {name: float(each[-1]) for name, each in away.items()}
    finding = (
        f"Against the lecture's mix (.36, .32, .32) the best reply is {MOVES[reply]}, which wins {gain:.2f} a game; "
        "the lecture prints the probability of winning, of which ties are no part. Best replies to one another are "
        f"then {', '.join(MOVES[m] for m in cycle)}, and so on for ever. From {float(away['simultaneous'][0]):.2f} "
        f"away (L1), simultaneous gradient steps are {ends['simultaneous']:.2f} away after {steps} steps and "
        f"alternating ones {ends['alternating']:.2f}; multiplicative weights (hedge) end at {ends['hedge']:.2f} after "
        f"{hedged}, though their average comes to {ends['average of hedge']:.3f}. The theorem bounds not this distance "
        f"but the duality gap, what best replies to both averages would win: it is {gap:.1e}, the bound {bound:.3f}. "
        f"Consensus ends at {ends['consensus']:.0e}, the gradient penalty at {ends['gradient-regularised']:.0e}, "
        f"unrolling by 5 at {ends['unrolled']:.0e}, and optimistic hedge, without any average, at "
        f"{ends['optimistic hedge']:.0e}."
    )
    return Result(numbers, finding, partial(_draw, paths, away), size=(9.5, 3.8))


def _triangle(mix: Tensor) -> tuple[Tensor, Tensor]:
    """Rock at the left, paper at the right, scissors on top."""
    return mix[..., 1] + mix[..., 2] / 2, mix[..., 2] * math.sqrt(3) / 2


def _draw(paths: dict[str, Tensor], away: dict[str, Tensor], figure: Figure) -> None:
    simplex, apart = panels(figure, 1, 2)
    simplex.plot(*_triangle(torch.eye(3)[[0, 1, 2, 0]]), color=GREY, linewidth=1, label="best replies")
    for name in ("simultaneous", "consensus"):
        simplex.plot(*_triangle(paths[name][:, 0]), color=COLOURS[name], label=name, linewidth=1.1)
    simplex.plot(*_triangle(torch.full((3,), 1 / 3)), "+", color=BLACK, markersize=10, markeredgewidth=2)
    simplex.plot(*_triangle(START), "o", color=GREY, markersize=6)
    for mix, name, where in zip(torch.eye(3), MOVES, ("top", "top", "bottom"), strict=True):
        x, y = _triangle(mix)
        simplex.text(float(x), float(y) + (0.02 if where == "bottom" else -0.03), name, ha="center", va=where)
    simplex.set(aspect="equal", xlim=(-0.1, 1.1), ylim=(-0.1, 1))
    simplex.set_axis_off()
    simplex.set_title("The first player's mix")
    simplex.legend(loc="upper right")
    for name, colour in COLOURS.items():
        apart.loglog(torch.arange(1, len(away[name])), away[name][1:], color=colour, label=name)
    apart.set(xlabel="step", ylabel="distance from ⅓ each (L1, both players)", xlim=(10, None), ylim=(1e-12, 10))
    apart.set_title("Who settles")
    apart.legend(loc="lower left")
