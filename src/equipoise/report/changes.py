"""Relative changes of every method against the single-task networks, as tidy data."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars

from equipoise.metrics import delta_m
from equipoise.studies import RunRow
from equipoise.studies.results.groups import by_method, by_variant, mean_metrics, single_task


def changes(records: Sequence[RunRow], directions: Mapping[str, bool]) -> polars.DataFrame:
    """Return means over seeds and their signed relative change against single-task: a row a variant, method and metric.

    Args:
        records: The runs of a study. A method is left out if it lacks a finite metric of its variant's tasks, or if
            the variant's reference lacks a single-task network for one.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.

    Returns:
        `variant`, `method`, `metric`, `value`, `change` (percent, higher is better).
    """
    rows = []
    for variant, of_variant in by_variant(records).items():
        single = mean_metrics(single_task(records, of_variant[0].reference))
        tasks = {task for record in of_variant for task in record.tasks}
        judged = {key: higher for key, higher in directions.items() if key.split(".")[0] in tasks}
        for method, runs in by_method(of_variant).items():
            measured = mean_metrics(runs)
            if all(math.isfinite(measured.get(key, math.nan)) and single.get(key, 0.0) > 0 for key in judged):
                for key, higher in judged.items():
                    # With a single metric, delta_m is its signed relative change.
                    change = delta_m({key: measured[key]}, {key: single[key]}, {key: higher})
                    rows.append((variant, method.name, key, measured[key], change))
    schema: dict[str, Any] = dict.fromkeys(("variant", "method", "metric"), polars.String)
    schema |= dict.fromkeys(("value", "change"), polars.Float64)
    return polars.DataFrame(rows, schema=schema, orient="row")
