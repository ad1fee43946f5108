"""Figures of a study: tidy records in, a matplotlib figure out."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equipoise.config import SINGLE
from equipoise.metrics import delta_m
from equipoise.studies import Record
from equipoise.training.files import replace

# Okabe and Ito's palette: told apart by colour-blind readers, and in print by its steps of lightness.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


def relative_change(records: Sequence[Record], directions: Mapping[str, bool]) -> Figure:
    """Bars of the signed relative change of every task against its single-task network, a group a method, with delta_m.

    A study with variants gets a panel a variant, each against the single-task networks of the variant's reference.

    Args:
        records: The runs of a study; means over seeds are drawn. Methods without a finished run are left out.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.
    """
    panels = {}
    for variant, reference in dict.fromkeys((record.variant, record.reference) for record in records):
        single = _means([record for record in records if record.balancer == SINGLE and record.variant == reference])
        panels[variant] = _changes([record for record in records if record.variant == variant], single, directions)
    widest = max(1, *map(len, panels.values()))
    figure = Figure(figsize=(2.2 + 1.9 * widest, 3.4 if len(panels) == 1 else 2.6 * len(panels)), layout="constrained")
    every = figure.subplots(len(panels), 1, squeeze=False, sharey=True)[:, 0]
    for axes, (variant, methods) in zip(every, panels.items(), strict=True):
        _draw_changes(axes, methods, directions, widest)
        if variant is not None:
            axes.set_title(variant, loc="left", fontsize=10)
    figure.supylabel("change against single-task, % (up is better)", fontsize=10)
    figure.legend(*every[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9)
    return figure


def _changes(
    records: Sequence[Record], single: Mapping[str, float], directions: Mapping[str, bool]
) -> dict[str, dict[str, float]]:
    methods: dict[str, dict[str, float]] = {}
    for label in dict.fromkeys(record.balancer for record in records if record.balancer != SINGLE):
        measured = _means([record for record in records if record.balancer == label])
        if all(math.isfinite(measured.get(key, math.nan)) and single.get(key, 0.0) > 0 for key in directions):
            # With one metric, delta_m is its signed relative change.
            methods[label] = {
                key: delta_m({key: measured[key]}, {key: single[key]}, {key: higher})
                for key, higher in directions.items()
            }
    return methods


def _draw_changes(
    axes: Axes, methods: Mapping[str, Mapping[str, float]], directions: Mapping[str, bool], widest: int
) -> None:
    width = 0.8 / len(directions)
    for number, key in enumerate(directions):
        places = [place + (number - (len(directions) - 1) / 2) * width for place in range(len(methods))]
        heights = [values[key] for values in methods.values()]
        axes.bar(places, heights, 0.92 * width, color=PALETTE[number % len(PALETTE)], label=key.replace(".", " "))
    for place, values in enumerate(methods.values()):
        mean = fmean(values.values())
        axes.hlines(
            mean, place - 0.45, place + 0.45, color="black", linewidth=1.5, label="delta_m" if place == 0 else "_"
        )
        axes.annotate(
            f"{mean:+.2f}", (place + 0.45, mean), xytext=(2, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.axhline(0, color="0.3", linewidth=0.8)
    axes.set_xticks(range(len(methods)), list(methods))
    axes.set_xlim(-0.6, widest - 0.25)
    axes.spines[["top", "right"]].set_visible(False)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the ending of the path names."""
    replace(path, lambda beside: figure.savefig(beside, dpi=150))


def _means(records: Sequence[Record]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for record in records:
        for key, value in record.metrics.items():
            values.setdefault(key, []).append(value)
    return {key: fmean(found) for key, found in values.items()}
