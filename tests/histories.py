"""Histories of readings, made by hand."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from zoo.diagnostics import Reading

# A game that goes well: D is somewhat better than a coin, samples are as the data.
WELL = Reading(
    kimg=0.0, loss_d=1.2, loss_g=0.8, accuracy=0.75, overlap=0.5, gap=0.4, scale=1.5, slope=0.55, gradient=0.5,
    weights=20.0, growth=1.0, diversity=0.95, feature_diversity=0.7, modes=0.9, movement=0.15, detour=0.1,
    direction_change=0.1, weight_turn=0.3,
)  # fmt: skip
Series = Sequence[float] | Callable[[int], float] | float


def history(length: int = 20, **series: Series) -> list[Reading]:
    """Readings every 10 kimg: `WELL`, but for what is given as a number, a list, or a function of the index."""

    def at(value: Series, i: int) -> float:
        return value(i) if callable(value) else value[i] if isinstance(value, Sequence) else value

    rows = [{name: at(value, i) for name, value in series.items()} for i in range(length)]
    return [replace(WELL, kimg=10.0 * (i + 1), **row) for i, row in enumerate(rows)]


SATURATED = {"accuracy": 1.0, "overlap": 0.0, "slope": 0.004, "gradient": lambda i: 0.8 if i < 4 else 0.02}
COLLAPSED = {"diversity": 0.2, "feature_diversity": 0.3, "modes": 0.15}
CIRCLING = {"movement": 1.2, "detour": 0.8, "direction_change": lambda i: -0.8 if i % 2 else 0.3}
