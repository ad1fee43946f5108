"""Figures 10 and 11 of paper one."""

from collections.abc import Sequence

import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.figures.pairs import draw_pairs


def pairwise_cosines(
    by_pair: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Cosine between the gradients of every two tasks, over training (P1, figures 10, 11).

    Args:
        by_pair: `step`, `first`, `second`, `cosine`, as of `equipoise.diagnosis.by_pair`; with a column `method`, a
            row of panels for each.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block; by default about 40 blocks.
    """
    return draw_pairs(by_pair, "cosine", r"$\cos(g_i,\,g_j)$", tasks=tasks, block=block, prepare=_zero)


def _zero(axes: Axes) -> None:
    axes.axhline(0, color="0.3", linewidth=0.8)
