"""Bars of the relative change of every task."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from equipoise.figures.layout import (
    ACROSS,
    GREY,
    SMALL,
    TEXT,
    TOGETHER,
    Style,
    headline,
    method_styles,
    methods_of,
    of_method,
    panels,
    same_x,
    same_y,
    say_nothing,
    task_styles,
    tiles,
)


def over_tasks(changes: Mapping[str, float]) -> float:
    """delta_m from changes by `task.metric`: the mean over tasks of the mean over a task's metrics (P2, section 5).

    >>> over_tasks({"seg.miou": -2.0, "disparity.abs": 10.0, "disparity.rel": -6.0})
    0.0
    """
    tasks: dict[str, list[float]] = {}
    for metric, change in changes.items():
        tasks.setdefault(metric.split(".")[0], []).append(change)
    return fmean(fmean(of_task) for of_task in tasks.values())


_WIDE_APART = 6
"""Groups that get much room each; more stand closer, with their names turned."""
_ACROSS = 12
"""Groups beside each other at most; more go on below."""

_Groups = Mapping[str, Mapping[str, float]]
"""The change of every metric that there is, by method."""


def relative_change(changes: polars.DataFrame, *, metrics: Sequence[str] | None = None) -> Figure:
    """Bars of the signed relative change of every metric against single-task, a group a method, with delta_m below.

    Args:
        changes: `variant` (null where there are none; each has a panel), `method`, `metric`, `change` (percent, higher
            is better). A row without a method stands for a variant of which nothing is finished. Methods and variants
            may have other metrics than others.
        metrics: All metrics in order, so that each keeps its colour in a figure of some of them.
    """
    drawn = changes["metric"].drop_nulls().unique(maintain_order=True).to_list()
    styles = {metric: style for metric, style in task_styles([*(metrics or ()), *drawn]).items() if metric in drawn}
    variants = changes["variant"].unique(maintain_order=True).to_list() or [None]
    rows = [(variant, groups) for variant in variants for groups in _rows(changes, variant)]
    widest = max(1, *(len(groups) for _, groups in rows))
    figure, every = panels(
        len(rows),
        1,
        width=1.6 + (1.9 if widest <= _WIDE_APART else 0.9) * widest,
        height=2.9 if len(rows) == 1 else 2.5,
    )
    for axes, (variant, groups) in zip(every[:, 0], rows, strict=True):
        _draw_groups(axes, groups, styles, widest)
        if variant is not None:
            axes.set_title(variant, loc="left", fontsize=TEXT + 1)
    same_y(every[:, 0])
    figure.supylabel("change against single-task, % (up is better)", fontsize=TEXT + 1)
    if styles:
        handles = [Patch(color=style.colour, label=metric.replace(".", " ")) for metric, style in styles.items()]
        mean = Line2D([], [], color="black", linewidth=1.5, label="delta_m")
        figure.legend(handles=[*handles, mean], loc="outside right upper", frameon=False, fontsize=TEXT)
    return figure


def _rows(changes: polars.DataFrame, variant: str | None) -> Iterator[_Groups]:
    """The methods of a variant, in rows about as long as each other."""
    found = changes.filter(polars.col("variant").eq_missing(polars.lit(variant))).drop_nulls("method")
    groups = {
        str(method): dict(of.select("metric", "change").iter_rows())
        for (method,), of in found.group_by("method", maintain_order=True)
    }
    rows = max(1, -(-len(groups) // _ACROSS))
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
        axes.hlines(over_tasks(changes), place - 0.45, place + 0.45, color="black", linewidth=1.5)
    axes.axhline(0, color="0.3", linewidth=0.8)
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if widest > _WIDE_APART else {}
    names = [f"{method}\n{over_tasks(changes):+.2f} %" for method, changes in groups.items()]
    axes.set_xticks(range(len(groups)), names, fontsize=TEXT, **turned)
    axes.set_xlim(-0.6, widest - 0.25)


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


_FEW = 5
"""Seeds from which on quartiles say more than the points themselves."""


def box_plots(values: polars.DataFrame, *, quantity: str, baseline: str | None = None) -> Figure:
    """Boxes over seeds, a method a row, with the baseline's median as a dashed line (P2, figures 1, 2, 4, 5, 8).

    Every seed is a point. A box (quartiles, with whiskers to the ends) is drawn from 5 seeds on, below that a bar from
    the lowest to the highest; the median is marked in both.

    Args:
        values: `method`, `seed`, `value`, higher is better; with a column `panel`, a panel for each.
        quantity: What the values are, with their unit, such as "delta_m, %".
        baseline: The method whose median is drawn through; none for no line.
    """
    methods = [method for method in methods_of(values) if method is not None]
    styles = method_styles(methods)
    parts = values["panel"].unique(maintain_order=True).to_list() if "panel" in values.columns else [None]
    width = 5.2 if len(parts) < 2 else 3.4
    figure, every = tiles(1, len(parts), across=3, width=width, height=0.9 + 0.34 * len(methods))
    figure.supxlabel(quantity, fontsize=TEXT)
    for axes, part in zip(every[0], parts, strict=False):
        # Bars keep the margin from their own ends.
        axes.use_sticky_edges = False
        found = values if part is None else values.filter(polars.col("panel") == part)
        for row, method in enumerate(methods):
            numbers = of_method(found, method)["value"].cast(polars.Float64).drop_nulls().drop_nans().to_numpy()
            if method == baseline and len(numbers):
                axes.axvline(float(np.median(numbers)), color=GREY, linewidth=1.1, linestyle=(0, (4, 2)), zorder=1.5)
                axes.annotate(
                    f"median of {baseline}", (float(np.median(numbers)), 1), xycoords=("data", "axes fraction"),
                    xytext=(3, -1), textcoords="offset points", va="top", fontsize=SMALL, color="0.35",
                )  # fmt: skip
            _draw_box(axes, row, numbers, styles[method].colour)
        axes.set_ylim(len(methods) - 0.4, -0.9)
        axes.set_yticks(range(len(methods)), methods, fontsize=TEXT)
        axes.tick_params(axis="x", labelbottom=True)
        axes.grid(visible=False, axis="y")
        axes.grid(axis="x", color="0.92", linewidth=0.7)
        if part is not None:
            headline(axes, str(part))
    same_x(every[0])
    return figure


def _draw_box(axes: Axes, row: int, numbers: np.ndarray, colour: str) -> None:
    if not len(numbers):
        axes.annotate(
            "no run", (0.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL, color="0.5"
        )
        return
    low, high = (numbers.min(), numbers.max()) if len(numbers) < _FEW else np.quantile(numbers, (0.25, 0.75))
    axes.barh(row, high - low, 0.56, low, color=colour, alpha=0.25, linewidth=1, edgecolor=colour)
    if len(numbers) >= _FEW:
        axes.hlines(row, numbers.min(), low, color=colour, linewidth=1)
        axes.hlines(row, high, numbers.max(), color=colour, linewidth=1)
    axes.vlines(np.median(numbers), row - 0.28, row + 0.28, color=colour, linewidth=2.4)
    # Points of equal value are drawn beside each other.
    shift = 0.16 * np.linspace(-1, 1, len(numbers)) if len(numbers) > 1 else np.zeros(1)
    axes.scatter(numbers, row + shift, s=14, color=colour, edgecolor="white", linewidth=0.5, zorder=3)
