"""Bars of the relative change of every task."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from equipoise.figures.layout import TEXT, panels, same_y
from equipoise.figures.over_tasks import over_tasks
from equipoise.figures.styles import Style, task_styles

_WIDE_APART = 6
"""Groups that get much room each; more stand closer, with their names turned."""
_ACROSS = 12
"""Groups beside each other at most; more go on below."""

_Groups = Mapping[str, Mapping[str, float]]
"""The change of every metric that there is, by method."""


def relative_change(changes: polars.DataFrame, *, metrics: Sequence[str] | None = None) -> Figure:
    """Bars of the signed relative change of every metric against single-task, a group a method, with delta_m below.

    Args:
        changes: `variant` (null where there are none; each has a panel), `method`, `metric`, `change` (percent, higher
            is better). A row without a method stands for a variant of which nothing is finished. Methods and variants
            may have other metrics than others.
        metrics: All metrics in order, so that each keeps its colour in a figure of some of them.
    """
    drawn = changes["metric"].drop_nulls().unique(maintain_order=True).to_list()
    styles = {metric: style for metric, style in task_styles([*(metrics or ()), *drawn]).items() if metric in drawn}
    variants = changes["variant"].unique(maintain_order=True).to_list() or [None]
    rows = [(variant, groups) for variant in variants for groups in _rows(changes, variant)]
    widest = max(1, *(len(groups) for _, groups in rows))
    figure, every = panels(
        len(rows),
        1,
        width=1.6 + (1.9 if widest <= _WIDE_APART else 0.9) * widest,
        height=2.9 if len(rows) == 1 else 2.5,
    )
    for axes, (variant, groups) in zip(every[:, 0], rows, strict=True):
        _draw_groups(axes, groups, styles, widest)
        if variant is not None:
            axes.set_title(variant, loc="left", fontsize=TEXT + 1)
    same_y(every[:, 0])
    figure.supylabel("change against single-task, % (up is better)", fontsize=TEXT + 1)
    if styles:
        handles = [Patch(color=style.colour, label=metric.replace(".", " ")) for metric, style in styles.items()]
        mean = Line2D([], [], color="black", linewidth=1.5, label="delta_m")
        figure.legend(handles=[*handles, mean], loc="outside right upper", frameon=False, fontsize=TEXT)
    return figure


def _rows(changes: polars.DataFrame, variant: str | None) -> Iterator[_Groups]:
    """The methods of a variant, in rows about as long as each other."""
    found = changes.filter(polars.col("variant").eq_missing(polars.lit(variant))).drop_nulls("method")
    groups = {
        str(method): dict(of.select("metric", "change").iter_rows())
        for (method,), of in found.group_by("method", maintain_order=True)
    }
    rows = max(1, -(-len(groups) // _ACROSS))
    across = max(1, -(-len(groups) // rows))
    for row in range(rows):
        yield dict(list(groups.items())[row * across : (row + 1) * across])


def _draw_groups(axes: Axes, groups: _Groups, styles: Mapping[str, Style], widest: int) -> None:
    width = 0.8 / max(1, len(styles))
    for place, changes in enumerate(groups.values()):
        there = [metric for metric in styles if metric in changes]
        places = [place + (number - (len(there) - 1) / 2) * width for number in range(len(there))]
        colours = [styles[metric].colour for metric in there]
        axes.bar(places, [changes[metric] for metric in there], 0.92 * width, color=colours)
        axes.hlines(over_tasks(changes), place - 0.45, place + 0.45, color="black", linewidth=1.5)
    axes.axhline(0, color="0.3", linewidth=0.8)
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if widest > _WIDE_APART else {}
    names = [f"{method}\n{over_tasks(changes):+.2f} %" for method, changes in groups.items()]
    axes.set_xticks(range(len(groups)), names, fontsize=TEXT, **turned)
    axes.set_xlim(-0.6, widest - 0.25)
