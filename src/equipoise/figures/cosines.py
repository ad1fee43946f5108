"""Figures of the angles between gradients: cosines with the update, with the mean, and between tasks."""

import math
from collections.abc import Callable, Sequence

import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from equipoise.figures.curves import (
    BLOCKS,
    CurveGrid,
    block_means,
    block_width,
    draw_curves,
    draw_method_curves,
    draw_method_panels,
    draw_task_curves,
    label_panel,
    steps_label,
)
from equipoise.figures.layout import (
    NARROW_PANEL,
    TEXT_SIZE,
    CurveEnd,
    draw_reference,
    hide_inner_tick_labels,
    legend_above,
    mark_empty,
    methods_of,
    panel_columns,
    panels,
    rows_of_method,
    set_panel_title,
    share_x_limits,
    share_y_limits,
)
from equipoise.figures.styles import Style, task_styles

_FACTOR_STYLES = {
    "balance": Style("0.15", (), "o"),
    "alignment": Style("0.5", (4, 1.5), "s"),
}
"""Styles of the two factors of the mean cosine."""
_RANK_GREYS = tuple(f"{0.15 + 0.055 * rank:.3f}" for rank in range(11))
"""Greys of the singular values, from dark (the largest) to light."""


def cosine_split(by_task: polars.DataFrame) -> polars.DataFrame:
    """Split the mean cosine of the tasks' contributions with the update into norms and angles.

    With the norms a_i = w_i |g_i| of T contributions, mean_i cos(g_i, u) = 1/sqrt(T) * balance * alignment, where

    - `balance` = |a|_1 / (sqrt(T) |a|_2): 1 for equal norms, down to 1/sqrt(T) if all but one are zero;
    - `alignment` is the remaining factor: 1 for orthogonal contributions, above 1 if tasks agree, below if they
      conflict.

    Args:
        by_task: `step`, `task`, `weighted_norm`, `cosine_with_update`, and `method` if there are several.

    Returns:
        `step`, `mean_cosine`, `orthogonal` (1/sqrt(T)), `balance`, `alignment`, and `method` if there are several. A
        step in which the gradient of a task is zero is left out.
    """
    keys = [key for key in ("method", "step") if key in by_task.columns]
    norms, cosines = polars.col("weighted_norm"), polars.col("cosine_with_update")
    return (
        by_task.group_by(keys, maintain_order=True)
        .agg(
            mean_cosine=cosines.mean(),
            orthogonal=1 / polars.len().sqrt(),
            balance=norms.abs().sum() / (polars.len().sqrt() * norms.pow(2).sum().sqrt()),
        )
        .filter(polars.col("mean_cosine").is_finite() & polars.col("balance").is_finite())
        .with_columns(alignment=polars.col("mean_cosine") / (polars.col("orthogonal") * polars.col("balance")))
    )


def cosines_with_update(
    by_task: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Draw the cosine of each task's contribution with the update, over training.

    Guo et al. (2025), figures 7, 9, 14. T orthogonal contributions of equal norms have the cosine 1/sqrt(T), whatever
    the network learns; a dashed line is drawn there. Below, the mean over tasks is split into this reference, the
    balance of norms and the alignment of directions, see `cosine_split`.

    Args:
        by_task: `step`, `task`, `weighted_norm`, `cosine_with_update`, as from `equipoise.diagnosis.by_task`; with a
            column `method`, a column of panels for each method.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: The number of steps in a block; by default there are about 40 blocks.
    """
    width = block_width(by_task) if block is None else block
    rows = (("cosine_with_update", "cosine of each task with the update", r"$\cos(g_i,\,u)$"),)
    grid = draw_task_curves(by_task, rows, tasks=tasks, block=width, extra_rows=1)
    split = cosine_split(by_task)
    for column, method in enumerate(grid.methods):
        grid.ends[0, column] += draw_orthogonal(grid.axes[0, column], rows_of_method(by_task, method))
        axes = grid.axes[1, column]
        grid.ends[1, column] = _draw_split(axes, rows_of_method(split, method), width)
        label_panel(grid, 1, column, "factors of the mean cosine", "factor")
    return grid.finish()


def draw_orthogonal(axes: Axes, by_task: polars.DataFrame) -> list[CurveEnd]:
    """Draw a line at 1/sqrt(T), the cosine of orthogonal contributions; T is the largest number of tasks in a step."""
    if by_task.is_empty():
        return []
    count = by_task.group_by("step").len()["len"].max()
    assert isinstance(count, int)
    end = draw_reference(axes, count**-0.5, rf"$1/\sqrt{{{count}}}$: orthogonal")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.0), max(high, 1.02))
    return [end]


def _draw_split(axes: Axes, split: polars.DataFrame, width: int) -> list[CurveEnd]:
    long = split.unpivot(list(_FACTOR_STYLES), index="step", variable_name="part", value_name="factor")
    ends = draw_curves(axes, long, "factor", "part", _FACTOR_STYLES, width)
    names = {"balance": "balance of norms", "alignment": "alignment"}
    return [
        *(CurveEnd(end.y, names[end.name], end.style) for end in ends),
        draw_reference(axes, 1, "1: no effect"),
    ]


def mean_cosine(by_step: polars.DataFrame, *, percent: float | None = None) -> Figure:
    """Draw the mean cosine of the task gradients with their mean, over training.

    Gama & Grassi (2025), figures 3a and 7. A dashed line is drawn at 1/sqrt(T), the value for orthogonal gradients of
    equal norms, for every number of tasks T in the data. Without it, curves of networks with different numbers of tasks
    cannot be compared.

    Args:
        by_step: `step`, `cosine_with_mean`, `orthogonal`, as from `equipoise.diagnosis.by_step`; with a column `method`
            (a method, a dataset or a network), a curve for each; if they are many, each in a panel of its own.
        percent: Percent of training in a block; by default a curve has 40 blocks, or every step if they are few.
    """
    named = by_step if "method" in by_step.columns else by_step.with_columns(method=polars.lit("mean of tasks"))
    by_method = named.group_by("method", maintain_order=True)
    none = dict.fromkeys(("x", "mean", "low", "high"), polars.Float64)
    curves = [
        polars.DataFrame(schema={"method": polars.String} | none),
        *(_curve_over_training(of, percent) for _, of in by_method),
    ]
    grid = draw_method_curves(polars.concat(curves))
    levels = by_method.agg(polars.col("orthogonal").mean().round(6))["orthogonal"]
    for column, axes in enumerate(grid.axes[0]):
        ends = grid.ends.setdefault((0, column), [])
        for level in levels.unique(maintain_order=True):
            ends.append(draw_reference(axes, level, rf"$1/\sqrt{{{round(level**-2)}}}$: orthogonal"))
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0), max(high, 1.0))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 100:g} %")
        label_panel(grid, 0, column, "mean cosine of task gradients with their mean", r"mean of $\cos(g_i,\ \sum g)$")
    grid.figure.supxlabel("training progress", fontsize=TEXT_SIZE)
    return grid.finish()


def _curve_over_training(by_step: polars.DataFrame, percent: float | None) -> polars.DataFrame:
    """Return the curve of one method. Steps become hundredths of a percent of training: blocks must be integers."""
    last = polars.max_horizontal(polars.col("step").max(), 1)
    scaled = by_step.with_columns(step=(polars.col("step") * 10_000 / last).cast(polars.Int64))
    few = len(by_step) <= 1.5 * BLOCKS
    block = max(1, round(100 * percent)) if percent else 1 if few else 10_000 // BLOCKS
    return block_means(scaled, "cosine_with_mean", ["method"], block).rename({"step": "x"})


def _draw_pairs(
    by_pair: polars.DataFrame,
    value: str,
    unit: str,
    *,
    tasks: Sequence[str] | None,
    block: int | None,
    prepare: Callable[[Axes], None],
) -> Figure:
    """Draw a panel for each task, with a curve for each other task in its colour. Each method has rows of its own.

    Each pair is drawn twice, once in the panel of either task. So a colour stands for a task here, too, and the panel
    of a task shows all the tasks that it conflicts with.

    Args:
        by_pair: `step`, `first`, `second`, `value`, and `method` if there are several.
        value: The column to draw.
        unit: The label of its axis.
        tasks: All tasks in order.
        block: The number of steps in a block.
        prepare: Called with every panel before anything is drawn.
    """
    turned = by_pair.rename({"first": "second", "second": "first"}).select(by_pair.columns)
    both = polars.concat([by_pair, turned])
    drawn = both["first"].unique(maintain_order=True).to_list()
    drawn = [*(task for task in tasks or () if task in drawn), *(task for task in drawn if task not in (tasks or ()))]
    styles = task_styles([*(tasks or ()), *drawn])
    methods = methods_of(by_pair)
    across = min(4 if len(methods) == 1 else 6, max(1, len(drawn)))
    down = max(1, -(-len(drawn) // across))
    figure, all_axes = panels(down * len(methods), across, width=NARROW_PANEL - 0.4, height=2.5)
    width = block_width(by_pair) if block is None else block
    for method, row in zip(methods, all_axes.reshape(len(methods), -1), strict=True):
        found = rows_of_method(both, method)
        for axes, task in zip(row, drawn, strict=False):
            prepare(axes)
            draw_curves(axes, found.filter(polars.col("first") == task), value, "second", styles, width)
            set_panel_title(axes, f"{task} with" if method is None else f"{method}: {task} with")
        # Every method begins a row; the rest of its last row stays empty.
        for axes in row[max(1, len(drawn)) :]:
            axes.remove()
    if not drawn:
        mark_empty(all_axes[0, 0])
    hide_inner_tick_labels(figure)
    share_x_limits(figure.axes)
    share_y_limits(figure.axes)
    for axes in all_axes[:, 0]:
        axes.set_ylabel(unit, fontsize=TEXT_SIZE)
    figure.supxlabel(steps_label(by_pair, width), fontsize=TEXT_SIZE)
    legend_above(figure, styles, drawn)
    return figure


def pairwise_cosines(
    by_pair: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Draw the cosine between the gradients of every two tasks, over training (Guo et al. (2025), figures 10, 11).

    Args:
        by_pair: `step`, `first`, `second`, `cosine`, as from `equipoise.diagnosis.by_pair`; with a column `method`,
            rows of panels for each method.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: The number of steps in a block; by default there are about 40 blocks.
    """
    return _draw_pairs(by_pair, "cosine", r"$\cos(g_i,\,g_j)$", tasks=tasks, block=block, prepare=_draw_zero_line)


def _draw_zero_line(axes: Axes) -> None:
    axes.axhline(0, color="0.3", linewidth=0.8)


def pairwise_dots(by_pair: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None) -> Figure:
    """Draw the dot product of the gradients of every two tasks, over training (Guo et al. (2025), figures 12, 13).

    The axis is logarithmic on both sides of zero, and linear below the power of ten under the median of all points.

    Args:
        by_pair: `step`, `first`, `second`, `dot`, as from `equipoise.diagnosis.by_pair`; with a column `method`, rows
            of panels for each method.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: The number of steps in a block; by default there are about 40 blocks.
    """
    linear = _linear_below(by_pair, block)

    def prepare(axes: Axes) -> None:
        axes.set_yscale("symlog", linthresh=linear)
        axes.axhline(0, color="0.3", linewidth=0.8)

    return _draw_pairs(by_pair, "dot", r"$g_i \cdot g_j$", tasks=tasks, block=block, prepare=prepare)


def _linear_below(by_pair: polars.DataFrame, block: int | None) -> float:
    keys = [key for key in ("method", "first", "second") if key in by_pair.columns]
    sizes = block_means(by_pair, "dot", keys, block)["mean"].abs() if not by_pair.is_empty() else by_pair["dot"]
    found = sizes.filter(sizes.is_finite() & (sizes > 0)).median()
    # A power of ten, for round ticks.
    return 10.0 ** math.floor(math.log10(found)) if isinstance(found, float) else 1.0


def gradient_matrix(by_step: polars.DataFrame, by_pair: polars.DataFrame, *, block: int | None = None) -> Figure:
    """Draw singular values and condition number of the task gradients, similarity of their norms, and conflict rate.

    If both frames have a column `method`, there is a column of panels for each method. All but the singular values are
    drawn before the curves of the other methods in grey.

    Args:
        by_step: `step`, `singular_values`, `condition_number`, `conflict_rate`, as from `equipoise.diagnosis.by_step`.
        by_pair: `step`, `magnitude_similarity`, as from `equipoise.diagnosis.by_pair`; the mean over pairs is drawn.
        block: The number of steps in a block; by default there are about 40 blocks.
    """
    methods = methods_of(by_step)
    grid = CurveGrid(*panel_columns(4, len(methods), height=2.4), methods, {}, {})
    width = block_width(by_step) if block is None else block
    for column, method in enumerate(methods):
        grid.axes[0, column].set_yscale("log")
        _draw_singular_values(grid.axes[0, column], rows_of_method(by_step, method), width)
        label_panel(grid, 0, column, "singular values", r"$\sigma_k$")
    keys = ["step", *(["method"] if "method" in by_pair.columns else [])]
    similar = by_pair.group_by(keys, maintain_order=True).agg(polars.col("magnitude_similarity").fill_nan(None).mean())
    # Set before anything is drawn: the limits of an empty linear axis may not be positive.
    for axes in grid.axes[1]:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(LogFormatter())
    _draw_row(grid, 1, by_step, "condition_number", width, "condition number", r"$\sigma_1 / \sigma_T$")
    _draw_row(grid, 2, similar, "magnitude_similarity", width, "similarity of norms, mean of pairs", "1: equal norms")
    _draw_row(grid, 3, by_step, "conflict_rate", width, "pairs that conflict", "share of pairs")
    for axes in grid.axes[2:].flat:
        axes.set_ylim(-0.03, 1.03)
    grid.figure.supxlabel(steps_label(by_step, width), fontsize=TEXT_SIZE)
    return grid.finish()


def _draw_row(
    grid: CurveGrid, row: int, frame: polars.DataFrame, value: str, width: int, title: str, unit: str
) -> None:
    named = frame if "method" in frame.columns else frame.with_columns(method=polars.lit("all"))
    places = dict(zip((method or "all" for method in grid.methods), grid.axes[row], strict=True))
    draw_method_panels(places, block_means(named, value, ["method"], width).rename({"step": "x"}))
    for column in range(len(places)):
        label_panel(grid, row, column, title, unit)


def _draw_singular_values(axes: Axes, by_step: polars.DataFrame, width: int) -> None:
    long = by_step.select(
        "step", value="singular_values", rank=polars.int_ranges(polars.col("singular_values").list.len())
    ).explode("value", "rank")
    long = long.with_columns(
        polars.col("rank").cast(polars.String), value=polars.when(polars.col("value") > 0).then("value")
    )
    names = long["rank"].unique(maintain_order=True).to_list()
    shades = {
        str(name): Style(_RANK_GREYS[int(name) % len(_RANK_GREYS)], (), "o") for name in names if name is not None
    }
    draw_curves(axes, long, "value", "rank", shades, width)
