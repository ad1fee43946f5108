"""What a probe has seen, at a glance."""

from collections.abc import Sequence

import polars
from matplotlib.figure import Figure

from equipoise.figures.blocks import block_width
from equipoise.figures.cosines_with_update import draw_orthogonal
from equipoise.figures.curves import draw_curves, steps_label
from equipoise.figures.layout import TEXT, headline, name_ends, panels, same_x, same_y
from equipoise.figures.styles import task_styles
from equipoise.figures.update_share import draw_shares


def probe_overview(
    by_task: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Four panels: norms of the gradients, of what enters the update, its cosines, and the share that each task owns.

    Args:
        by_task: As of `equipoise.diagnosis.by_task`.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block; by default about 40 blocks.
    """
    styles = task_styles([*(tasks or ()), *by_task["task"].unique(maintain_order=True)])
    width = block_width(by_task) if block is None else block
    figure, every = panels(2, 2, width=4.6, height=2.7)
    curves = (
        (every[0, 0], "norm", "norm of each task's gradient", r"$|g_i|$"),
        (every[0, 1], "weighted_norm", "norm of what enters the update", r"$w_i\,|g_i|$"),
        (every[1, 0], "cosine_with_update", "cosine of each task with the update", r"$\cos(g_i,\,u)$"),
    )
    ends = []
    for axes, value, title, unit in curves:
        of = by_task
        if value != "cosine_with_update":
            axes.set_yscale("log")
            of = by_task.with_columns(polars.when(polars.col(value) > 0).then(value).alias(value))
        ends.append((axes, draw_curves(axes, of, value, "task", styles, width)))
        headline(axes, title)
        axes.set_ylabel(unit, fontsize=TEXT)
    same_y(every[0])
    ends.append((every[1, 0], [*ends.pop()[1], *draw_orthogonal(every[1, 0], by_task)]))
    ends.append((every[1, 1], draw_shares(every[1, 1], by_task, styles, width)))
    headline(every[1, 1], "share of the update that each task owns")
    every[1, 1].set_ylabel("share", fontsize=TEXT)
    same_x(every.ravel())
    figure.supxlabel(steps_label(by_task, width), fontsize=TEXT)
    for axes, found in ends:
        name_ends(axes, found)
    return figure
