"""Figures 7, 9 and 14 of paper one, with the reference that they lack."""

from collections.abc import Sequence

import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.figures.blocks import block_width
from equipoise.figures.cosine_split import cosine_split
from equipoise.figures.curves import curves_by_method, draw_curves, name_panel
from equipoise.figures.layout import End, of_method, reference
from equipoise.figures.styles import Style

_PARTS = {
    "balance": Style("0.15", (), "o"),
    "alignment": Style("0.5", (4, 1.5), "s"),
}


def cosines_with_update(
    by_task: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Cosine of each task's contribution with the update, over training (P1, figures 7, 9, 14).

    T orthogonal contributions of equal norms have the cosine 1/sqrt(T), whatever the network learns; the line is drawn
    at it. Below, the mean over tasks is split into that reference, the balance of norms and the alignment of
    directions, see `cosine_split`.

    Args:
        by_task: `step`, `task`, `weighted_norm`, `cosine_with_update`, as of `equipoise.diagnosis.by_task`; with a
            column `method`, a column of panels for each.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block; by default about 40 blocks.
    """
    width = block_width(by_task) if block is None else block
    rows = (("cosine_with_update", "cosine of each task with the update", r"$\cos(g_i,\,u)$"),)
    grid = curves_by_method(by_task, rows, tasks=tasks, block=width, further=1)
    split = cosine_split(by_task)
    for column, method in enumerate(grid.methods):
        grid.ends[0, column] += draw_orthogonal(grid.axes[0, column], of_method(by_task, method))
        axes = grid.axes[1, column]
        grid.ends[1, column] = _draw_split(axes, of_method(split, method), width)
        name_panel(grid, 1, column, "why its mean is off the line", "factor")
    return grid.finish()


def draw_orthogonal(axes: Axes, by_task: polars.DataFrame) -> list[End]:
    """Draw the cosine that orthogonal contributions of equal norms have; T is the largest number of tasks in a step."""
    if by_task.is_empty():
        return []
    count = by_task.group_by("step").len()["len"].max()
    assert isinstance(count, int)
    end = reference(axes, count**-0.5, rf"$1/\sqrt{{{count}}}$: orthogonal")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.0), max(high, 1.02))
    return [end]


def _draw_split(axes: Axes, split: polars.DataFrame, width: int) -> list[End]:
    long = split.unpivot(list(_PARTS), index="step", variable_name="part", value_name="factor")
    ends = draw_curves(axes, long, "factor", "part", _PARTS, width)
    names = {"balance": "balance of norms", "alignment": "alignment"}
    return [*(End(end.y, names[end.name], end.style) for end in ends), reference(axes, 1, "1: as on the line")]
