"""Figures that compare methods: bars of relative changes, radars, and box plots over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from equipoise.figures.layout import (
    MAX_COLUMNS,
    MAX_METHODS_PER_PANEL,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    mark_empty,
    panel_columns,
    panels,
    rows_of_method,
    set_panel_title,
    share_x_limits,
    share_y_limits,
)
from equipoise.figures.styles import GREY, Style, method_styles, task_styles
from equipoise.metrics import mean_within_tasks

_MANY_GROUPS = 6
"""The largest number of groups of bars with wide spacing and horizontal names."""
_MAX_GROUPS_PER_ROW = 12
"""The largest number of groups of bars beside each other; more continue below."""
_ENOUGH_FOR_QUARTILES = 5
"""From this number of seeds on, a box with quartiles is drawn."""

_Groups = Mapping[str, Mapping[str, float]]
"""The changes by metric, by method."""


def relative_change(changes: polars.DataFrame, *, metrics: Sequence[str] | None = None) -> Figure:
    """Draw bars of the signed relative change of every metric against single-task, with delta_m below.

    Each method is a group of bars.

    Args:
        changes: `variant` (null if there are none; each has a panel), `method`, `metric`, `change` (percent, higher is
            better). A row without a method marks a variant without a finished run. Methods and variants may differ in
            their metrics.
        metrics: All metrics in order, so that each keeps its colour in a figure of some of them.
    """
    drawn = changes["metric"].drop_nulls().unique(maintain_order=True).to_list()
    styles = {metric: style for metric, style in task_styles([*(metrics or ()), *drawn]).items() if metric in drawn}
    variants = changes["variant"].unique(maintain_order=True).to_list() or [None]
    rows = [(variant, groups) for variant in variants for groups in _rows_of_groups(changes, variant)]
    widest = max(1, *(len(groups) for _, groups in rows))
    figure, all_axes = panels(
        len(rows),
        1,
        width=1.6 + (1.9 if widest <= _MANY_GROUPS else 0.9) * widest,
        height=2.9 if len(rows) == 1 else 2.5,
    )
    for axes, (variant, groups) in zip(all_axes[:, 0], rows, strict=True):
        _draw_groups(axes, groups, styles, widest)
        if variant is not None:
            axes.set_title(variant, loc="left", fontsize=TEXT_SIZE + 1)
    share_y_limits(all_axes[:, 0])
    figure.supylabel("change against single-task, % (up is better)", fontsize=TEXT_SIZE + 1)
    if styles:
        handles = [Patch(color=style.colour, label=metric.replace(".", " ")) for metric, style in styles.items()]
        mean = Line2D([], [], color="black", linewidth=1.5, label="delta_m")
        figure.legend(handles=[*handles, mean], loc="outside right upper", frameon=False, fontsize=TEXT_SIZE)
    return figure


def _rows_of_groups(changes: polars.DataFrame, variant: str | None) -> Iterator[_Groups]:
    """Yield the methods of a variant in rows of about equal length."""
    found = changes.filter(polars.col("variant").eq_missing(polars.lit(variant))).drop_nulls("method")
    groups = {
        str(method): dict(of.select("metric", "change").iter_rows())
        for (method,), of in found.group_by("method", maintain_order=True)
    }
    rows = max(1, -(-len(groups) // _MAX_GROUPS_PER_ROW))
    across = max(1, -(-len(groups) // rows))
    for row in range(rows):
        yield dict(list(groups.items())[row * across : (row + 1) * across])


def _draw_groups(axes: Axes, groups: _Groups, styles: Mapping[str, Style], widest: int) -> None:
    width = 0.8 / max(1, len(styles))
    for place, changes in enumerate(groups.values()):
        there = [metric for metric in styles if metric in changes]
        places = [place + (number - (len(there) - 1) / 2) * width for number in range(len(there))]
        colours = [styles[metric].colour for metric in there]
        axes.bar(places, [changes[metric] for metric in there], 0.92 * width, color=colours)
        axes.hlines(mean_within_tasks(changes), place - 0.45, place + 0.45, color="black", linewidth=1.5)
    axes.axhline(0, color="0.3", linewidth=0.8)
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if widest > _MANY_GROUPS else {}
    names = [f"{method}\n{mean_within_tasks(changes):+.2f} %" for method, changes in groups.items()]
    axes.set_xticks(range(len(groups)), names, fontsize=TEXT_SIZE, **turned)
    axes.set_xlim(-0.6, widest - 0.25)


def radar(changes: polars.DataFrame, *, baseline: str = "single-task") -> Figure:
    """Draw a radar: every metric as a spoke, every method as an outline, with delta_m in the legend.

    Guo et al. (2025), figures 1 and 4. Unlike in the paper, the spokes have one common scale: the signed relative
    change against the baseline in percent, outwards is better. So lengths can be compared between tasks, and the mean
    of the corners of an outline is its delta_m (metrics are averaged within tasks first). The lowest and highest value
    of a metric stand under its name. More than 6 outlines would hide each other: then every method has a small radar,
    with the others in grey.

    Args:
        changes: `method`, `metric`, `value`, `change` (percent, higher is better). A method without a finite change in
            every metric is left out.
        baseline: The name of the ring at zero, which the changes are relative to.
    """
    metrics = changes["metric"].unique(maintain_order=True).to_list()
    outlines = {}
    for method in changes["method"].unique(maintain_order=True):
        found = dict(rows_of_method(changes, method).select("metric", "change").iter_rows())
        outline = np.array([found.get(metric) for metric in metrics], dtype=float)
        if np.isfinite(outline).all():
            outlines[str(method)] = outline
    styles = method_styles(changes["method"].to_list())
    if len(outlines) > MAX_METHODS_PER_PANEL:
        return _small_radars(outlines, metrics, styles)
    # The layout does not know how far the names of spokes reach.
    figure = Figure(figsize=(7.4, 4.6), layout=ConstrainedLayoutEngine(rect=(0.04, 0, 0.96, 1)))
    # Matplotlib's types do not know that these axes are polar.
    axes: Any = figure.add_subplot(projection="polar")
    if not outlines:
        axes.set_axis_off()
        mark_empty(axes)
        return figure
    handles = []
    for method, outline in outlines.items():
        _draw_outline(axes, outline, styles[method])
        handles.append((_outline_line(styles[method]), _legend_entry(method, metrics, outline)))
    handles.append((_style_polar_axes(axes, outlines, [_spoke(metric, changes) for metric in metrics]), baseline))
    axes.tick_params(axis="x", pad=20)
    figure.legend(
        *zip(*handles, strict=True), title="delta_m (outwards is better)", loc="outside right upper", frameon=False,
        fontsize=TEXT_SIZE, title_fontsize=TEXT_SIZE, alignment="left",
    )  # fmt: skip
    return figure


def _small_radars(outlines: Mapping[str, np.ndarray], metrics: Sequence[str], styles: Mapping[str, Style]) -> Figure:
    """Draw a small radar for every method, with the others in grey behind it."""
    across = min(MAX_COLUMNS, len(outlines))
    down = -(-len(outlines) // across)
    figure = Figure(figsize=(2.6 * across, 2.7 * down), layout="constrained")
    all_axes: Any = figure.subplots(down, across, squeeze=False, subplot_kw={"projection": "polar"})
    tasks = [metric.split(".")[0] for metric in metrics]
    names = [
        task if tasks.count(task) == 1 else metric.replace(".", "\n")
        for task, metric in zip(tasks, metrics, strict=True)
    ]
    for axes, (method, outline) in zip(all_axes.flat, outlines.items(), strict=False):
        for other in outlines.values():
            axes.plot(*_closed(other), color="0.86", linewidth=0.7)
        _draw_outline(axes, outline, styles[method])
        _style_polar_axes(axes, outlines, names)
        axes.set_title(_legend_entry(method, metrics, outline), fontsize=TEXT_SIZE, color="0.1", pad=4)
        axes.tick_params(axis="x", labelsize=SMALL_TEXT_SIZE, pad=1)
        axes.tick_params(axis="y", labelsize=SMALL_TEXT_SIZE - 1.5)
    for axes in all_axes.flat[len(outlines) :]:
        axes.remove()
    return figure


def _legend_entry(method: str, metrics: Sequence[str], outline: np.ndarray) -> str:
    return f"{method}  {mean_within_tasks(dict(zip(metrics, outline, strict=True))):+.2f} %"


def _draw_outline(axes: Any, outline: np.ndarray, style: Style) -> None:
    angles, values = _closed(outline)
    line = _outline_line(style)
    line.set_data(angles, values)
    axes.add_line(line)


def _outline_line(style: Style) -> Line2D:
    return Line2D(
        [], [], color=style.colour, linestyle=style.line, marker=style.mark, markersize=4.5, linewidth=1.8, zorder=3
    )


def _closed(outline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    angles = 2 * np.pi * np.arange(len(outline)) / len(outline)
    return np.append(angles, angles[0]), np.append(outline, outline[0])


def _style_polar_axes(axes: Any, outlines: Mapping[str, np.ndarray], spokes: Sequence[str]) -> Line2D:
    """Draw spokes, common limits and the ring at zero. Return the ring."""
    all_axes = np.concatenate([*outlines.values(), [0.0]])
    room = max(np.ptp(all_axes), 1.0)
    axes.set_ylim(all_axes.min() - 0.35 * room, all_axes.max() + 0.08 * room)
    ring = axes.plot(
        np.linspace(0, 2 * np.pi, 181), np.zeros(181), color=GREY, linewidth=1.2, linestyle=(0, (4, 2))
    )[0]  # fmt: skip
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_xticks(2 * np.pi * np.arange(len(spokes)) / len(spokes), spokes, fontsize=TEXT_SIZE)
    axes.yaxis.get_major_locator().base.set_params(nbins=4)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g} %" if value else "0")
    axes.set_rlabel_position(180 / len(spokes))
    axes.tick_params(axis="y", labelsize=SMALL_TEXT_SIZE, labelcolor="0.4")
    axes.grid(color="0.88", linewidth=0.7)
    axes.spines["polar"].set_color("0.85")
    return ring


def _spoke(metric: str, changes: polars.DataFrame) -> str:
    values = changes.filter((polars.col("metric") == metric) & polars.col("value").is_finite())["value"]
    name = metric.replace(".", " ")
    return name if values.is_empty() else f"{name}\n{values.min():.3g} to {values.max():.3g}"


def box_plots(values: polars.DataFrame, *, quantity: str, baseline: str | None = None) -> Figure:
    """Draw a box over seeds for each method, and the median of the baseline as a dashed line.

    Gama & Grassi (2025), figures 1, 2, 4, 5, 8. Every seed is a point. With 5 seeds or more a box is drawn (quartiles,
    with whiskers to the ends), with fewer a bar from the lowest to the highest. The median is marked in both.

    Args:
        values: `method`, `seed`, `value`, higher is better; with a column `panel`, a panel for each of its values.
        quantity: The name of the values with their unit, such as "delta_m, %".
        baseline: The method whose median is drawn through all rows; none for no line.
    """
    methods = values["method"].drop_nulls().unique(maintain_order=True).to_list()
    styles = method_styles(methods)
    parts = values["panel"].unique(maintain_order=True).to_list() if "panel" in values.columns else [None]
    width = 5.2 if len(parts) < 2 else 3.4
    figure, all_axes = panel_columns(1, len(parts), across=3, width=width, height=0.9 + 0.34 * len(methods))
    figure.supxlabel(quantity, fontsize=TEXT_SIZE)
    for axes, part in zip(all_axes[0], parts, strict=False):
        # Bars keep a margin at their own ends.
        axes.use_sticky_edges = False
        found = values if part is None else values.filter(polars.col("panel") == part)
        for row, method in enumerate(methods):
            numbers = rows_of_method(found, method)["value"].cast(polars.Float64).drop_nulls().drop_nans().to_numpy()
            if method == baseline and len(numbers):
                axes.axvline(float(np.median(numbers)), color=GREY, linewidth=1.1, linestyle=(0, (4, 2)), zorder=1.5)
                axes.annotate(
                    f"median of {baseline}", (float(np.median(numbers)), 1), xycoords=("data", "axes fraction"),
                    xytext=(3, -1), textcoords="offset points", va="top", fontsize=SMALL_TEXT_SIZE, color="0.35",
                )  # fmt: skip
            _draw_box(axes, row, numbers, styles[method].colour)
        axes.set_ylim(len(methods) - 0.4, -0.9)
        axes.set_yticks(range(len(methods)), methods, fontsize=TEXT_SIZE)
        axes.tick_params(axis="x", labelbottom=True)
        axes.grid(visible=False, axis="y")
        axes.grid(axis="x", color="0.92", linewidth=0.7)
        if part is not None:
            set_panel_title(axes, str(part))
    share_x_limits(all_axes[0])
    return figure


def _draw_box(axes: Axes, row: int, numbers: np.ndarray, colour: str) -> None:
    if not len(numbers):
        axes.annotate(
            "no run",
            (0.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=SMALL_TEXT_SIZE,
            color="0.5",
        )
        return
    low, high = (
        (numbers.min(), numbers.max()) if len(numbers) < _ENOUGH_FOR_QUARTILES else np.quantile(numbers, (0.25, 0.75))
    )
    axes.barh(row, high - low, 0.56, low, color=colour, alpha=0.25, linewidth=1, edgecolor=colour)
    if len(numbers) >= _ENOUGH_FOR_QUARTILES:
        axes.hlines(row, numbers.min(), low, color=colour, linewidth=1)
        axes.hlines(row, high, numbers.max(), color=colour, linewidth=1)
    axes.vlines(np.median(numbers), row - 0.28, row + 0.28, color=colour, linewidth=2.4)
    # Points of equal value are drawn beside each other.
    shift = 0.16 * np.linspace(-1, 1, len(numbers)) if len(numbers) > 1 else np.zeros(1)
    axes.scatter(numbers, row + shift, s=14, color=colour, edgecolor="white", linewidth=0.5, zorder=3)
