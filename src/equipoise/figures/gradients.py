"""Figures 8, 15 and 16 of paper one."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.figures.cosines import draw_orthogonal
from equipoise.figures.curves import block_means, block_width, curves_by_method, draw_curves, steps_label
from equipoise.figures.layout import (
    GREY,
    NARROW,
    SMALL,
    TEXT,
    WIDE,
    End,
    Style,
    headline,
    leftmost,
    legend_above,
    methods_of,
    name_ends,
    of_method,
    panels,
    reference,
    same_scales,
    same_x,
    same_y,
    say_nothing,
    task_styles,
    tiles,
)


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


def verdict_overview(
    by_task: polars.DataFrame, shares: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Who owns the update over training, and who would under other weights, over the analysed steps.

    Args:
        by_task: `step`, `task`, `share`, as of `equipoise.diagnosis.by_task`.
        shares: `weighting`, `task`, `share`, as of `equipoise.diagnosis.Verdict.to_frame`.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block; by default about 40 blocks.
    """
    drawn = by_task["task"].unique(maintain_order=True).to_list()
    styles = task_styles([*(tasks or ()), *drawn])
    width = block_width(by_task) if block is None else block
    figure, every = panels(1, 2, width=4.6, height=3.0)
    over_time, under = every[0]
    draw_shares(over_time, by_task, styles, width)
    headline(over_time, "who owns the update")
    over_time.set_ylabel("share of the update", fontsize=TEXT)
    over_time.set_xlabel(steps_label(by_task, width, bands=False), fontsize=TEXT)
    draw_bars(under, shares, styles)
    headline(under, "who would, under other weights")
    legend_above(figure, styles, list(drawn))
    return figure


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
