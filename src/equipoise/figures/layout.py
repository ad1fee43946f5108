"""Layout of figures: panels in rows and columns, plain axes, names beside curves, legends."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from equipoise.figures.styles import GREY, Style

TEXT_SIZE, SMALL_TEXT_SIZE = 9, 8
"""Font sizes in points."""
WIDE_PANEL, NARROW_PANEL = 5.4, 3.3
"""Widths in inches of a single panel, and of one beside others."""
MAX_COLUMNS = 4
"""The largest number of panels beside each other, in figures with any number of panels."""
MAX_METHODS_PER_PANEL = 6
"""The largest number of methods in one panel; more would hide each other."""
_MANY_ROWS = 6
"""From this number of rows on, panels are lower, so that the figure of many methods does not become too long."""


class CurveEnd(NamedTuple):
    """The end of a curve: its value there, and the name and style of its label."""

    y: float
    name: str
    style: Style


def panels(rows: int, columns: int, *, width: float = WIDE_PANEL, height: float = 2.7) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes, `[rows, columns]`. If there are many rows, they are lower.

    Every panel has limits of its own until `share_x_limits` and `share_y_limits` are called at the end. Axes shared by
    matplotlib would have equal limits at once, but their cost grows with the square of their number.

    Args:
        rows: The number of rows.
        columns: The number of columns.
        width: Width of a panel in inches.
        height: Height of a panel in inches.
    """
    lower = 1.0 if rows < _MANY_ROWS else 0.7
    figure = Figure(figsize=(width * columns + 0.6, lower * height * rows + 0.5), layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False)
    for axes in all_axes.flat:
        style_axes(axes)
    return figure, all_axes


def panel_columns(
    rows: int, count: int, *, across: int = MAX_COLUMNS, width: float | None = None, height: float = 2.7
) -> tuple[Figure, np.ndarray]:
    """Return a figure with one column of panels for each of several items, and its axes, `[rows, count]`.

    If there are more items than fit beside each other, their columns continue below. Call `share_limits` at the end.

    Args:
        rows: The number of panels of an item.
        count: The number of items, such as methods.
        across: The largest number of items beside each other.
        width: Width of a panel in inches; by default it depends on the number of columns.
        height: Height of a panel in inches.
    """
    columns = min(across, max(1, count))
    bands = -(-max(1, count) // columns)
    wide = WIDE_PANEL if columns == 1 else NARROW_PANEL
    figure, all_axes = panels(bands * rows, columns, width=width or wide, height=height)
    found = np.empty((rows, max(1, count)), dtype=object)
    for row, place in np.ndindex(found.shape):
        found[row, place] = all_axes[place // columns * rows + row, place % columns]
    for axes in set(all_axes.flat) - set(found.flat):
        axes.remove()
    hide_inner_tick_labels(figure)
    return figure, found


def hide_inner_tick_labels(figure: Figure) -> None:
    """Remove the tick labels of all panels but the leftmost ones (y) and the lowest of every column (x)."""
    places = {axes: axes.get_subplotspec() for axes in figure.axes}
    found = {axes: (spec.rowspan.start, spec.colspan.start) for axes, spec in places.items() if spec is not None}
    lowest = {column: row for row, column in sorted(found.values())}
    for axes, (row, column) in found.items():
        axes.tick_params(axis="x", which="both", labelbottom=row == lowest[column])
        axes.tick_params(axis="y", which="both", labelleft=column == 0)


def share_x_limits(all_axes: Sequence[Axes] | np.ndarray) -> None:
    """Give panels common limits of x that contain all that is drawn in them."""
    limits = [axes.get_xlim() for axes in all_axes if np.isfinite(axes.dataLim.intervalx).all()]
    for axes in all_axes if limits else ():
        axes.set_xlim(np.min(limits), np.max(limits))


def share_y_limits(all_axes: Sequence[Axes] | np.ndarray) -> None:
    """Give panels common limits of y that contain all that is drawn in them."""
    limits = [axes.get_ylim() for axes in all_axes if np.isfinite(axes.dataLim.intervaly).all()]
    for axes in all_axes if limits else ():
        axes.set_ylim(np.min(limits), np.max(limits))


def share_limits(all_axes: np.ndarray) -> None:
    """Give panels `[rows, count]` common limits of x, and of y within each row."""
    share_x_limits(all_axes.ravel())
    for row in all_axes:
        share_y_limits(row)


def is_leftmost(axes: Axes) -> bool:
    """Return whether a panel is in the first column, where the label of the y axis goes."""
    place = axes.get_subplotspec()
    return place is None or place.is_first_col()


def style_axes(axes: Axes) -> None:
    """Apply the plain style to axes: no box, light ticks and grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.6")
    axes.tick_params(which="both", labelsize=SMALL_TEXT_SIZE, color="0.6", labelcolor="0.25")
    axes.grid(axis="y", color="0.92", linewidth=0.7)
    axes.set_axisbelow(True)


def set_panel_title(axes: Axes, text: str) -> None:
    """Write a title above a panel, on the left."""
    axes.set_title(text, loc="left", fontsize=TEXT_SIZE + 1, color="0.1")


def methods_of(frame: polars.DataFrame) -> list[str | None]:
    """Return the methods of a frame in order; `[None]` if it has no column `method` or no rows."""
    found = frame["method"].unique(maintain_order=True).to_list() if "method" in frame.columns else []
    return found or [None]


def rows_of_method(frame: polars.DataFrame, method: str | None) -> polars.DataFrame:
    """Return the rows of one method; all rows if the method is none."""
    return frame if method is None else frame.filter(polars.col("method") == method)


def draw_reference(axes: Axes, y: float, name: str) -> CurveEnd:
    """Draw a dashed horizontal reference line, and return its end for `label_curve_ends`."""
    style = Style(GREY, (4, 2), "")
    axes.axhline(y, color=style.colour, linewidth=1.1, linestyle=style.line, zorder=2.5)
    return CurveEnd(y, name, style)


def label_curve_ends(axes: Axes, ends: Iterable[CurveEnd]) -> None:
    """Write the names of curves at their ends without overlaps. Call it when the limits of y are final."""
    finite = [end for end in ends if np.isfinite(end.y)]
    if not finite:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    points = axes.transData.transform([(axes.get_xlim()[1], end.y) for end in finite])
    heights = axes.transAxes.inverted().transform(points)[:, 1]
    inches = axes.get_position().height * axes.figure.get_figheight()  # type: ignore[union-attr]
    for end, height, place in zip(finite, heights, _apart(heights, 1.3 * TEXT_SIZE / 72 / inches), strict=True):
        axes.annotate(
            end.name,
            (1.0, height),
            xycoords="axes fraction",
            xytext=(1.035, place),
            textcoords="axes fraction",
            va="center",
            fontsize=TEXT_SIZE,
            color=end.style.ink,
            arrowprops={
                "arrowstyle": "-",
                "color": end.style.colour,
                "linewidth": 0.7,
                "shrinkA": 1,
                "shrinkB": 1,
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )


def _apart(heights: np.ndarray, gap: float) -> np.ndarray:
    """Return the nearest heights in the same order that are a gap apart, by the pool-adjacent-violators algorithm."""
    order = np.argsort(heights, kind="stable")
    pools: list[list[float]] = []
    for rank, height in enumerate(heights[order]):
        pools.append([height - rank * gap])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    level = np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools])
    places = np.empty(len(heights))
    places[order] = level + gap * np.arange(len(heights))
    return places


def legend_above(figure: Figure, styles: Mapping[str, Style], names: Sequence[str]) -> None:
    """Draw one legend above all panels.

    Args:
        figure: The figure.
        styles: Styles by name.
        names: The names in the legend; without any there is no legend.
    """
    if names:
        handles = [
            Line2D([], [], color=s.colour, linestyle=s.line, marker=s.mark, markersize=4, linewidth=1.8)
            for s in (styles[name] for name in names)
        ]
        # In inches: a handle with its margins, and the letters of the longest name.
        widest = 0.65 + 0.075 * max(map(len, names))
        columns = max(1, min(len(names), int(figure.get_figwidth() / widest)))
        figure.legend(handles, names, loc="outside upper left", ncols=columns, frameon=False, fontsize=TEXT_SIZE)


def mark_empty(axes: Axes) -> None:
    """Write into axes that nothing was recorded."""
    axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", va="center", color="0.5")
