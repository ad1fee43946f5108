"""Figures 1, 2, 4, 5 and 8 of paper two."""

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.figures.layout import SMALL, TEXT, headline, methods_of, of_method, same_x, tiles
from equipoise.figures.styles import GREY, method_styles

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
            _draw(axes, row, numbers, styles[method].colour)
        axes.set_ylim(len(methods) - 0.4, -0.9)
        axes.set_yticks(range(len(methods)), methods, fontsize=TEXT)
        axes.tick_params(axis="x", labelbottom=True)
        axes.grid(visible=False, axis="y")
        axes.grid(axis="x", color="0.92", linewidth=0.7)
        if part is not None:
            headline(axes, str(part))
    same_x(every[0])
    return figure


def _draw(axes: Axes, row: int, numbers: np.ndarray, colour: str) -> None:
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
