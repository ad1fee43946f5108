"""Who would own the update under other weights."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.figures.layout import SMALL, TEXT, legend_above, panels, say_nothing
from equipoise.figures.styles import GREY, Style, task_styles

_LEGIBLE = 0.07
"""A part of the bar that has room for its number."""


def share_under_weights(shares: polars.DataFrame, *, tasks: Sequence[str] | None = None) -> Figure:
    """The share of the update that each task owns, a stacked bar for each weighting or method.

    Dashed lines are where the parts of a bar would end if all were equal. A task that the update goes against has a
    negative share, drawn to the left of zero; the others then stack up beyond 1 by as much.

    Args:
        shares: `weighting`, `task`, `share`, as of `equipoise.diagnosis.Verdict.to_frame`.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
    """
    drawn = shares["task"].unique(maintain_order=True).to_list()
    styles = task_styles([*(tasks or ()), *drawn])
    rows = shares["weighting"].n_unique()
    figure, every = panels(1, 1, width=6.4, height=0.9 + 0.42 * rows)
    draw_bars(every[0, 0], shares, styles)
    legend_above(figure, styles, list(drawn))
    return figure


def draw_bars(axes: Axes, shares: polars.DataFrame, styles: Mapping[str, Style]) -> None:
    """Draw the bars into one panel, the first weighting on top."""
    names = shares["weighting"].unique(maintain_order=True).to_list()
    if not names:
        say_nothing(axes)
        return
    above, below = np.zeros(len(names)), np.zeros(len(names))
    tasks = shares["task"].unique(maintain_order=True).to_list()
    for task in tasks:
        of_task = dict(shares.filter(polars.col("task") == task).select("weighting", "share").iter_rows())
        widths = np.array([of_task.get(name) or 0.0 for name in names])
        left = np.where(widths >= 0, above, below)
        axes.barh(range(len(names)), widths, 0.62, left, color=styles[task].colour, alpha=0.8, edgecolor="white")
        for row, (start, width) in enumerate(zip(left, widths, strict=True)):
            if abs(width) >= _LEGIBLE:
                axes.text(start + width / 2, row, f"{width:.0%}", ha="center", va="center", fontsize=SMALL)
        above, below = above + np.maximum(widths, 0), below + np.minimum(widths, 0)
    for row, name in enumerate(names):
        count = shares.filter(polars.col("weighting") == name)["task"].n_unique()
        equal = np.arange(1, count) / count
        axes.vlines(equal, row - 0.5, row + 0.5, color=GREY, linewidth=1.1, linestyle=(0, (4, 2)))
    axes.set_yticks(range(len(names)), names, fontsize=TEXT)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(min(0.0, 1.02 * below.min()), max(1.0, 1.02 * above.max()))
    axes.grid(visible=False)
    axes.set_xlabel("share of the update (dashed: if all were equal)", fontsize=TEXT)
