"""The task gradients as a matrix: singular values, condition, similarity of norms, conflict."""

import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from equipoise.figures.blocks import block_width
from equipoise.figures.curves import draw_curves, steps_label
from equipoise.figures.layout import TEXT, headline, leftmost, legend_above, methods_of, of_method, panels
from equipoise.figures.styles import Style, method_styles

_RANKS = tuple(f"{0.15 + 0.055 * rank:.3f}" for rank in range(11))


def gradient_matrix(by_step: polars.DataFrame, by_pair: polars.DataFrame, *, block: int | None = None) -> Figure:
    """Singular values and condition number of the task gradients, similarity of their norms, and the conflict rate.

    Args:
        by_step: `step`, `singular_values`, `condition_number`, `conflict_rate`, as of `equipoise.diagnosis.by_step`.
        by_pair: `step`, `magnitude_similarity`, as of `equipoise.diagnosis.by_pair`; the mean over pairs is drawn.
        block: Steps in a block; by default about 40 blocks.

    With a column `method` in both, every method has a panel of singular values and a curve in the other three.
    """
    methods = methods_of(by_step) or [None]
    styles = method_styles(str(method or "all") for method in methods)
    # Alone, the singular values stand beside the first of the other panels; those of several methods go before them.
    columns = 2 if len(methods) == 1 else 3
    above = -(-len(methods) // columns) * columns if len(methods) > 1 else 1
    figure, every = panels(-(-(above + 3) // columns), columns, width=3.6, height=2.5, sharey="none", sharex="all")
    values, others = every.flat[: len(methods)], every.flat[above:]
    for axes in every.flat[len(methods) : above]:
        axes.set_visible(False)
    width = block_width(by_step) if block is None else block
    for axes, method in zip(values, methods, strict=True):
        axes.set_yscale("log")
        _draw_singular_values(axes, of_method(by_step, method), width)
        headline(axes, "singular values" if method is None else f"{method}: singular values")
        if leftmost(axes):
            axes.set_ylabel(r"$\sigma_k$", fontsize=TEXT)
        if axes is not values[0]:
            axes.sharey(values[0])
    keys = ["step", *(["method"] if "method" in by_pair.columns else [])]
    similar = by_pair.group_by(keys, maintain_order=True).agg(polars.col("magnitude_similarity").fill_nan(None).mean())
    condition, similarity, conflict = others[:3]
    condition.set_yscale("log")
    condition.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    for axes, frame, value, title, unit in (
        (condition, by_step, "condition_number", "condition number", r"$\sigma_1 / \sigma_T$"),
        (similarity, similar, "magnitude_similarity", "similarity of norms, mean of pairs", "1: equal norms"),
        (conflict, by_step, "conflict_rate", "pairs that conflict", "share of pairs"),
    ):
        named = frame if "method" in frame.columns else frame.with_columns(method=polars.lit("all"))
        draw_curves(axes, named, value, "method", styles, width)
        headline(axes, title)
        axes.set_ylabel(unit, fontsize=TEXT)
    for axes in (similarity, conflict):
        axes.set_ylim(-0.03, 1.03)
    figure.supxlabel(steps_label(width), fontsize=TEXT)
    if methods != [None]:
        legend_above(figure, styles, list(styles))
    return figure


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
