"""Figure 6 of paper one."""

from collections.abc import Sequence

import polars
from matplotlib.figure import Figure

from equipoise.figures.curves import curves_by_method


def feature_distance(
    distances: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Distance of the shared features to those of each single-task network, over training (P1, figure 6).

    Args:
        distances: `step`, `task`, `distance`, as of `equipoise.diagnosis.FeatureDistance`; with a column `method`, a
            panel for each.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block; by default about 40 blocks.
    """
    rows = (("distance", "features' distance to single-task", r"squared $L_2$ distance"),)
    return curves_by_method(distances, rows, tasks=tasks, block=block).finish()
