"""Who owns the update."""

from collections.abc import Sequence

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.figures.blocks import block_means, block_width
from equipoise.figures.curves import steps_label
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
    reference,
    same_scales,
    say_nothing,
    tiles,
)
from equipoise.figures.styles import Style, task_styles


def update_share(by_task: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None) -> Figure:
    """The share of the update that each task owns, over training, as stacked areas.

    The share of a task is w_i g_i . u / |u|^2. Where the update is the weighted sum of gradients, shares sum to 1. A
    task that the update goes against has a negative share, drawn below zero; the others then stack up above 1 by as
    much, and the height of all areas, those below zero subtracted, stays the sum.

    Args:
        by_task: `step`, `task`, `share`, as of `equipoise.diagnosis.by_task`; with a column `method`, a panel for each.
            A task that is absent in a step owns nothing of it.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block; by default about 40 blocks.
    """
    methods = methods_of(by_task) or [None]
    drawn = by_task["task"].unique(maintain_order=True).to_list()
    styles = task_styles([*(tasks or ()), *drawn])
    width = block_width(by_task) if block is None else block
    # Beside each panel stand names.
    figure, every = tiles(1, len(methods), width=WIDE if len(methods) == 1 else NARROW + 0.4, height=3.0)
    ends = [draw_shares(axes, of_method(by_task, m), styles, width) for axes, m in zip(every[0], methods, strict=True)]
    for axes, method in zip(every[0], methods, strict=True):
        headline(axes, method or "share of the update that each task owns")
        if leftmost(axes):
            axes.set_ylabel(r"share: $w_i\, g_i \cdot u\, /\, |u|^2$", fontsize=TEXT)
    same_scales(every)
    figure.supxlabel(steps_label(by_task, width, bands=False), fontsize=TEXT)
    for axes, found in zip(every[0], ends, strict=True):
        name_ends(axes, found)
    return figure


def draw_shares(axes: Axes, by_task: polars.DataFrame, styles: dict[str, Style], width: int) -> list[End]:
    """Draw the areas into one panel, and return the middle of each at the end."""
    whole = _whole_steps(by_task)
    if whole.is_empty():
        say_nothing(axes)
        return []
    found = block_means(whole, "share", ["task"], width)
    names = found["task"].unique(maintain_order=True).to_list()
    shares = np.stack([found.filter(polars.col("task") == name)["mean"].to_numpy() for name in names])
    x = found.filter(polars.col("task") == names[0])["step"].to_numpy()
    if len(x) == 1:
        # One block is drawn as a bar, as wide as its steps.
        x, shares = np.array([x[0] - width / 2, x[0] + width / 2]), np.repeat(shares, 2, axis=1)
    ends = []
    above, below = np.zeros(len(x)), np.zeros(len(x))
    for name, share in zip(names, shares, strict=True):
        low, high = below + np.minimum(share, 0), above + np.maximum(share, 0)
        for start, stop in ((above, high), (low, below)):
            axes.fill_between(x, start, stop, color=styles[name].colour, alpha=0.8, linewidth=0.6, edgecolor="white")
        middle = (above[-1] + high[-1]) / 2 if share[-1] >= 0 else (low[-1] + below[-1]) / 2
        ends.append(End(float(middle), f"{name} {share[-1]:.0%}", styles[name]))
        above, below = high, low
    axes.axhline(0, color="0.2", linewidth=0.8)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(min(1.05 * below.min(), 0), max(1.0, 1.02 * above.max()))
    if below.min() < -0.005:
        ends.append(reference(axes, 1, "1: the whole"))
    return ends


def _whole_steps(by_task: polars.DataFrame) -> polars.DataFrame:
    """A row for every step and task: nothing of a step for an absent task; no step whose update is zero."""
    steps = by_task.group_by("step", maintain_order=True).agg(known=polars.col("share").is_finite().all())
    steps = steps.filter("known").select("step")
    tasks = by_task.select("task").unique(maintain_order=True)
    rows = steps.join(tasks, how="cross").join(by_task.select("step", "task", "share"), on=["step", "task"], how="left")
    return rows.with_columns(polars.col("share").fill_null(0.0))
