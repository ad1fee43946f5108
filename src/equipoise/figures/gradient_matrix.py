"""The task gradients as a matrix: singular values, condition, similarity of norms, conflict."""

import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from equipoise.figures.blocks import block_means, block_width
from equipoise.figures.curves import Grid, draw_apart, draw_curves, name_panel, steps_label
from equipoise.figures.layout import TEXT, methods_of, of_method, tiles
from equipoise.figures.styles import Style

_RANKS = tuple(f"{0.15 + 0.055 * rank:.3f}" for rank in range(11))


def gradient_matrix(by_step: polars.DataFrame, by_pair: polars.DataFrame, *, block: int | None = None) -> Figure:
    """Singular values and condition number of the task gradients, similarity of their norms, and the conflict rate.

    Args:
        by_step: `step`, `singular_values`, `condition_number`, `conflict_rate`, as of `equipoise.diagnosis.by_step`.
        by_pair: `step`, `magnitude_similarity`, as of `equipoise.diagnosis.by_pair`; the mean over pairs is drawn.
        block: Steps in a block; by default about 40 blocks.

    With a column `method` in both, a column of panels for each; below its singular values the others' curves in grey.
    """
    methods = methods_of(by_step) or [None]
    grid = Grid(*tiles(4, len(methods), height=2.4), methods, {}, {})
    width = block_width(by_step) if block is None else block
    for column, method in enumerate(methods):
        grid.axes[0, column].set_yscale("log")
        _draw_singular_values(grid.axes[0, column], of_method(by_step, method), width)
        name_panel(grid, 0, column, "singular values", r"$\sigma_k$")
    keys = ["step", *(["method"] if "method" in by_pair.columns else [])]
    similar = by_pair.group_by(keys, maintain_order=True).agg(polars.col("magnitude_similarity").fill_nan(None).mean())
    # Before anything is drawn: limits that are made for a linear axis, as where nothing is known, may not be positive.
    for axes in grid.axes[1]:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(LogFormatter())
    _draw_row(grid, 1, by_step, "condition_number", width, "condition number", r"$\sigma_1 / \sigma_T$")
    _draw_row(grid, 2, similar, "magnitude_similarity", width, "similarity of norms, mean of pairs", "1: equal norms")
    _draw_row(grid, 3, by_step, "conflict_rate", width, "pairs that conflict", "share of pairs")
    for axes in grid.axes[2:].flat:
        axes.set_ylim(-0.03, 1.03)
    grid.figure.supxlabel(steps_label(by_step, width), fontsize=TEXT)
    return grid.finish()


def _draw_row(grid: Grid, row: int, frame: polars.DataFrame, value: str, width: int, title: str, unit: str) -> None:
    named = frame if "method" in frame.columns else frame.with_columns(method=polars.lit("all"))
    places = dict(zip((method or "all" for method in grid.methods), grid.axes[row], strict=True))
    draw_apart(places, block_means(named, value, ["method"], width).rename({"step": "x"}))
    for column in range(len(places)):
        name_panel(grid, row, column, title, unit)


def _draw_singular_values(axes: Axes, by_step: polars.DataFrame, width: int) -> None:
    long = by_step.select(
        "step", value="singular_values", rank=polars.int_ranges(polars.col("singular_values").list.len())
    ).explode("value", "rank")
    long = long.with_columns(
        polars.col("rank").cast(polars.String), value=polars.when(polars.col("value") > 0).then("value")
    )
    names = long["rank"].unique(maintain_order=True).to_list()
    shades = {str(name): Style(_RANKS[int(name) % len(_RANKS)], (), "o") for name in names if name is not None}
    draw_curves(axes, long, "value", "rank", shades, width)
