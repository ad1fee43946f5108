"""Bars of the relative change of every task."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.figures.layout import TEXT, panels
from equipoise.figures.styles import Style, task_styles

_WIDE_APART = 6
"""Groups that get much room each; more stand closer, with their names turned."""


def relative_change(changes: polars.DataFrame) -> Figure:
    """Bars of the signed relative change of every metric against single-task, a group a method, with delta_m below.

    Args:
        changes: `variant` (null where there are none; each has a panel), `method`, `metric`, `change` (percent, higher
            is better). A row without a method stands for a variant of which nothing is finished.
    """
    variants = changes["variant"].unique(maintain_order=True).to_list() or [None]
    metrics = changes["metric"].drop_nulls().unique(maintain_order=True).to_list()
    styles = task_styles(metrics)
    groups = {
        variant: {
            method: dict(of.select("metric", "change").iter_rows())
            for (method,), of in changes.filter(polars.col("variant").eq_missing(polars.lit(variant)))
            .drop_nulls("method")
            .group_by("method", maintain_order=True)
        }
        for variant in variants
    }
    widest = max(1, *map(len, groups.values()))
    figure, every = panels(
        len(groups),
        1,
        width=1.6 + (1.9 if widest <= _WIDE_APART else 0.9) * widest,
        height=2.9 if len(groups) == 1 else 2.5,
        sharex="none",
        sharey="all",
    )
    for axes, (variant, methods) in zip(every[:, 0], groups.items(), strict=True):
        _draw_group(axes, methods, styles, widest)
        if variant is not None:
            axes.set_title(variant, loc="left", fontsize=TEXT + 1)
    figure.supylabel("change against single-task, % (up is better)", fontsize=TEXT + 1)
    handles, labels = every[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=TEXT)
    return figure


def _draw_group(
    axes: Axes, methods: Mapping[str, Mapping[str, float]], styles: Mapping[str, Style], widest: int
) -> None:
    width = 0.8 / max(1, len(styles))
    for number, (metric, style) in enumerate(styles.items()):
        places = [place + (number - (len(styles) - 1) / 2) * width for place in range(len(methods))]
        heights = [values[metric] for values in methods.values()]
        axes.bar(places, heights, 0.92 * width, color=style.colour, label=metric.replace(".", " "))
    for place, values in enumerate(methods.values()):
        mean = fmean(values.values())
        axes.hlines(
            mean, place - 0.45, place + 0.45, color="black", linewidth=1.5, label="delta_m" if place == 0 else "_"
        )
    axes.axhline(0, color="0.3", linewidth=0.8)
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if widest > _WIDE_APART else {}
    names = [f"{method}\n{fmean(values.values()):+.2f} %" for method, values in methods.items()]
    axes.set_xticks(range(len(methods)), names, fontsize=TEXT, **turned)
    axes.set_xlim(-0.6, widest - 0.25)
