"""Curves of block means with a light band for their spread."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from equipoise.figures.layout import (
    TEXT,
    TOGETHER,
    End,
    Style,
    headline,
    leftmost,
    legend_above,
    method_styles,
    methods_of,
    name_ends,
    of_method,
    panels,
    same_scales,
    say_nothing,
    task_styles,
    tiles,
)

BLOCKS = 40
"""How many blocks a curve has where nobody asks for a number of steps."""


def interval(frame: polars.DataFrame) -> int:
    """How many steps lie between two that were recorded.

    >>> interval(polars.DataFrame({"step": [10, 20, 30]}))
    10
    """
    steps = frame["step"].unique().sort()
    return max(1, round((steps[-1] - steps[0]) / (len(steps) - 1))) if len(steps) > 1 else 1


def block_width(frame: polars.DataFrame) -> int:
    """How many steps make a block: as many as give a curve of 40 points, or of every recorded step if they are few."""
    count = frame["step"].n_unique()
    return interval(frame) * (1 if count <= 1.5 * BLOCKS else math.ceil(count / BLOCKS))


def block_means(frame: polars.DataFrame, value: str, by: Sequence[str], block: int | None = None) -> polars.DataFrame:
    """Means over blocks of steps, with their spread.

    Args:
        frame: Tidy data with the columns `step`, `value` and `by`.
        value: The column to average. What is not finite does not count.
        by: The columns that tell curves apart.
        block: Steps in a block; by default see `block_width`.

    Returns:
        The columns `by`, `step` (the mean step of a block), `mean`, `low`, `high` (10th and 90th percentile over the
        steps of the block). Every curve has all blocks, with NaN where it has no value.

    >>> frame = polars.DataFrame({"step": [1, 2, 3, 4], "task": ["a"] * 4, "norm": [1.0, 3.0, 5.0, float("nan")]})
    >>> block_means(frame, "norm", ["task"], 2).select("step", "mean").rows()
    [(1.5, 2.0), (3.5, 5.0)]
    """
    if block is not None and block < 1:
        raise ValueError(f"`block` should be at least 1. Found `block = {block}`.")
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


def draw_curve(axes: Axes, curve: polars.DataFrame, name: str, style: Style) -> End:
    """Draw one curve of `x`, `mean`, `low`, `high`, broken where it has no values. Returns its end, for its name."""
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
    return End(known[-1] if len(known) else np.nan, name, style)


def draw_curves(
    axes: Axes, frame: polars.DataFrame, value: str, key: str, styles: Mapping[str, Style], block: int | None
) -> list[End]:
    """Draw a curve for everything that the column `key` tells apart, and return where they end."""
    if frame.is_empty():
        say_nothing(axes)
        return []
    found = block_means(frame, value, [key], block).rename({"step": "x"})
    return [
        draw_curve(axes, curve, str(name), styles[str(name)])
        for (name,), curve in found.group_by(key, maintain_order=True)
    ]


@dataclass
class Grid:
    """Panels with curves: a row a quantity, a column a method.

    Attributes:
        figure: All of it.
        axes: `[rows, methods]`.
        methods: What the columns are of; none for a figure of one method without a name.
        styles: Of the tasks that are drawn, in their order.
        ends: Where the curves of each panel end.
    """

    figure: Figure
    axes: np.ndarray
    methods: list[str | None]
    styles: dict[str, Style]
    ends: dict[tuple[int, int], list[End]]

    def finish(self) -> Figure:
        """Give rows one scale, and name curves where they end; in a figure of several methods a legend does."""
        same_scales(self.axes)
        if self.axes.shape[1] == 1:
            for (row, column), found in self.ends.items():
                name_ends(self.axes[row, column], found)
        else:
            named = self.styles | {end.name: end.style for found in self.ends.values() for end in found}
            legend_above(self.figure, named, list(named))
        return self.figure


def curves_by_method(
    frame: polars.DataFrame,
    rows: Sequence[tuple[str, str, str]],
    *,
    tasks: Sequence[str] | None,
    block: int | None,
    log: bool = False,
    further: int = 0,
) -> Grid:
    """Draw a grid of panels with a curve a task.

    Args:
        frame: Tidy data with `step`, `task`, the quantities, and `method` where there are several.
        rows: Of every quantity its column, its headline, and the name of its axis.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block.
        log: Whether the axes of the quantities are logarithmic.
        further: How many rows of panels to leave for other curves.
    """
    methods = methods_of(frame) or [None]
    styles = task_styles([*(tasks or ()), *frame["task"].unique(maintain_order=True)])
    drawn = {task: style for task, style in styles.items() if task in frame["task"]}
    figure, every = tiles(len(rows) + further, len(methods))
    grid = Grid(figure, every, methods, drawn, {})
    width = block_width(frame) if block is None else block
    for column, method in enumerate(methods):
        part = of_method(frame, method)
        for row, (value, title, unit) in enumerate(rows):
            axes = every[row, column]
            if log:
                axes.set_yscale("log")
                part = part.with_columns(polars.when(polars.col(value) > 0).then(value).alias(value))
            grid.ends[row, column] = draw_curves(axes, part, value, "task", styles, width)
            name_panel(grid, row, column, title, unit)
    figure.supxlabel(steps_label(frame, width), fontsize=TEXT)
    return grid


def curve_a_method(curves: polars.DataFrame) -> Grid:
    """Draw one curve a method: all in one panel, or each in its own, the others in grey behind, where they are many.

    Args:
        curves: `method`, `x`, `mean`, `low`, `high`.
    """
    methods = methods_of(curves)
    if len(methods) > TOGETHER:
        grid = Grid(*tiles(1, len(methods)), methods, {}, {})
        draw_apart(dict(zip(map(str, methods), grid.axes[0], strict=True)), curves)
        return grid
    styles = method_styles(curves["method"])
    figure, every = panels(1, 1, height=3.2)
    by_method = curves.group_by("method", maintain_order=True)
    ends = [draw_curve(every[0, 0], curve, str(name), styles[str(name)]) for (name,), curve in by_method]
    if not ends:
        say_nothing(every[0, 0])
    return Grid(figure, every, [None], {}, {(0, 0): ends})


def draw_apart(places: Mapping[str, Axes], curves: polars.DataFrame) -> None:
    """Draw the curve of every method into a panel of its own, with those of the others in grey behind.

    Args:
        places: The panels by method.
        curves: `method`, `x`, `mean`, `low`, `high`.
    """
    styles = method_styles(places)
    by_method = curves.filter(polars.col("mean").is_finite()).group_by("method", maintain_order=True)
    behind = [curve.select("x", "mean").to_numpy() for _, curve in by_method]
    for method, axes in places.items():
        axes.add_collection(LineCollection(behind, colors="0.86", linewidths=0.7))
        draw_curve(axes, of_method(curves, method), method, styles[method])


def name_panel(grid: Grid, row: int, column: int, title: str, unit: str) -> None:
    """Say what a panel shows: above it, or beside its row where methods stand above the columns."""
    axes, method = grid.axes[row, column], grid.methods[column]
    if method is None:
        headline(axes, title)
        axes.set_ylabel(unit, fontsize=TEXT)
        return
    if row == 0:
        headline(axes, method)
    if leftmost(axes):
        # A line is no longer than a low panel is high.
        axes.set_ylabel(f"{fill(title, 20)}\n{unit}", fontsize=TEXT)


def steps_label(frame: polars.DataFrame, width: int, *, bands: bool = True) -> str:
    """The name of an axis of steps, which says of how many recorded ones a point is the mean.

    >>> steps_label(polars.DataFrame({"step": [10, 20, 30, 40]}), 20, bands=False)
    'training step (means of 2 recorded steps)'
    """
    every = interval(frame)
    if width > every:
        spread = "; bands: 10th to 90th percentile" if bands else ""
        return f"training step (means of {round(width / every, 1):g} recorded steps{spread})"
    return "training step" if every == 1 else f"training step (recorded every {every} steps)"


def _marked(mean: np.ndarray) -> list[int]:
    """Which points bear a mark: some along the curve, and those that no line joins to a neighbour."""
    finite = np.isfinite(mean)
    padded = np.concatenate([[False], finite, [False]])
    alone = finite & ~padded[:-2] & ~padded[2:]
    alone[:: max(1, len(mean) // 7)] = True
    return np.flatnonzero(alone & finite).tolist()
