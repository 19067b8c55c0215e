"""One style for all figures of the lab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours, which the colour-blind tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK, GREY = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#000000", "#8c8c8c",
)  # fmt: skip
_STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left", "legend.fontsize": 8, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.6, "figure.dpi": 130,
}  # fmt: skip


def save_figure(draw: Callable[[Figure], None], size: tuple[float, float], path: Path) -> None:
    """Draw onto an empty figure of `size` inches and write it, PNG."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(path, metadata={"Software": None})


def panels(figure: Figure, rows: int, columns: int) -> list[Axes]:
    """Axes in a grid, row by row."""
    return list(figure.subplots(rows, columns, squeeze=False).flat)


def plane(axes: Axes, extent: float) -> None:
    """A square view of [-extent, extent]² without ticks."""
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal", xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
