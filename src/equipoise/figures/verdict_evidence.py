"""What a verdict on the balance of tasks rests on."""

from collections.abc import Sequence

import polars
from matplotlib.figure import Figure

from equipoise.figures.blocks import block_width
from equipoise.figures.curves import steps_label
from equipoise.figures.layout import TEXT, headline, legend_above, panels
from equipoise.figures.share_under_weights import draw_bars
from equipoise.figures.styles import task_styles
from equipoise.figures.update_share import draw_shares


def verdict_evidence(
    by_task: polars.DataFrame, shares: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Who owns the update over training, and who would under other weights, over the judged steps.

    Args:
        by_task: `step`, `task`, `share`, as of `equipoise.diagnosis.by_task`.
        shares: `weighting`, `task`, `share`, as of `equipoise.diagnosis.Verdict.to_frame`.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block; by default about 40 blocks.
    """
    drawn = by_task["task"].unique(maintain_order=True).to_list()
    styles = task_styles([*(tasks or ()), *drawn])
    width = block_width(by_task) if block is None else block
    figure, every = panels(1, 2, width=4.6, height=3.0)
    over_time, under = every[0]
    draw_shares(over_time, by_task, styles, width)
    headline(over_time, "who owns the update")
    over_time.set_ylabel("share of the update", fontsize=TEXT)
    over_time.set_xlabel(steps_label(by_task, width, bands=False), fontsize=TEXT)
    draw_bars(under, shares, styles)
    headline(under, "who would, under other weights")
    legend_above(figure, styles, list(drawn))
    return figure
