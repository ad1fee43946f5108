"""Panels of what every task has to do with every other, over training."""

from collections.abc import Callable, Sequence

import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.figures.blocks import block_width
from equipoise.figures.curves import draw_curves, steps_label
from equipoise.figures.layout import (
    NARROW,
    TEXT,
    headline,
    legend_above,
    methods_of,
    numbers_outside,
    of_method,
    panels,
    same_x,
    same_y,
    say_nothing,
)
from equipoise.figures.styles import task_styles


def draw_pairs(
    by_pair: polars.DataFrame,
    value: str,
    unit: str,
    *,
    tasks: Sequence[str] | None,
    block: int | None,
    prepare: Callable[[Axes], None],
) -> Figure:
    """A panel a task, with a curve for each of the others in that one's colour; a row of panels a method.

    Each pair is drawn twice, once in the panel of either task: so a colour is a task here too, and the panel of a task
    shows at once with which others it conflicts.

    Args:
        by_pair: `step`, `first`, `second`, `value`, and `method` where there are several.
        value: The column to draw.
        unit: The name of its axis.
        tasks: All tasks in order.
        block: Steps in a block.
        prepare: Told every axes before anything is drawn.
    """
    turned = by_pair.rename({"first": "second", "second": "first"}).select(by_pair.columns)
    both = polars.concat([by_pair, turned])
    drawn = both["first"].unique(maintain_order=True).to_list()
    drawn = [*(task for task in tasks or () if task in drawn), *(task for task in drawn if task not in (tasks or ()))]
    styles = task_styles([*(tasks or ()), *drawn])
    methods = methods_of(by_pair) or [None]
    across = min(4 if len(methods) == 1 else 6, max(1, len(drawn)))
    down = max(1, -(-len(drawn) // across))
    figure, every = panels(down * len(methods), across, width=NARROW - 0.4, height=2.5)
    width = block_width(by_pair) if block is None else block
    for method, row in zip(methods, every.reshape(len(methods), -1), strict=True):
        found = of_method(both, method)
        for axes, task in zip(row, drawn, strict=False):
            prepare(axes)
            draw_curves(axes, found.filter(polars.col("first") == task), value, "second", styles, width)
            headline(axes, f"{task} with" if method is None else f"{method}: {task} with")
        # Every method begins a row; what is left of its last row stays empty.
        for axes in row[max(1, len(drawn)) :]:
            axes.remove()
    if not drawn:
        say_nothing(every[0, 0])
    numbers_outside(figure)
    same_x(figure.axes)
    same_y(figure.axes)
    for axes in every[:, 0]:
        axes.set_ylabel(unit, fontsize=TEXT)
    figure.supxlabel(steps_label(by_pair, width), fontsize=TEXT)
    legend_above(figure, styles, drawn)
    return figure
