"""Figures 8, 15 and 16 of paper one."""

from collections.abc import Sequence

import polars
from matplotlib.figure import Figure

from equipoise.figures.curves import curves_by_method


def gradient_norms(
    by_task: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Norms of the task gradients over training, raw and as they enter the update (P1, figures 8, 15, 16).

    Args:
        by_task: `step`, `task`, `norm`, `weighted_norm`, as of `equipoise.diagnosis.by_task`; with a column `method`,
            a column of panels for each. A norm of zero has no place on the logarithmic axis and is left out.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block; by default about 40 blocks.
    """
    rows = (
        ("norm", "gradient of each task", r"$|g_i|$"),
        ("weighted_norm", "what enters the update", r"$w_i\,|g_i|$"),
    )
    return curves_by_method(by_task, rows, tasks=tasks, block=block, log=True).finish()
