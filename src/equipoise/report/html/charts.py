"""What the charts of the page are drawn from."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import polars

from equipoise.config import SINGLE
from equipoise.diagnosis import by_task
from equipoise.figures import method_styles, task_styles
from equipoise.figures.curves import block_means
from equipoise.figures.styles import Style
from equipoise.report.figures.illustration import changes
from equipoise.studies import RunRow, Study, read_published
from equipoise.studies.results import frames
from equipoise.studies.results.frames import directory_of
from equipoise.studies.results.statistics import bootstrap
from equipoise.training.logs import read_log

_SINGLE = {"colour": "#767676", "dashes": "3 3"}


def task_looks(directions: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Name, metric and look of every task, from its main metric `task.metric`."""
    directions = one_of_task(directions)
    styles = task_styles(directions)
    return [
        {"name": key.split(".")[0], "metric": key.replace(".", " "), "higher": higher, **_look(styles[key])}
        for key, higher in directions.items()
    ]


def one_of_task(directions: Mapping[str, bool]) -> dict[str, bool]:
    """The first metric of every task, its main one: charts have one place for a task."""
    first: dict[str, str] = {}
    for key in directions:
        first.setdefault(key.split(".")[0], key)
    return {key: directions[key] for key in first.values()}


def method_looks(records: Sequence[RunRow]) -> list[dict[str, Any]]:
    """Name and look of every method, the single-task networks in grey."""
    names = list(dict.fromkeys(record.balancer for record in records))
    styles = method_styles(name for name in names if name != SINGLE)
    return [{"name": name, **(_SINGLE if name == SINGLE else _look(styles[name]))} for name in names]


def _look(style: Style) -> dict[str, str]:
    return {"colour": style.colour, "dashes": " ".join(f"{1.6 * length:g}" for length in style.dashes)}


# A reference is where curves lie in a plain case of T tasks: at T to the minus power.
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


def change_chart(study: Study) -> list[dict[str, Any]]:
    """How much better or worse every method is than single-task networks, task by task and in the mean."""
    published = _published(study)
    found = changes(study.rows, one_of_task(study.directions))
    shown = []
    for (variant, method), rows in found.group_by("variant", "method", maintain_order=True):
        runs = _finished(study.rows, variant, method)
        # Single-task networks that everything else is compared with are at zero by definition.
        if method == SINGLE and all(run.reference == run.variant for run in runs):
            continue
        deltas = [run.delta_m for run in runs if run.delta_m is not None]
        interval = bootstrap(deltas) if deltas and method != SINGLE else None
        shown.append(
            {
                "variant": variant,
                "method": method,
                "changes": {
                    key.split(".")[0]: _short(change) for key, change in rows.select("metric", "change").rows()
                },
                "values": {key.split(".")[0]: _short(value) for key, value in rows.select("metric", "value").rows()},
                "delta": _short(fmean(deltas) if deltas else math.nan),
                "low": _short(interval.low if interval else math.nan),
                "high": _short(interval.high if interval else math.nan),
                "seeds": [_short(delta) for delta in deltas] if method != SINGLE else [],
                "published": _short(published.get((variant, method), math.nan)),
            }
        )
    return shown


def gradient_chart(study: Study) -> dict[str, Any]:
    """What the gradients of the tasks did while the first seed of every method was trained; see `block_means`."""
    runs = []
    for variant, method, records in _methods(study.rows):
        for record in sorted(records, key=lambda record: record.seed) if method != SINGLE else ():
            frame = frames.gradients([record], study.root, by_task)
            if len(frame):
                count = frame["task"].n_unique()
                runs.append(
                    {
                        "variant": variant,
                        "method": method,
                        "seed": record.seed,
                        "tasks": count,
                        "curves": _curves(frame),
                    }
                )
                break
    there = {quantity for run in runs for quantity in run["curves"]}
    quantities = [{"key": key, **about} for key, about in _QUANTITIES.items() if key in there]
    return {"quantities": quantities, "runs": runs}


def epoch_chart(study: Study) -> list[dict[str, Any]]:
    """The main metrics on the split that checkpoints are chosen on, epoch by epoch, means over seeds."""
    shown, directions = [], one_of_task(study.directions)
    for variant, method, records in _methods(study.rows):
        found: dict[str, dict[int, list[float]]] = {}
        for line in (line for record in records for line in read_log(directory_of(record, study.root))):
            for key, value in line.get("metric", {}).items():
                if key in directions and value is not None:
                    found.setdefault(key, {}).setdefault(line["epoch"], []).append(value)
        curves = {}
        for key, by_epoch in found.items():
            rows = [(epoch, fmean(values), min(values), max(values)) for epoch, values in sorted(by_epoch.items())]
            curves[key.split(".")[0]] = _columns(rows)
        if curves:
            shown.append({"variant": variant, "method": method, "curves": curves})
    return shown


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
    return {name: [_short(row[place]) for row in rows] for place, name in enumerate(names)}


def _methods(records: Sequence[RunRow]) -> Iterator[tuple[str | None, str, list[RunRow]]]:
    for variant, method in dict.fromkeys((record.variant, record.balancer) for record in records):
        yield variant, method, [run for run in records if (run.variant, run.balancer) == (variant, method)]


def _finished(records: Sequence[RunRow], variant: Any, method: Any) -> list[RunRow]:
    of_method = [record for record in records if (record.variant, record.balancer) == (variant, method)]
    return [record for record in of_method if record.status == "finished"]


def _published(study: Study) -> dict[tuple[str | None, str], float]:
    return {
        (variant, method): row.delta_m
        for variant, config in study.recipe.published_rows.items()
        for method, row in read_published(config, study.directions).items()
        if method != SINGLE
    }


def _short(value: float) -> float | None:
    """Six digits, more than a pixel shows, round to two decimals as the tables do; none for what is no number."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
