"""Figure 6 of paper two."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars
from matplotlib.figure import Figure

from equipoise.figures.curves import curve_a_method, name_panel
from equipoise.figures.layout import (
    NARROW,
    TEXT,
    WIDE,
    End,
    headline,
    leftmost,
    method_styles,
    methods_of,
    name_ends,
    of_method,
    panels,
    same_scales,
    same_x,
    say_nothing,
    task_styles,
    tiles,
)

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


def weight_error(weights: polars.DataFrame) -> Figure:
    """How far the weights of each method are from equal ones, by epoch (P2, figure 2).

    The error is the mean over tasks of |w_i / sum w - 1/T|; for two tasks it is the paper's |w_1 / (w_1 + w_2) - 0.5|.
    A method near zero weighs as the plain sum does, and ties with it.

    Args:
        weights: `epoch`, `task`, `weight` (the mean of the epoch); with a column `method` a curve for each, in a panel
            of its own where they are many, and with a column `seed` its mean and range over seeds.
    """
    named = weights if "method" in weights.columns else weights.with_columns(method=polars.lit("weights"))
    grid = curve_a_method(_errors(named))
    for column, axes in enumerate(grid.axes[0]):
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        name_panel(grid, 0, column, "how far weights are from equal", r"mean of $|w_i\, /\, \sum w - 1/T|$")
    bands = " (bands: range over seeds)" if "seed" in weights.columns else ""
    grid.figure.supxlabel(f"epoch{bands}", fontsize=TEXT)
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
    """A score at every stage of a growing problem, and how far the methods are ahead of the baseline (P2, figure 3b).

    Args:
        values: `stage` (such as "2 tasks"; drawn in the order of the rows), `method`, `value`, higher is better, in
            percent; with several rows of a stage and method (seeds) their mean, and a band of one standard deviation.
        quantity: What the values are, with their unit, such as "delta_m, %".
        baseline: The method that the others are compared with, below.
    """
    stages = values["stage"].unique(maintain_order=True).to_list()
    methods = [str(method) for method in methods_of(values) if method is not None]
    styles = method_styles(methods)
    # A stage and a method need as much room as their names; those of many stages are turned.
    many = len(stages) > 5
    figure, every = panels(2, 1, width=max(WIDE, 0.75 * len(stages)), height=max(2.5, 0.17 * len(methods)))
    upper, lower = every[:, 0]
    x, means, ends = np.arange(len(stages)), {}, []
    for method in methods:
        groups = [
            of_method(values, method).filter(polars.col("stage") == stage)["value"].drop_nulls().drop_nans().to_numpy()
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
        ends.append(End(known[-1] if len(known) else np.nan, method, style))
    others = [method for method in methods if method != baseline and baseline in means]
    for place, method in enumerate(others):
        width = 0.7 / len(others)
        ahead = means[method] - means[baseline]
        lower.bar(
            x + (place - (len(others) - 1) / 2) * width, ahead, 0.9 * width, color=styles[method].colour, alpha=0.85
        )
    lower.axhline(0, color="0.3", linewidth=0.8)
    same_x((upper, lower))
    upper.tick_params(labelbottom=False)
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if many else {}
    lower.set_xticks(x, stages, fontsize=TEXT, **turned)
    upper.set_ylabel(quantity, fontsize=TEXT)
    lower.set_ylabel("difference", fontsize=TEXT)
    headline(upper, "stage by stage")
    headline(lower, f"ahead of {baseline}")
    name_ends(upper, ends)
    return figure
