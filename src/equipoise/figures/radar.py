"""Figures 1 and 4 of paper one."""

from typing import Any

import numpy as np
import polars
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from equipoise.figures.layout import SMALL, TEXT, methods_of, of_method, say_nothing
from equipoise.figures.styles import GREY, method_styles


def radar(changes: polars.DataFrame, *, baseline: str = "single-task") -> Figure:
    """Every task's metric M_i as a spoke, every method as an outline, delta_m in the legend (P1, figures 1 and 4).

    Spokes have one common scale: the signed relative change against the baseline in percent, outwards is better; so
    lengths can be compared between tasks, and the mean of an outline's corners is its delta_m. (The paper gives every
    spoke a scale of its own.) Under the name of a metric stand its lowest and highest value.

    Args:
        changes: `method`, `metric`, `value`, `change` (percent, higher is better); a method without a finite change in
            every metric is left out.
        baseline: What the changes are against: the name of the ring at zero.
    """
    metrics = changes["metric"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    # Matplotlib's types do not tell that these axes are polar ones.
    axes: Any = figure.add_subplot(projection="polar")
    outlines = {}
    for method in methods_of(changes):
        found = dict(of_method(changes, method).select("metric", "change").iter_rows())
        outline = np.array([found.get(metric) for metric in metrics], dtype=float)
        if np.isfinite(outline).all():
            outlines[str(method)] = outline
    if not outlines:
        axes.set_axis_off()
        say_nothing(axes)
        return figure
    styles = method_styles(changes["method"].to_list())
    angles = 2 * np.pi * np.arange(len(metrics)) / len(metrics)
    closed = np.append(angles, angles[0])
    handles = []
    for method, outline in outlines.items():
        style = styles[method]
        look: dict[str, Any] = {
            "color": style.colour,
            "linestyle": style.line,
            "marker": style.mark,
            "markersize": 4.5,
            "linewidth": 1.8,
        }
        axes.plot(closed, np.append(outline, outline[0]), **look)
        handles.append((Line2D([], [], **look), f"{method}  {outline.mean():+.2f} %"))
    every = np.concatenate([*outlines.values(), [0.0]])
    room = max(np.ptp(every), 1.0)
    axes.set_ylim(every.min() - 0.35 * room, every.max() + 0.08 * room)
    ring = np.linspace(0, 2 * np.pi, 181)
    handles.append((axes.plot(ring, np.zeros(181), color=GREY, linewidth=1.2, linestyle=(0, (4, 2)))[0], baseline))
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_xticks(angles, [_spoke(metric, changes) for metric in metrics], fontsize=TEXT)
    axes.tick_params(axis="x", pad=20)
    axes.yaxis.get_major_locator().base.set_params(nbins=4)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g} %" if value else "0")
    axes.set_rlabel_position(180 / len(metrics))
    axes.tick_params(axis="y", labelsize=SMALL, labelcolor="0.4")
    axes.grid(color="0.88", linewidth=0.7)
    axes.spines["polar"].set_color("0.85")
    figure.legend(
        *zip(*handles, strict=True), title="delta_m (outwards is better)", loc="outside right upper", frameon=False,
        fontsize=TEXT, title_fontsize=TEXT, alignment="left",
    )  # fmt: skip
    return figure


def _spoke(metric: str, changes: polars.DataFrame) -> str:
    values = changes.filter((polars.col("metric") == metric) & polars.col("value").is_finite())["value"]
    name = metric.replace(".", " ")
    return name if values.is_empty() else f"{name}\n{values.min():.3g} to {values.max():.3g}"
