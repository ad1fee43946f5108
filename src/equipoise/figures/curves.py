"""Curves over training: means of blocks of steps, with a light band for their spread."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from equipoise._core.errors import require
from equipoise.figures.layout import (
    MAX_METHODS_PER_PANEL,
    TEXT_SIZE,
    CurveEnd,
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
)
from equipoise.figures.styles import Style, method_styles, task_styles

BLOCKS = 40
"""The number of blocks of a curve, unless a number of steps per block is given."""


def recording_interval(frame: polars.DataFrame) -> int:
    """Return the mean number of steps between two recorded ones.

    Example:
        >>> recording_interval(polars.DataFrame({"step": [10, 20, 30]}))
        10
    """
    steps = frame["step"].unique().sort()
    return max(1, round((steps[-1] - steps[0]) / (len(steps) - 1))) if len(steps) > 1 else 1


def block_width(frame: polars.DataFrame) -> int:
    """Return the number of steps in a block: it gives 40 points, or all recorded steps if they are few."""
    count = frame["step"].n_unique()
    return recording_interval(frame) * (1 if count <= 1.5 * BLOCKS else math.ceil(count / BLOCKS))


def block_means(frame: polars.DataFrame, value: str, by: Sequence[str], block: int | None = None) -> polars.DataFrame:
    """Return means over blocks of steps, with their spread.

    Args:
        frame: Tidy data with the columns `step`, `value` and `by`.
        value: The column to average. Values that are not finite are left out.
        by: The columns that distinguish curves.
        block: The number of steps in a block; `block_width` if not given.

    Returns:
        The columns `by`, `step` (the mean step of a block), `mean`, `low`, `high` (10th and 90th percentile over the
        steps of the block). Every curve has all blocks, with NaN in those without a value.

    Raises:
        ValueError: `block` is below 1.

    Example:
        >>> frame = polars.DataFrame({"step": [1, 2, 3, 4], "task": ["a"] * 4, "norm": [1.0, 3.0, 5.0, float("nan")]})
        >>> block_means(frame, "norm", ["task"], 2).select("step", "mean").rows()
        [(1.5, 2.0), (3.5, 5.0)]
    """
    require(block is None or block >= 1, "block", block, "be at least 1")
    width = block_width(frame) if block is None else block
    place = (polars.col("step") - polars.col("step").min()) // width
    numbered = frame.with_columns(_block=place)
    blocks = numbered.group_by("_block").agg(polars.col("step").unique().mean()).sort("_block")
    finite = polars.col(value).cast(polars.Float64)
    finite = polars.when(finite.is_finite()).then(finite)
    found = numbered.group_by([*by, "_block"]).agg(
        mean=finite.mean(), low=finite.quantile(0.1, "linear"), high=finite.quantile(0.9, "linear")
    )
    curves = frame.select(by).unique(maintain_order=True).with_row_index("_curve")
    whole = curves.join(blocks, how="cross").join(found, on=[*by, "_block"], how="left").sort("_curve", "_block")
    return whole.select(*by, "step", polars.col("mean", "low", "high").fill_null(math.nan))


def draw_curve(axes: Axes, curve: polars.DataFrame, name: str, style: Style) -> CurveEnd:
    """Draw one curve of `x`, `mean`, `low`, `high`, with gaps where it has no values, and return its end."""
    x, mean, low, high = curve.select("x", "mean", "low", "high").to_numpy().T
    axes.fill_between(x, low, high, color=style.colour, alpha=0.13, linewidth=0)
    axes.plot(
        x,
        mean,
        color=style.colour,
        linestyle=style.line,
        linewidth=1.8,
        marker=style.mark,
        markersize=4,
        markevery=_marked(mean),
        label=name,
    )
    known = mean[np.isfinite(mean)]
    return CurveEnd(known[-1] if len(known) else np.nan, name, style)


def _marked(mean: np.ndarray) -> list[int]:
    """Return which points get a mark: some along the curve, and those without a line to a neighbour."""
    finite = np.isfinite(mean)
    padded = np.concatenate([[False], finite, [False]])
    alone = finite & ~padded[:-2] & ~padded[2:]
    alone[:: max(1, len(mean) // 7)] = True
    return np.flatnonzero(alone & finite).tolist()


def draw_curves(
    axes: Axes, frame: polars.DataFrame, value: str, key: str, styles: Mapping[str, Style], block: int | None
) -> list[CurveEnd]:
    """Draw a curve for each value of the column `key`, and return their ends.

    Args:
        axes: The panel.
        frame: Tidy data with the columns `step`, `value` and `key`.
        value: The column to draw.
        key: The column that distinguishes curves.
        styles: The styles of the curves by the values of `key`.
        block: The number of steps in a block; `block_width` if not given.
    """
    if frame.is_empty():
        mark_empty(axes)
        return []
    found = block_means(frame, value, [key], block).rename({"step": "x"})
    return [
        draw_curve(axes, curve, str(name), styles[str(name)])
        for (name,), curve in found.group_by(key, maintain_order=True)
    ]


@dataclass
class CurveGrid:
    """A figure of curves with a row of panels for each quantity and a column for each method.

    Attributes:
        figure: The figure.
        axes: The panels, `[rows, methods]`.
        methods: The methods of the columns; `[None]` in a figure of one method without a name.
        styles: Styles of the tasks that are drawn, in order.
        ends: The ends of the curves of each panel, by row and column.
    """

    figure: Figure
    axes: np.ndarray
    methods: list[str | None]
    styles: dict[str, Style]
    ends: dict[tuple[int, int], list[CurveEnd]]

    def finish(self) -> Figure:
        """Share the limits of the panels and name the curves: at their ends, or with several methods in a legend."""
        share_limits(self.axes)
        if self.axes.shape[1] == 1:
            for (row, column), found in self.ends.items():
                label_curve_ends(self.axes[row, column], found)
        else:
            named = self.styles | {end.name: end.style for found in self.ends.values() for end in found}
            legend_above(self.figure, named, list(named))
        return self.figure


def draw_task_curves(
    frame: polars.DataFrame,
    rows: Sequence[tuple[str, str, str]],
    *,
    tasks: Sequence[str] | None,
    block: int | None,
    log: bool = False,
    extra_rows: int = 0,
) -> CurveGrid:
    """Draw panels with a curve for each task: a row for each quantity, a column for each method.

    Args:
        frame: Tidy data with `step`, `task`, the quantities, and `method` if there are several.
        rows: For each quantity its column, its title, and the label of its axis.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: The number of steps in a block; `block_width` if not given.
        log: Whether the axes of the quantities are logarithmic.
        extra_rows: The number of rows of panels to leave empty for other curves.
    """
    methods = methods_of(frame)
    styles = task_styles([*(tasks or ()), *frame["task"].unique(maintain_order=True)])
    drawn = {task: style for task, style in styles.items() if task in frame["task"]}
    figure, all_axes = panel_columns(len(rows) + extra_rows, len(methods))
    grid = CurveGrid(figure, all_axes, methods, drawn, {})
    width = block_width(frame) if block is None else block
    for column, method in enumerate(methods):
        part = rows_of_method(frame, method)
        for row, (value, title, unit) in enumerate(rows):
            axes = all_axes[row, column]
            if log:
                axes.set_yscale("log")
                part = part.with_columns(polars.when(polars.col(value) > 0).then(value).alias(value))
            grid.ends[row, column] = draw_curves(axes, part, value, "task", styles, width)
            label_panel(grid, row, column, title, unit)
    figure.supxlabel(steps_label(frame, width), fontsize=TEXT_SIZE)
    return grid


def draw_method_curves(curves: polars.DataFrame) -> CurveGrid:
    """Draw one curve for each method: all in one panel; if they are many, each in its own before the others in grey.

    Args:
        curves: `method`, `x`, `mean`, `low`, `high`.
    """
    methods = methods_of(curves)
    if len(methods) > MAX_METHODS_PER_PANEL:
        grid = CurveGrid(*panel_columns(1, len(methods)), methods, {}, {})
        draw_method_panels(dict(zip(map(str, methods), grid.axes[0], strict=True)), curves)
        return grid
    styles = method_styles(curves["method"])
    figure, all_axes = panels(1, 1, height=3.2)
    by_method = curves.group_by("method", maintain_order=True)
    ends = [draw_curve(all_axes[0, 0], curve, str(name), styles[str(name)]) for (name,), curve in by_method]
    if not ends:
        mark_empty(all_axes[0, 0])
    return CurveGrid(figure, all_axes, [None], {}, {(0, 0): ends})


def draw_method_panels(places: Mapping[str, Axes], curves: polars.DataFrame) -> None:
    """Draw the curve of every method into a panel of its own, with the curves of the others in grey behind it.

    Args:
        places: The panels by method.
        curves: `method`, `x`, `mean`, `low`, `high`.
    """
    styles = method_styles(places)
    by_method = curves.filter(polars.col("mean").is_finite()).group_by("method", maintain_order=True)
    behind = [curve.select("x", "mean").to_numpy() for _, curve in by_method]
    for method, axes in places.items():
        axes.add_collection(LineCollection(behind, colors="0.86", linewidths=0.7))
        draw_curve(axes, rows_of_method(curves, method), method, styles[method])


def label_panel(grid: CurveGrid, row: int, column: int, title: str, unit: str) -> None:
    """Label a panel: above it; with several methods, beside its row, and the method above the column."""
    axes, method = grid.axes[row, column], grid.methods[column]
    if method is None:
        set_panel_title(axes, title)
        axes.set_ylabel(unit, fontsize=TEXT_SIZE)
        return
    if row == 0:
        set_panel_title(axes, method)
    if is_leftmost(axes):
        # Short lines, so that the text is no longer than a low panel is high.
        axes.set_ylabel(f"{fill(title, 20)}\n{unit}", fontsize=TEXT_SIZE)


def steps_label(frame: polars.DataFrame, width: int, *, bands: bool = True) -> str:
    """Return the label of an axis of steps. It tells how many recorded steps a point averages.

    Args:
        frame: The data that is drawn, with the column `step`.
        width: The number of steps in a block.
        bands: Whether the curves have bands.

    Example:
        >>> steps_label(polars.DataFrame({"step": [10, 20, 30, 40]}), 20, bands=False)
        'training step (means of 2 recorded steps)'
    """
    interval = recording_interval(frame)
    if width > interval:
        spread = "; bands: 10th to 90th percentile" if bands else ""
        return f"training step (means of {round(width / interval, 1):g} recorded steps{spread})"
    return "training step" if interval == 1 else f"training step (recorded every {interval} steps)"
