"""Figures 1 and 4 of paper one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from equipoise.figures.layout import ACROSS, SMALL, TEXT, TOGETHER, methods_of, of_method, say_nothing
from equipoise.figures.over_tasks import over_tasks
from equipoise.figures.styles import GREY, Style, method_styles


def radar(changes: polars.DataFrame, *, baseline: str = "single-task") -> Figure:
    """Every task's metric M_i as a spoke, every method as an outline, delta_m in the legend (P1, figures 1 and 4).

    Spokes have one common scale: the signed relative change against the baseline in percent, outwards is better; so
    lengths can be compared between tasks, and the mean of an outline's corners is its delta_m (of the means of tasks,
    where one has several metrics). (The paper gives every spoke a scale of its own.) Under the name of a metric stand
    its lowest and highest value. More than 6 outlines would hide each other: then every method has a small radar, with
    the others in grey.

    Args:
        changes: `method`, `metric`, `value`, `change` (percent, higher is better); a method without a finite change in
            every metric is left out.
        baseline: What the changes are against: the name of the ring at zero.
    """
    metrics = changes["metric"].unique(maintain_order=True).to_list()
    outlines = {}
    for method in methods_of(changes):
        found = dict(of_method(changes, method).select("metric", "change").iter_rows())
        outline = np.array([found.get(metric) for metric in metrics], dtype=float)
        if np.isfinite(outline).all():
            outlines[str(method)] = outline
    styles = method_styles(changes["method"].to_list())
    if len(outlines) > TOGETHER:
        return _apart(outlines, metrics, styles)
    # Names of spokes reach further than the layout knows.
    figure = Figure(figsize=(7.4, 4.6), layout=ConstrainedLayoutEngine(rect=(0.04, 0, 0.96, 1)))
    # Matplotlib's types do not tell that these axes are polar ones.
    axes: Any = figure.add_subplot(projection="polar")
    if not outlines:
        axes.set_axis_off()
        say_nothing(axes)
        return figure
    handles = []
    for method, outline in outlines.items():
        _draw(axes, outline, styles[method])
        handles.append((_line(styles[method]), _entry(method, metrics, outline)))
    handles.append((_dress(axes, outlines, [_spoke(metric, changes) for metric in metrics]), baseline))
    axes.tick_params(axis="x", pad=20)
    figure.legend(
        *zip(*handles, strict=True), title="delta_m (outwards is better)", loc="outside right upper", frameon=False,
        fontsize=TEXT, title_fontsize=TEXT, alignment="left",
    )  # fmt: skip
    return figure


def _apart(outlines: Mapping[str, np.ndarray], metrics: Sequence[str], styles: Mapping[str, Style]) -> Figure:
    """A small radar for every method, with the others in grey behind it."""
    across = min(ACROSS, len(outlines))
    down = -(-len(outlines) // across)
    figure = Figure(figsize=(2.6 * across, 2.7 * down), layout="constrained")
    every: Any = figure.subplots(down, across, squeeze=False, subplot_kw={"projection": "polar"})
    tasks = [metric.split(".")[0] for metric in metrics]
    names = [
        task if tasks.count(task) == 1 else metric.replace(".", "\n")
        for task, metric in zip(tasks, metrics, strict=True)
    ]
    for axes, (method, outline) in zip(every.flat, outlines.items(), strict=False):
        for other in outlines.values():
            axes.plot(*_closed(other), color="0.86", linewidth=0.7)
        _draw(axes, outline, styles[method])
        _dress(axes, outlines, names)
        axes.set_title(_entry(method, metrics, outline), fontsize=TEXT, color="0.1", pad=4)
        axes.tick_params(axis="x", labelsize=SMALL, pad=1)
        axes.tick_params(axis="y", labelsize=SMALL - 1.5)
    for axes in every.flat[len(outlines) :]:
        axes.remove()
    return figure


def _entry(method: str, metrics: Sequence[str], outline: np.ndarray) -> str:
    return f"{method}  {over_tasks(dict(zip(metrics, outline, strict=True))):+.2f} %"


def _draw(axes: Any, outline: np.ndarray, style: Style) -> None:
    angles, values = _closed(outline)
    line = _line(style)
    line.set_data(angles, values)
    axes.add_line(line)


def _line(style: Style) -> Line2D:
    return Line2D(
        [], [], color=style.colour, linestyle=style.line, marker=style.mark, markersize=4.5, linewidth=1.8, zorder=3
    )


def _closed(outline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    angles = 2 * np.pi * np.arange(len(outline)) / len(outline)
    return np.append(angles, angles[0]), np.append(outline, outline[0])


def _dress(axes: Any, outlines: Mapping[str, np.ndarray], spokes: Sequence[str]) -> Line2D:
    """Give axes spokes, limits for all outlines, and the ring at zero, which is returned."""
    every = np.concatenate([*outlines.values(), [0.0]])
    room = max(np.ptp(every), 1.0)
    axes.set_ylim(every.min() - 0.35 * room, every.max() + 0.08 * room)
    ring = axes.plot(
        np.linspace(0, 2 * np.pi, 181), np.zeros(181), color=GREY, linewidth=1.2, linestyle=(0, (4, 2))
    )[0]  # fmt: skip
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_xticks(2 * np.pi * np.arange(len(spokes)) / len(spokes), spokes, fontsize=TEXT)
    axes.yaxis.get_major_locator().base.set_params(nbins=4)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g} %" if value else "0")
    axes.set_rlabel_position(180 / len(spokes))
    axes.tick_params(axis="y", labelsize=SMALL, labelcolor="0.4")
    axes.grid(color="0.88", linewidth=0.7)
    axes.spines["polar"].set_color("0.85")
    return ring


def _spoke(metric: str, changes: polars.DataFrame) -> str:
    values = changes.filter((polars.col("metric") == metric) & polars.col("value").is_finite())["value"]
    name = metric.replace(".", " ")
    return name if values.is_empty() else f"{name}\n{values.min():.3g} to {values.max():.3g}"
