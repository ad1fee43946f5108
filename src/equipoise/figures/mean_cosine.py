"""Figures 3a and 7 of paper two, with the reference that they lack."""

import polars
from matplotlib.figure import Figure

from equipoise.figures.blocks import BLOCKS
from equipoise.figures.curves import draw_curves
from equipoise.figures.layout import TEXT, End, headline, methods_of, name_ends, of_method, panels
from equipoise.figures.styles import GREY, Style, method_styles


def mean_cosine(by_step: polars.DataFrame, *, percent: float | None = None) -> Figure:
    """Mean cosine of the task gradients with their mean, over training (P2, figures 3a and 7).

    A dashed line stands at 1/sqrt(T), what orthogonal gradients of equal norms have, for every number of tasks T that
    there is: curves of networks with other numbers of tasks cannot be compared without it.

    Args:
        by_step: `step`, `cosine_with_mean`, `orthogonal`, as of `equipoise.diagnosis.by_step`; with a column `method`
            (a method, a dataset or a network), a curve for each.
        percent: Percent of training in a block; by default a curve of 40 blocks, or of every step if they are few.
    """
    methods = methods_of(by_step) or [None]
    styles = method_styles(str(method or "mean of tasks") for method in methods)
    figure, every = panels(1, 1, height=3.2)
    axes = every[0, 0]
    ends: list[End] = []
    levels: dict[float, float] = {}
    for name, method in zip(styles, methods, strict=True):
        of = of_method(by_step, method)
        if of.is_empty():
            continue
        last, count = max(int(of["step"].to_numpy().max()), 1), len(of)
        # In hundredths of a percent, since blocks are whole numbers of steps.
        scaled = of.with_columns(step=(polars.col("step") * 10_000 / last).cast(polars.Int64), method=polars.lit(name))
        block = max(1, round(100 * percent)) if percent else 1 if count <= 1.5 * BLOCKS else 10_000 // BLOCKS
        ends += draw_curves(axes, scaled, "cosine_with_mean", "method", styles, block)
        level = float(of["orthogonal"].to_numpy().mean())
        levels[round(level, 6)] = level
    for level in levels.values():
        axes.axhline(level, color=GREY, linewidth=1.1, linestyle=(0, (4, 2)), zorder=1.5)
        ends.append(End(level, rf"$1/\sqrt{{{round(level**-2)}}}$: orthogonal", Style(GREY, (4, 2), "")))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 100:g} %")
    axes.set_xlabel("training done", fontsize=TEXT)
    axes.set_ylabel(r"mean of $\cos(g_i,\ \sum g)$", fontsize=TEXT)
    headline(axes, "mean cosine of task gradients with their mean")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0), max(high, 1.0))
    name_ends(axes, ends)
    return figure
