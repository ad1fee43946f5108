"""The tables of a study: metrics, delta_m and weights of every method; and how sure their differences are."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from equipoise.config import SINGLE
from equipoise.report.tables.table import Column, Row, Table
from equipoise.studies import RunRow
from equipoise.studies.results.statistics import Interval, bootstrap, mean_ranks
from equipoise.training.selection import FALLBACK

PROTOCOLS = {
    "validation": "Checkpoints chosen on validation data held out from training; the test split was read once.",
    "paper_one": "Checkpoints chosen on the test split itself, as paper one did: the numbers are optimistic.",
}
"""How the checkpoint of a run is chosen, in words."""
_INTERVALS = "In brackets: bootstrap interval of the mean over seeds, nominally 95 %; with few seeds it is too narrow."

Method = tuple[str | None, str]
"""Variant and name."""


def comparison(records: Sequence[RunRow], directions: Mapping[str, bool | None]) -> Table:
    """The table of a study.

    Args:
        records: Its runs. Rows are means over seeds; the single-task networks of all tasks make one row.
        directions: The metrics to show as `task.metric`, and whether a higher value is better, if either is.
    """
    tasks = list(dict.fromkeys(key.split(".")[0] for key in directions))
    columns = [Column(key.replace(".", " "), higher) for key, higher in directions.items()]
    columns += [Column("delta_m %", True, 2), *(Column(f"weight {task}", decimals=2) for task in tasks)]
    rows = []
    for method in _methods(records):
        group, done = _runs(records, method), _finished(records, method)
        values = [_interval([record.metrics[key] for record in done if key in record.metrics]) for key in directions]
        # A mean over some of the single-task networks is not that of the row.
        whole = len(done) == len(group) or method[1] != SINGLE
        values.append(_interval(list(_delta_m(done).values())) if whole else None)
        values += [_interval([record.weights[task] for record in done if task in record.weights]) for task in tasks]
        rows.append(Row(*method, len(group), len(done), tuple(values)))
    return Table(tuple(columns), tuple(rows), _notes(records, directions))


def certainty(records: Sequence[RunRow], directions: Mapping[str, bool]) -> Table | None:
    """How sure the order of methods is: delta_m, its paired differences from uniform and from the best, mean ranks.

    Differences are taken seed by seed, which leaves out what a seed does to all methods alike. Ranks are taken among
    the multi-task networks of all variants, for each metric and seed.

    Args:
        records: The runs of a study.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.

    Returns:
        None for a study of one seed, of which no spread can be told, or of fewer than two methods that finished.
    """
    methods = [method for method in _methods(records) if method[1] != SINGLE and _delta_m(_finished(records, method))]
    if len(methods) < 2 or len({record.seed for record in records}) < 2:
        return None
    scores = {method: _delta_m(_finished(records, method)) for method in methods}
    best = max(scores, key=lambda method: fmean(scores[method].values()))
    blocks = _blocks(records, methods, directions)
    ranks = mean_ranks(blocks) if blocks else None
    columns = (
        Column("delta_m %", True, 2),
        Column("against uniform", True, 2),
        Column("against the best", True, 2),
        Column("mean rank", False, 2),
    )
    rows = []
    for method in methods:
        uniform = scores.get((method[0], "uniform"))
        values = (
            bootstrap(list(scores[method].values())),
            _paired(scores[method], uniform) if uniform and method[1] != "uniform" else None,
            _paired(scores[method], scores[best]) if method != best else None,
            _alone(ranks.mean[_title(method)]) if ranks else None,
        )
        rows.append(Row(*method, len(_runs(records, method)), len(_finished(records, method)), values))
    notes = [_INTERVALS, "Differences of delta_m are paired by seed; uniform is that of the same variant."]
    if ranks:
        notes.append(
            f"Mean ranks over {ranks.blocks} comparisons (metric and seed); two that are less than "
            f"{ranks.critical_difference:.2f} apart do not differ (Nemenyi, 5 %)."
        )
    return Table(columns, tuple(rows), tuple(notes))


def _methods(records: Sequence[RunRow]) -> list[Method]:
    return list(dict.fromkeys((record.variant, record.balancer) for record in records))


def _runs(records: Sequence[RunRow], method: Method) -> list[RunRow]:
    return [record for record in records if (record.variant, record.balancer) == method]


def _finished(records: Sequence[RunRow], method: Method) -> list[RunRow]:
    return [record for record in _runs(records, method) if record.status == "finished"]


def _delta_m(records: Sequence[RunRow]) -> dict[int, float]:
    """By seed; of the single-task networks of a seed, which make one row, the mean."""
    found: dict[int, list[float]] = {}
    for record in records:
        if record.delta_m is not None:
            found.setdefault(record.seed, []).append(record.delta_m)
    return {seed: fmean(values) for seed, values in found.items()}


def _interval(values: Sequence[float]) -> Interval | None:
    return bootstrap(values) if values and all(map(math.isfinite, values)) else None


def _paired(first: Mapping[int, float], second: Mapping[int, float]) -> Interval | None:
    return _interval([value - second[seed] for seed, value in first.items() if seed in second])


def _alone(value: float) -> Interval:
    return Interval(value, math.nan, math.nan, 1)


def _title(method: Method) -> str:
    return f"{method[0]}, {method[1]}" if method[0] else method[1]


def _blocks(
    records: Sequence[RunRow], methods: Sequence[Method], directions: Mapping[str, bool]
) -> list[dict[str, float]]:
    """For each seed and metric the score of every method; only where all have one."""
    blocks = []
    for seed in dict.fromkeys(record.seed for record in records):
        for key, higher in directions.items():
            block = {
                _title(method): record.metrics[key] if higher else -record.metrics[key]
                for method in methods
                for record in _finished(records, method)
                if record.seed == seed and math.isfinite(record.metrics.get(key, math.nan))
            }
            if len(block) == len(methods):
                blocks.append(block)
    return blocks


def _references(records: Sequence[RunRow]) -> str:
    found = {record.variant: record.reference for record in records if record.variant}
    if not found:
        return "."
    if len(set(found.values())) == 1:
        return f" of {next(iter(found.values()))}."
    others = [f"{variant} of {reference}" for variant, reference in found.items() if reference != variant]
    return " of the same variant" + (f"; {', '.join(others)}." if others else ".")


def average(directions: Iterable[str]) -> str:
    """What delta_m is over, in words: one metric a task or several, by `task.metric`."""
    of_tasks: dict[str, list[str]] = {}
    for key in directions:
        task, _, metric = key.partition(".")
        of_tasks.setdefault(task, []).append(metric)
    if all(len(metrics) == 1 for metrics in of_tasks.values()):
        return (
            "delta_m: mean over tasks of the signed relative change against the single-task networks (P1, equation 5)"
        )
    metrics = "; ".join(f"{task} {', '.join(metrics)}" for task, metrics in of_tasks.items())
    return (
        "delta_m: mean over tasks of the mean over a task's metrics of the signed relative change against the "
        f"single-task networks, which have a best checkpoint by each metric (P2, section 5: {metrics})"
    )


def _notes(records: Sequence[RunRow], directions: Iterable[str]) -> tuple[str, ...]:
    if not records:
        return ("No run of the table is known yet: the trials that choose hyper-parameters come first.",)
    first = records[0]
    seeds = sorted({record.seed for record in records})
    networks = dict.fromkeys(
        f"{record.dataset}, {record.architecture}" + (f" on {record.backbone}" if record.backbone else "")
        for record in records
    )
    notes = [
        f"{'; '.join(networks)}, "
        + (f"seed {seeds[0]} alone." if len(seeds) == 1 else f"means over seeds {', '.join(map(str, seeds))}."),
        PROTOCOLS[first.protocol],
        average(directions) + _references(records),
    ]
    if len(seeds) > 1:
        notes.append(_INTERVALS)
    chosen = {
        f"{_title((record.variant, record.balancer))}{f' {record.tasks[0]}' if record.balancer == SINGLE else ''}: "
        + ", ".join(f"{key} {value}" for key, value in record.chosen.items())
        for record in reversed(records)
        if record.chosen
    }
    if chosen:
        notes.append(f"Chosen on validation: {'; '.join(sorted(chosen))}.")
    for record in records:
        variant = f"{record.variant}, " if record.variant else ""
        name = f"{variant}{record.balancer} on {', '.join(record.tasks)} (seed {record.seed})"
        if record.status != "finished":
            why = f": {record.error}" if record.error else "."
            notes.append(f"{name} {record.status}{why}")
        elif record.balancer != SINGLE and record.selection == FALLBACK:
            notes.append(f"{name}: checkpoint chosen by the {FALLBACK}, for want of single-task networks.")
    return tuple(notes)
