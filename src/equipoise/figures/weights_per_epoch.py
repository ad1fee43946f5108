"""Figure 6 of paper two."""

from collections.abc import Sequence

import polars
from matplotlib.figure import Figure

from equipoise.figures.layout import (
    NARROW,
    TEXT,
    WIDE,
    End,
    headline,
    leftmost,
    methods_of,
    name_ends,
    of_method,
    same_scales,
    say_nothing,
    tiles,
)
from equipoise.figures.styles import task_styles

MOMENTUM = 0.9


def weights_per_epoch(weights: polars.DataFrame, *, tasks: Sequence[str] | None = None) -> Figure:
    """Loss weights by epoch, divided by their sum, and what they settle on (P2, figure 6).

    The light lines are the weights, the strong ones their exponential moving average with momentum 0.9 that starts at
    the first epoch; its last value, which is what paper two distils fixed weights from, stands at the end.

    Args:
        weights: `epoch`, `task`, `weight` (the mean of the epoch); with a column `method`, a panel for each.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
    """
    methods = methods_of(weights) or [None]
    drawn = weights["task"].unique(maintain_order=True).to_list()
    styles = task_styles([*(tasks or ()), *drawn])
    # Beside each panel stand names.
    figure, every = tiles(1, len(methods), width=WIDE if len(methods) == 1 else NARROW + 0.5, height=3.0)
    ends: list[list[End]] = []
    for axes, method in zip(every[0], methods, strict=True):
        part = of_method(weights, method)
        part = part.with_columns(share=polars.col("weight") / polars.col("weight").sum().over("epoch")).sort("epoch")
        if part.is_empty():
            say_nothing(axes)
        found: list[End] = []
        for task in drawn:
            share = part.filter((polars.col("task") == task) & polars.col("share").is_finite())
            smooth = share["share"].ewm_mean(alpha=1 - MOMENTUM, adjust=False).to_numpy()
            style = styles[task]
            axes.plot(share["epoch"], share["share"], color=style.colour, linewidth=0.9, alpha=0.45)
            axes.plot(
                share["epoch"], smooth, color=style.colour, linestyle=style.line, linewidth=2, marker=style.mark,
                markersize=4, markevery=max(1, len(smooth) // 7), label=task,
            )  # fmt: skip
            if len(smooth):
                found.append(End(float(smooth[-1]), f"{task} {smooth[-1]:.3f}", style))
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        headline(axes, method or "weight of each task")
        if leftmost(axes):
            axes.set_ylabel(r"share of the weights: $w_i\, /\, \sum w$", fontsize=TEXT)
        ends.append(found)
    figure.supxlabel("epoch", fontsize=TEXT)
    same_scales(every)
    for axes, found in zip(every[0], ends, strict=True):
        axes.set_ylim(bottom=0)
        name_ends(axes, found)
    return figure
