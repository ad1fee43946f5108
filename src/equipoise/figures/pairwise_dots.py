"""Figures 12 and 13 of paper one."""

import math
from collections.abc import Sequence

import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.figures.blocks import block_means
from equipoise.figures.pairs import draw_pairs


def pairwise_dots(by_pair: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None) -> Figure:
    """Dot product of the gradients of every two tasks, over training (P1, figures 12, 13).

    The axis is logarithmic on both sides of zero, and linear below the power of ten under the median of all points.

    Args:
        by_pair: `step`, `first`, `second`, `dot`, as of `equipoise.diagnosis.by_pair`; with a column `method`, a row
            of panels for each.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block; by default about 40 blocks.
    """
    linear = _linear_below(by_pair, block)

    def prepare(axes: Axes) -> None:
        axes.set_yscale("symlog", linthresh=linear)
        axes.axhline(0, color="0.3", linewidth=0.8)

    return draw_pairs(by_pair, "dot", r"$g_i \cdot g_j$", tasks=tasks, block=block, prepare=prepare)


def _linear_below(by_pair: polars.DataFrame, block: int | None) -> float:
    keys = [key for key in ("method", "first", "second") if key in by_pair.columns]
    sizes = block_means(by_pair, "dot", keys, block)["mean"].abs() if not by_pair.is_empty() else by_pair["dot"]
    found = sizes.filter(sizes.is_finite() & (sizes > 0)).median()
    # A power of ten, so that the ticks are round.
    return 10.0 ** math.floor(math.log10(found)) if isinstance(found, float) else 1.0
