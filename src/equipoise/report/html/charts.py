"""The data of the charts on the page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import polars

from equipoise.config import SINGLE
from equipoise.diagnosis import by_task
from equipoise.figures import method_styles, task_styles
from equipoise.figures.curves import block_means
from equipoise.figures.styles import Style
from equipoise.report.changes import changes
from equipoise.studies import RunRow, Study, read_published
from equipoise.studies.results import frames
from equipoise.studies.results.groups import Method, by_method, finished, group
from equipoise.studies.results.statistics import bootstrap
from equipoise.training.logs import read_log

_SINGLE_STYLE = {"colour": "#767676", "dashes": "3 3"}

# A reference line marks a plain case with T tasks: it lies at T to the minus power.
_QUANTITIES: Mapping[str, Mapping[str, Any]] = {
    "weighted_norm": {"title": "Norm of each task's weighted gradient", "log": True},
    "norm": {"title": "Norm of each task's gradient", "log": True},
    "share": {"title": "Share of the update that each task owns", "reference": "equal shares", "power": 1},
    "cosine_with_update": {
        "title": "Cosine of each task's gradient with the update",
        "reference": "orthogonal gradients",
        "power": 0.5,
    },
    "weight": {"title": "Loss weight", "log": True},
    "loss": {"title": "Loss", "log": True},
}


def chart_tasks(directions: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Return name, metric and style of every task.

    Args:
        directions: The main metrics as `task.metric`, and whether a higher value is better.
    """
    directions = first_metrics(directions)
    styles = task_styles(directions)
    return [
        {"name": key.split(".")[0], "metric": key.replace(".", " "), "higher": higher, **_style(styles[key])}
        for key, higher in directions.items()
    ]


def chart_methods(records: Sequence[RunRow]) -> list[dict[str, Any]]:
    """Return name and style of every method; the single-task networks are grey."""
    names = list(dict.fromkeys(record.balancer for record in records))
    styles = method_styles(name for name in names if name != SINGLE)
    return [{"name": name, **(_SINGLE_STYLE if name == SINGLE else _style(styles[name]))} for name in names]


def first_metrics(directions: Mapping[str, bool]) -> dict[str, bool]:
    """Return the first metric of every task: charts have one place for a task."""
    first = (keys[0] for keys in group(directions, lambda key: key.split(".")[0]).values())
    return {key: directions[key] for key in first}


def change_chart(study: Study) -> list[dict[str, Any]]:
    """Return the change of every method against single-task networks, task by task and in the mean."""
    published = _published(study)
    runs = by_method(study.rows)
    found = changes(study.rows, first_metrics(study.directions))
    shown = []
    for (variant, name), rows in found.group_by("variant", "method", maintain_order=True):
        method = Method(variant, name)  # type: ignore[arg-type]
        done = finished(runs[method])
        # The single-task networks of the reference are at zero by definition.
        if method.is_single and all(run.reference == run.variant for run in done):
            continue
        deltas = [run.delta_m for run in done if run.delta_m is not None]
        interval = bootstrap(deltas) if deltas and not method.is_single else None
        shown.append(
            {
                "variant": method.variant,
                "method": method.name,
                "changes": _by_task(rows.select("metric", "change").rows()),
                "values": _by_task(rows.select("metric", "value").rows()),
                "delta": _rounded(fmean(deltas) if deltas else math.nan),
                "low": _rounded(interval.low if interval else math.nan),
                "high": _rounded(interval.high if interval else math.nan),
                "seeds": [] if method.is_single else [_rounded(delta) for delta in deltas],
                "published": _rounded(published.get(method, math.nan)),
            }
        )
    return shown


def gradient_chart(study: Study) -> dict[str, Any]:
    """Return the task gradients over the steps of the first recorded seed of every method; see `block_means`."""
    runs = []
    for method, records in by_method(study.rows).items():
        for record in [] if method.is_single else sorted(records, key=lambda record: record.seed):
            frame = frames.gradients([record], study.root, by_task)
            if len(frame):
                runs.append(
                    {
                        "variant": method.variant,
                        "method": method.name,
                        "seed": record.seed,
                        "tasks": frame["task"].n_unique(),
                        "curves": _curves(frame),
                    }
                )
                break
    recorded = {quantity for run in runs for quantity in run["curves"]}
    quantities = [{"key": key, **about} for key, about in _QUANTITIES.items() if key in recorded]
    return {"quantities": quantities, "runs": runs}


def epoch_chart(study: Study) -> list[dict[str, Any]]:
    """Return the main metrics on the split that checkpoints are chosen on, epoch by epoch, means over seeds."""
    shown, directions = [], first_metrics(study.directions)
    for method, records in by_method(study.rows).items():
        found: dict[str, dict[int, list[float]]] = {}
        for record in records:
            for line in read_log(frames.directory_of(record, study.root)):
                for key, value in line.get("metric", {}).items():
                    if key in directions and value is not None:
                        found.setdefault(key, {}).setdefault(line["epoch"], []).append(value)
        curves = {}
        for key, by_epoch in found.items():
            rows = [(epoch, fmean(values), min(values), max(values)) for epoch, values in sorted(by_epoch.items())]
            curves[key.split(".")[0]] = _columns(rows)
        if curves:
            shown.append({"variant": method.variant, "method": method.name, "curves": curves})
    return shown


def _style(style: Style) -> dict[str, str]:
    return {"colour": style.colour, "dashes": " ".join(f"{1.6 * length:g}" for length in style.dashes)}


def _by_task(rows: Iterable[tuple[str, float]]) -> dict[str, float | None]:
    return {key.split(".")[0]: _rounded(value) for key, value in rows}


def _curves(frame: polars.DataFrame) -> dict[str, Any]:
    curves = {}
    for quantity in _QUANTITIES:
        means = block_means(frame, quantity, ["task"])
        by_name = {
            str(task): _columns(rows.select("step", "mean", "low", "high").rows())
            for (task,), rows in means.group_by("task", maintain_order=True)
            if rows["mean"].is_finite().any()
        }
        if by_name:
            curves[quantity] = by_name
    return curves


def _columns(rows: Sequence[tuple[float, ...]]) -> dict[str, list[float | None]]:
    names = ("x", "mean", "low", "high")
    return {name: [_rounded(row[place]) for row in rows] for place, name in enumerate(names)}


def _published(study: Study) -> dict[Method, float]:
    return {
        Method(variant, name): row.delta_m
        for variant, config in study.recipe.published_rows.items()
        for name, row in read_published(config, study.directions).items()
        if name != SINGLE
    }


def _rounded(value: float) -> float | None:
    """Return six digits, which is finer than a pixel and rounds to the decimals of the tables; `None` if not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
