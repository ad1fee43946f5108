"""Figures of loss weights over epochs, and of scores over the stages of a growing problem."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars
from matplotlib.figure import Figure

from equipoise.figures.curves import draw_method_curves, label_panel
from equipoise.figures.layout import (
    NARROW_PANEL,
    TEXT_SIZE,
    WIDE_PANEL,
    CurveEnd,
    is_leftmost,
    label_curve_ends,
    mark_empty,
    methods_of,
    panel_columns,
    panels,
    rows_of_method,
    set_panel_title,
    share_limits,
    share_x_limits,
)
from equipoise.figures.styles import method_styles, task_styles

_MOMENTUM = 0.9
"""The momentum of the moving average of weights."""


def weights_per_epoch(weights: polars.DataFrame, *, tasks: Sequence[str] | None = None) -> Figure:
    """Draw loss weights by epoch, divided by their sum, and their moving average.

    Gama & Grassi (2025), figure 6. Light lines are the weights. Strong lines are their exponential moving average with
    momentum 0.9, which starts at the first epoch. Its last value, from which Gama & Grassi distil fixed weights, is
    written at the end of the line.

    Args:
        weights: `epoch`, `task`, `weight` (the mean of the epoch); with a column `method`, a panel for each method.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
    """
    methods = methods_of(weights)
    drawn = weights["task"].unique(maintain_order=True).to_list()
    styles = task_styles([*(tasks or ()), *drawn])
    # Names of tasks stand beside each panel.
    figure, all_axes = panel_columns(
        1, len(methods), width=WIDE_PANEL if len(methods) == 1 else NARROW_PANEL + 0.5, height=3.0
    )
    ends: list[list[CurveEnd]] = []
    for axes, method in zip(all_axes[0], methods, strict=True):
        part = rows_of_method(weights, method)
        part = part.with_columns(share=polars.col("weight") / polars.col("weight").sum().over("epoch")).sort("epoch")
        if part.is_empty():
            mark_empty(axes)
        found: list[CurveEnd] = []
        for task in drawn:
            share = part.filter((polars.col("task") == task) & polars.col("share").is_finite())
            smooth = share["share"].ewm_mean(alpha=1 - _MOMENTUM, adjust=False).to_numpy()
            style = styles[task]
            axes.plot(share["epoch"], share["share"], color=style.colour, linewidth=0.9, alpha=0.45)
            axes.plot(
                share["epoch"], smooth, color=style.colour, linestyle=style.line, linewidth=2, marker=style.mark,
                markersize=4, markevery=max(1, len(smooth) // 7), label=task,
            )  # fmt: skip
            if len(smooth):
                found.append(CurveEnd(float(smooth[-1]), f"{task} {smooth[-1]:.3f}", style))
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        set_panel_title(axes, method or "weight of each task")
        if is_leftmost(axes):
            axes.set_ylabel(r"share of the weights: $w_i\, /\, \sum w$", fontsize=TEXT_SIZE)
        ends.append(found)
    figure.supxlabel("epoch", fontsize=TEXT_SIZE)
    share_limits(all_axes)
    for axes, found in zip(all_axes[0], ends, strict=True):
        axes.set_ylim(bottom=0)
        label_curve_ends(axes, found)
    return figure


def weight_error(weights: polars.DataFrame) -> Figure:
    """Draw the distance of the weights of each method from equal weights, by epoch.

    Gama & Grassi (2025), figure 2. The distance is the mean over tasks of |w_i / sum w - 1/T|. For two tasks this is
    the |w_1 / (w_1 + w_2) - 0.5| of the paper. A method near zero has the weights of the plain sum.

    Args:
        weights: `epoch`, `task`, `weight` (the mean of the epoch). With a column `method` there is a curve for each
            method; if they are many, each has a panel. With a column `seed` the mean and range over seeds are drawn.
    """
    named = weights if "method" in weights.columns else weights.with_columns(method=polars.lit("weights"))
    grid = draw_method_curves(_errors(named))
    for column, axes in enumerate(grid.axes[0]):
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        label_panel(grid, 0, column, "distance from equal weights", r"mean of $|w_i\, /\, \sum w - 1/T|$")
    bands = " (bands: range over seeds)" if "seed" in weights.columns else ""
    grid.figure.supxlabel(f"epoch{bands}", fontsize=TEXT_SIZE)
    return grid.finish()


def _errors(weights: polars.DataFrame) -> polars.DataFrame:
    run = [key for key in ("method", "seed", "epoch") if key in weights.columns]
    share = polars.col("weight") / polars.col("weight").sum()
    of_run = weights.group_by(run, maintain_order=True).agg(error=(share - 1 / polars.len()).abs().mean())
    error = polars.col("error").filter(polars.col("error").is_finite())
    over_seeds = of_run.group_by("method", "epoch", maintain_order=True).agg(
        mean=error.mean(), low=error.min(), high=error.max()
    )
    return over_seeds.drop_nulls().rename({"epoch": "x"}).sort("x", maintain_order=True)


def progression(values: polars.DataFrame, *, quantity: str, baseline: str) -> Figure:
    """Draw a score at every stage of a growing problem, and the difference of each method from the baseline.

    Gama & Grassi (2025), figure 3b.

    Args:
        values: `stage` (such as "2 tasks", in the order of the rows), `method`, `value` in percent, higher is better.
            If a stage and method have several rows (seeds), their mean and a band of one standard deviation are drawn.
        quantity: The name of the values with their unit, such as "delta_m, %".
        baseline: The method from which the differences are computed.
    """
    stages = values["stage"].unique(maintain_order=True).to_list()
    methods = values["method"].drop_nulls().unique(maintain_order=True).to_list()
    styles = method_styles(methods)
    # Stages and methods need room for their names; the names of many stages are turned.
    many = len(stages) > 5
    figure, all_axes = panels(2, 1, width=max(WIDE_PANEL, 0.75 * len(stages)), height=max(2.5, 0.17 * len(methods)))
    upper, lower = all_axes[:, 0]
    x, means, ends = np.arange(len(stages)), {}, []
    for method in methods:
        groups = [
            rows_of_method(values, method)
            .filter(polars.col("stage") == stage)["value"]
            .drop_nulls()
            .drop_nans()
            .to_numpy()
            for stage in stages
        ]
        mean = np.array([group.mean() if len(group) else np.nan for group in groups])
        spread = np.array([group.std(ddof=1) if len(group) > 1 else 0.0 for group in groups])
        style, means[method] = styles[method], mean
        upper.fill_between(x, mean - spread, mean + spread, color=style.colour, alpha=0.15, linewidth=0)
        upper.plot(
            x, mean, color=style.colour, linestyle=style.line, marker=style.mark, markersize=5, linewidth=1.8,
            label=method,
        )  # fmt: skip
        known = mean[np.isfinite(mean)]
        ends.append(CurveEnd(known[-1] if len(known) else np.nan, method, style))
    others = [method for method in methods if method != baseline and baseline in means]
    for place, method in enumerate(others):
        width = 0.7 / len(others)
        ahead = means[method] - means[baseline]
        lower.bar(
            x + (place - (len(others) - 1) / 2) * width, ahead, 0.9 * width, color=styles[method].colour, alpha=0.85
        )
    lower.axhline(0, color="0.3", linewidth=0.8)
    share_x_limits((upper, lower))
    upper.tick_params(labelbottom=False)
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if many else {}
    lower.set_xticks(x, stages, fontsize=TEXT_SIZE, **turned)
    upper.set_ylabel(quantity, fontsize=TEXT_SIZE)
    lower.set_ylabel("difference", fontsize=TEXT_SIZE)
    set_panel_title(upper, "score at each stage")
    set_panel_title(lower, f"difference from {baseline}")
    label_curve_ends(upper, ends)
    return figure
