"""Figures of a study: its records as tidy data for `equipoise.figures`."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import polars
from matplotlib.figure import Figure

from equipoise import figures
from equipoise.config import SINGLE
from equipoise.metrics import delta_m
from equipoise.studies import Record
from equipoise.training.files import replace


def relative_change(records: Sequence[Record], directions: Mapping[str, bool]) -> Figure:
    """Bars of the signed relative change of every task against its single-task network, a group a method, with delta_m.

    A study with variants gets a panel a variant, each against the single-task networks of the variant's reference.

    Args:
        records: The runs of a study; means over seeds are drawn. Methods without a finished run are left out.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.
    """
    found = changes(records, directions)
    multi = found.filter(polars.col("method") != SINGLE)
    # A variant of which nothing is finished keeps its panel.
    variants = polars.DataFrame({"variant": [record.variant for record in records]}, schema={"variant": polars.String})
    variants = variants.unique(maintain_order=True)
    every = variants.join(multi, on="variant", how="left", nulls_equal=True, maintain_order="left_right")
    return figures.relative_change(every, metrics=list(directions))


def radar(records: Sequence[Record], directions: Mapping[str, bool]) -> Figure:
    """Every task a spoke, every method of every variant an outline, with its delta_m (P1, figures 1 and 4).

    Args:
        records: The runs of variants with the same tasks; means over seeds are drawn. Methods without a finished run
            are left out.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.
    """
    found = changes(records, directions)
    references = {record.reference for record in records}
    # Without variants, and in the variant that all others are compared with, single-task is the ring at zero.
    zero = polars.lit(len(references) == 1) & (polars.col("method") == SINGLE)
    zero &= polars.col("variant").is_in([*references], nulls_equal=True)
    named = polars.when(polars.col("variant").is_null()).then("method")
    name = named.otherwise(polars.concat_str("variant", polars.lit(", "), "method", ignore_nulls=True))
    # Single-task networks last: the others then look as in all other figures, which are without them.
    drawn = found.filter(~zero).sort(polars.col("method") == SINGLE, maintain_order=True)
    named_reference = next(iter(references)) if len(references) == 1 else None
    ring = f"{named_reference}, single-task" if named_reference else "single-task"
    return figures.radar(drawn.with_columns(method=name), baseline=ring)


def seeds(records: Sequence[Record], *, baseline: str | None = "uniform") -> Figure:
    """delta_m of every seed, a method a row and a variant a panel, with the baseline's median (P2, figure 1).

    Args:
        records: The runs of a study.
        baseline: The method whose median is drawn through.
    """
    rows = [
        {"panel": record.variant or "", "method": record.balancer, "seed": record.seed, "value": record.delta_m}
        for record in records
        if record.balancer != SINGLE
    ]
    schema = {"panel": polars.String, "method": polars.String, "seed": polars.Int64, "value": polars.Float64}
    return figures.box_plots(polars.DataFrame(rows, schema=schema), quantity="delta_m, %", baseline=baseline)


def changes(records: Sequence[Record], directions: Mapping[str, bool]) -> polars.DataFrame:
    """Means over seeds, and their signed relative change against single-task: a row a variant, method and metric.

    Args:
        records: The runs of a study. A method that lacks a finite metric of its variant's tasks, or whose variant's
            reference lacks a single-task network of one, is left out.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.

    Returns:
        `variant`, `method`, `metric`, `value`, `change` (percent, higher is better).
    """
    rows = []
    for variant, reference in dict.fromkeys((record.variant, record.reference) for record in records):
        single = _means([record for record in records if record.balancer == SINGLE and record.variant == reference])
        of_variant = [record for record in records if record.variant == variant]
        tasks = {task for record in of_variant for task in record.tasks}
        judged = {key: higher for key, higher in directions.items() if key.split(".")[0] in tasks}
        for label in dict.fromkeys(record.balancer for record in of_variant):
            measured = _means([record for record in of_variant if record.balancer == label])
            if all(math.isfinite(measured.get(key, math.nan)) and single.get(key, 0.0) > 0 for key in judged):
                for key, higher in judged.items():
                    # With one metric, delta_m is its signed relative change.
                    change = delta_m({key: measured[key]}, {key: single[key]}, {key: higher})
                    rows.append((variant, label, key, measured[key], change))
    schema: dict[str, Any] = dict.fromkeys(("variant", "method", "metric"), polars.String)
    schema |= dict.fromkeys(("value", "change"), polars.Float64)
    return polars.DataFrame(rows, schema=schema, orient="row")


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the ending of the path names."""
    replace(path, lambda beside: figure.savefig(beside, dpi=150))


def _means(records: Sequence[Record]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for record in records:
        for key, value in record.metrics.items():
            values.setdefault(key, []).append(value)
    return {key: fmean(found) for key, found in values.items()}
