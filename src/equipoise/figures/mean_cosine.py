"""Figures 3a and 7 of paper two, with the reference that they lack."""

import polars
from matplotlib.figure import Figure

from equipoise.figures.blocks import BLOCKS, block_means
from equipoise.figures.curves import curve_a_method, name_panel
from equipoise.figures.layout import TEXT, reference


def mean_cosine(by_step: polars.DataFrame, *, percent: float | None = None) -> Figure:
    """Mean cosine of the task gradients with their mean, over training (P2, figures 3a and 7).

    A dashed line stands at 1/sqrt(T), what orthogonal gradients of equal norms have, for every number of tasks T that
    there is: curves of networks with other numbers of tasks cannot be compared without it.

    Args:
        by_step: `step`, `cosine_with_mean`, `orthogonal`, as of `equipoise.diagnosis.by_step`; with a column `method`
            (a method, a dataset or a network), a curve for each; where they are many, in a panel of its own.
        percent: Percent of training in a block; by default a curve of 40 blocks, or of every step if they are few.
    """
    named = by_step if "method" in by_step.columns else by_step.with_columns(method=polars.lit("mean of tasks"))
    by_method = named.group_by("method", maintain_order=True)
    none = dict.fromkeys(("x", "mean", "low", "high"), polars.Float64)
    curves = [polars.DataFrame(schema={"method": polars.String} | none), *(_curve(of, percent) for _, of in by_method)]
    grid = curve_a_method(polars.concat(curves))
    levels = by_method.agg(polars.col("orthogonal").mean().round(6))["orthogonal"]
    for column, axes in enumerate(grid.axes[0]):
        ends = grid.ends.setdefault((0, column), [])
        for level in levels.unique(maintain_order=True):
            ends.append(reference(axes, level, rf"$1/\sqrt{{{round(level**-2)}}}$: orthogonal"))
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0), max(high, 1.0))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 100:g} %")
        name_panel(grid, 0, column, "mean cosine of task gradients with their mean", r"mean of $\cos(g_i,\ \sum g)$")
    grid.figure.supxlabel("training done", fontsize=TEXT)
    return grid.finish()


def _curve(by_step: polars.DataFrame, percent: float | None) -> polars.DataFrame:
    """The curve of one method over training, in hundredths of a percent since blocks are whole numbers of steps."""
    last = polars.max_horizontal(polars.col("step").max(), 1)
    scaled = by_step.with_columns(step=(polars.col("step") * 10_000 / last).cast(polars.Int64))
    few = len(by_step) <= 1.5 * BLOCKS
    block = max(1, round(100 * percent)) if percent else 1 if few else 10_000 // BLOCKS
    return block_means(scaled, "cosine_with_mean", ["method"], block).rename({"step": "x"})
