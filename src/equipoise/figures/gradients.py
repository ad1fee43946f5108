"""Figures of the sizes of gradients: norms, and the share of the update that each task owns."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.figures.cosines import draw_orthogonal
from equipoise.figures.curves import block_means, block_width, draw_curves, draw_task_curves, steps_label
from equipoise.figures.layout import (
    NARROW_PANEL,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    WIDE_PANEL,
    CurveEnd,
    draw_reference,
    is_leftmost,
    label_curve_ends,
    legend_above,
    mark_empty,
    methods_of,
    panel_columns,
    panels,
    rows_of_method,
    set_panel_title,
    share_limits,
    share_x_limits,
    share_y_limits,
)
from equipoise.figures.styles import GREY, Style, task_styles

_MIN_LABELLED_SHARE = 0.07
"""The smallest part of a bar with room for its number."""


def gradient_norms(
    by_task: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Draw the norms of the task gradients over training, raw and weighted (Guo et al. (2025), figures 8, 15, 16).

    Args:
        by_task: `step`, `task`, `norm`, `weighted_norm`, as from `equipoise.diagnosis.by_task`; with a column `method`,
            a column of panels for each method. A norm of zero cannot be shown on the logarithmic axis: it is left out.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: The number of steps in a block; by default there are about 40 blocks.
    """
    rows = (
        ("norm", "gradient of each task", r"$|g_i|$"),
        ("weighted_norm", "weighted gradient of each task", r"$w_i\,|g_i|$"),
    )
    return draw_task_curves(by_task, rows, tasks=tasks, block=block, log=True).finish()


def update_share(by_task: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None) -> Figure:
    """Draw the share of the update that each task owns, over training, as stacked areas.

    The share of a task is w_i g_i . u / |u|^2. If the update is the weighted sum of gradients, shares sum to 1. A task
    that the update goes against has a negative share, drawn below zero. The others then stack up above 1 by as much, so
    that the signed height of all areas is still the sum.

    Args:
        by_task: `step`, `task`, `share`, as from `equipoise.diagnosis.by_task`; with a column `method`, a panel for
            each method. A task that is absent in a step owns nothing of it.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: The number of steps in a block; by default there are about 40 blocks.
    """
    methods = methods_of(by_task)
    drawn = by_task["task"].unique(maintain_order=True).to_list()
    styles = task_styles([*(tasks or ()), *drawn])
    width = block_width(by_task) if block is None else block
    # Names of tasks stand beside each panel.
    figure, all_axes = panel_columns(
        1, len(methods), width=WIDE_PANEL if len(methods) == 1 else NARROW_PANEL + 0.4, height=3.0
    )
    ends = [
        _draw_share_areas(axes, rows_of_method(by_task, m), styles, width)
        for axes, m in zip(all_axes[0], methods, strict=True)
    ]
    for axes, method in zip(all_axes[0], methods, strict=True):
        set_panel_title(axes, method or "share of the update that each task owns")
        if is_leftmost(axes):
            axes.set_ylabel(r"share: $w_i\, g_i \cdot u\, /\, |u|^2$", fontsize=TEXT_SIZE)
    share_limits(all_axes)
    figure.supxlabel(steps_label(by_task, width, bands=False), fontsize=TEXT_SIZE)
    for axes, found in zip(all_axes[0], ends, strict=True):
        label_curve_ends(axes, found)
    return figure


def _draw_share_areas(axes: Axes, by_task: polars.DataFrame, styles: dict[str, Style], width: int) -> list[CurveEnd]:
    """Draw the areas into one panel, and return the middle of each at its end."""
    whole = _whole_steps(by_task)
    if whole.is_empty():
        mark_empty(axes)
        return []
    found = block_means(whole, "share", ["task"], width)
    names = found["task"].unique(maintain_order=True).to_list()
    shares = np.stack([found.filter(polars.col("task") == name)["mean"].to_numpy() for name in names])
    x = found.filter(polars.col("task") == names[0])["step"].to_numpy()
    if len(x) == 1:
        # A single block is drawn as a bar as wide as its steps.
        x, shares = np.array([x[0] - width / 2, x[0] + width / 2]), np.repeat(shares, 2, axis=1)
    ends = []
    above, below = np.zeros(len(x)), np.zeros(len(x))
    for name, share in zip(names, shares, strict=True):
        low, high = below + np.minimum(share, 0), above + np.maximum(share, 0)
        for start, stop in ((above, high), (low, below)):
            axes.fill_between(x, start, stop, color=styles[name].colour, alpha=0.8, linewidth=0.6, edgecolor="white")
        middle = (above[-1] + high[-1]) / 2 if share[-1] >= 0 else (low[-1] + below[-1]) / 2
        ends.append(CurveEnd(float(middle), f"{name} {share[-1]:.0%}", styles[name]))
        above, below = high, low
    axes.axhline(0, color="0.2", linewidth=0.8)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(min(1.05 * below.min(), 0), max(1.0, 1.02 * above.max()))
    if below.min() < -0.005:
        ends.append(draw_reference(axes, 1, "1: the whole"))
    return ends


def _whole_steps(by_task: polars.DataFrame) -> polars.DataFrame:
    """Return a row for every step and task: a share of 0 for an absent task. Steps with a zero update are left out."""
    steps = by_task.group_by("step", maintain_order=True).agg(known=polars.col("share").is_finite().all())
    steps = steps.filter("known").select("step")
    tasks = by_task.select("task").unique(maintain_order=True)
    rows = steps.join(tasks, how="cross").join(by_task.select("step", "task", "share"), on=["step", "task"], how="left")
    return rows.with_columns(polars.col("share").fill_null(0.0))


def share_under_weights(shares: polars.DataFrame, *, tasks: Sequence[str] | None = None) -> Figure:
    """Draw the share of the update that each task owns, as a stacked bar for each weighting or method.

    Dashed lines mark the ends of the parts of a bar if all were equal. A task that the update goes against has a
    negative share, drawn to the left of zero. The others then stack up beyond 1 by as much.

    Args:
        shares: `weighting`, `task`, `share`, as from `equipoise.diagnosis.Verdict.to_frame`.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
    """
    drawn = shares["task"].unique(maintain_order=True).to_list()
    styles = task_styles([*(tasks or ()), *drawn])
    rows = shares["weighting"].n_unique()
    figure, all_axes = panels(1, 1, width=6.4, height=0.9 + 0.42 * rows)
    _draw_share_bars(all_axes[0, 0], shares, styles)
    legend_above(figure, styles, list(drawn))
    return figure


def _draw_share_bars(axes: Axes, shares: polars.DataFrame, styles: Mapping[str, Style]) -> None:
    """Draw the bars into one panel, the first weighting on top."""
    names = shares["weighting"].unique(maintain_order=True).to_list()
    if not names:
        mark_empty(axes)
        return
    above, below = np.zeros(len(names)), np.zeros(len(names))
    tasks = shares["task"].unique(maintain_order=True).to_list()
    for task in tasks:
        of_task = dict(shares.filter(polars.col("task") == task).select("weighting", "share").iter_rows())
        widths = np.array([of_task.get(name) or 0.0 for name in names])
        left = np.where(widths >= 0, above, below)
        axes.barh(range(len(names)), widths, 0.62, left, color=styles[task].colour, alpha=0.8, edgecolor="white")
        for row, (start, width) in enumerate(zip(left, widths, strict=True)):
            if abs(width) >= _MIN_LABELLED_SHARE:
                axes.text(start + width / 2, row, f"{width:.0%}", ha="center", va="center", fontsize=SMALL_TEXT_SIZE)
        above, below = above + np.maximum(widths, 0), below + np.minimum(widths, 0)
    for row, name in enumerate(names):
        count = shares.filter(polars.col("weighting") == name)["task"].n_unique()
        equal = np.arange(1, count) / count
        axes.vlines(equal, row - 0.5, row + 0.5, color=GREY, linewidth=1.1, linestyle=(0, (4, 2)))
    axes.set_yticks(range(len(names)), names, fontsize=TEXT_SIZE)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(min(0.0, 1.02 * below.min()), max(1.0, 1.02 * above.max()))
    axes.grid(visible=False)
    axes.set_xlabel("share of the update (dashed: if all were equal)", fontsize=TEXT_SIZE)


def verdict_overview(
    by_task: polars.DataFrame, shares: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Draw the share of each task over training, and its share under other weights over the analysed steps.

    Args:
        by_task: `step`, `task`, `share`, as from `equipoise.diagnosis.by_task`.
        shares: `weighting`, `task`, `share`, as from `equipoise.diagnosis.Verdict.to_frame`.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: The number of steps in a block; by default there are about 40 blocks.
    """
    drawn = by_task["task"].unique(maintain_order=True).to_list()
    styles = task_styles([*(tasks or ()), *drawn])
    width = block_width(by_task) if block is None else block
    figure, all_axes = panels(1, 2, width=4.6, height=3.0)
    over_time, under = all_axes[0]
    _draw_share_areas(over_time, by_task, styles, width)
    set_panel_title(over_time, "share of the update of each task")
    over_time.set_ylabel("share of the update", fontsize=TEXT_SIZE)
    over_time.set_xlabel(steps_label(by_task, width, bands=False), fontsize=TEXT_SIZE)
    _draw_share_bars(under, shares, styles)
    set_panel_title(under, "the same under other weights")
    legend_above(figure, styles, list(drawn))
    return figure


def probe_overview(
    by_task: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Draw four panels: norms of the gradients, raw and weighted, their cosines with the update, and their shares.

    Args:
        by_task: The frame of `equipoise.diagnosis.by_task`.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: The number of steps in a block; by default there are about 40 blocks.
    """
    styles = task_styles([*(tasks or ()), *by_task["task"].unique(maintain_order=True)])
    width = block_width(by_task) if block is None else block
    figure, all_axes = panels(2, 2, width=4.6, height=2.7)
    curves = (
        (all_axes[0, 0], "norm", "norm of each task's gradient", r"$|g_i|$"),
        (all_axes[0, 1], "weighted_norm", "norm of each task's weighted gradient", r"$w_i\,|g_i|$"),
        (all_axes[1, 0], "cosine_with_update", "cosine of each task with the update", r"$\cos(g_i,\,u)$"),
    )
    ends = []
    for axes, value, title, unit in curves:
        of = by_task
        if value != "cosine_with_update":
            axes.set_yscale("log")
            of = by_task.with_columns(polars.when(polars.col(value) > 0).then(value).alias(value))
        ends.append((axes, draw_curves(axes, of, value, "task", styles, width)))
        set_panel_title(axes, title)
        axes.set_ylabel(unit, fontsize=TEXT_SIZE)
    share_y_limits(all_axes[0])
    ends.append((all_axes[1, 0], [*ends.pop()[1], *draw_orthogonal(all_axes[1, 0], by_task)]))
    ends.append((all_axes[1, 1], _draw_share_areas(all_axes[1, 1], by_task, styles, width)))
    set_panel_title(all_axes[1, 1], "share of the update that each task owns")
    all_axes[1, 1].set_ylabel("share", fontsize=TEXT_SIZE)
    share_x_limits(all_axes.ravel())
    figure.supxlabel(steps_label(by_task, width), fontsize=TEXT_SIZE)
    for axes, found in ends:
        label_curve_ends(axes, found)
    return figure
