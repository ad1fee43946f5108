"""The main table of a study: metrics, delta_m and weights of every method."""

import math
from collections.abc import Iterable, Mapping, Sequence

from equipoise.config import SINGLE
from equipoise.report.tables.table import Column, Row, Table
from equipoise.studies import RunRow
from equipoise.studies.results.groups import by_method, delta_m_by_seed, finished, group, method_of
from equipoise.studies.results.statistics import Interval, bootstrap
from equipoise.training.selection import FALLBACK

PROTOCOLS = {
    "validation": "Checkpoints chosen on validation data held out from training; the test split was read once.",
    "paper_one": ("Checkpoints chosen on the test split itself, as in Guo et al. (2025): the numbers are optimistic."),
}
"""How the checkpoint of a run is chosen, in words."""
INTERVALS = "In brackets: bootstrap interval of the mean over seeds, nominally 95 %; with few seeds it is too narrow."
"""The note below a table with intervals."""


def comparison(records: Sequence[RunRow], directions: Mapping[str, bool | None]) -> Table:
    """Return the main table of a study.

    Args:
        records: The runs of the study. A row of the table is a mean over seeds; the single-task networks of all tasks
            make one row.
        directions: The metrics to show as `task.metric`. `True` if a higher value is better, `None` if neither is.
    """
    tasks = list(dict.fromkeys(key.split(".")[0] for key in directions))
    columns = [Column(key.replace(".", " "), higher) for key, higher in directions.items()]
    columns += [Column("delta_m %", True, 2), *(Column(f"weight {task}", decimals=2) for task in tasks)]
    rows = []
    for method, runs in by_method(records).items():
        done = finished(runs)
        values = [mean_interval([run.metrics[key] for run in done if key in run.metrics]) for key in directions]
        # A mean over only some of the single-task networks would be another quantity.
        complete = len(done) == len(runs) or not method.is_single
        values.append(mean_interval(list(delta_m_by_seed(done).values())) if complete else None)
        values += [mean_interval([run.weights[task] for run in done if task in run.weights]) for task in tasks]
        rows.append(Row(*method, len(runs), len(done), tuple(values)))
    return Table(tuple(columns), tuple(rows), _notes(records, directions))


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return the mean with its bootstrap interval; `None` without values, or if one is not finite."""
    return bootstrap(values) if values and all(map(math.isfinite, values)) else None


def delta_m_definition(directions: Iterable[str]) -> str:
    """Describe in words what delta_m is the mean of.

    Args:
        directions: The metrics that it is computed from, as `task.metric`.
    """
    of_tasks = group(directions, lambda key: key.split(".")[0])
    if all(len(keys) == 1 for keys in of_tasks.values()):
        return (
            "delta_m: mean over tasks of the signed relative change against the single-task networks "
            "(Guo et al. 2025, equation 5)"
        )
    metrics = "; ".join(f"{task} {', '.join(key.split('.', 1)[1] for key in keys)}" for task, keys in of_tasks.items())
    return (
        "delta_m: mean over tasks of the mean over a task's metrics of the signed relative change against the "
        "single-task networks, which have a best checkpoint by each metric "
        f"(Gama & Grassi 2025, section 5: {metrics})"
    )


def _notes(records: Sequence[RunRow], directions: Iterable[str]) -> tuple[str, ...]:
    if not records:
        return ("No run of the table is known yet: the trials that choose hyper-parameters come first.",)
    seeds = sorted({record.seed for record in records})
    networks = dict.fromkeys(
        f"{record.dataset}, {record.architecture}" + (f" on {record.backbone}" if record.backbone else "")
        for record in records
    )
    notes = [
        f"{'; '.join(networks)}, "
        + (f"seed {seeds[0]} alone." if len(seeds) == 1 else f"means over seeds {', '.join(map(str, seeds))}."),
        PROTOCOLS[records[0].protocol],
        delta_m_definition(directions) + _references(records),
        *([INTERVALS] if len(seeds) > 1 else []),
    ]
    chosen = {
        f"{method_of(record).title}{f' {record.tasks[0]}' if record.balancer == SINGLE else ''}: "
        + ", ".join(f"{key} {value}" for key, value in record.chosen.items())
        for record in records
        if record.chosen
    }
    if chosen:
        notes.append(f"Chosen on validation: {'; '.join(sorted(chosen))}.")
    return (*notes, *_run_notes(records))


def _references(records: Sequence[RunRow]) -> str:
    """Complete the definition of delta_m: the variant whose single-task networks it is against."""
    found = {record.variant: record.reference for record in records if record.variant}
    if not found:
        return "."
    if len(set(found.values())) == 1:
        return f" of {next(iter(found.values()))}."
    others = [f"{variant} of {reference}" for variant, reference in found.items() if reference != variant]
    return " of the same variant" + (f"; {', '.join(others)}." if others else ".")


def _run_notes(records: Sequence[RunRow]) -> list[str]:
    """Return a note for each run that is not finished, or whose checkpoint was chosen without single-task networks."""
    notes = []
    for record in records:
        name = f"{method_of(record).title} on {', '.join(record.tasks)} (seed {record.seed})"
        if record.status != "finished":
            why = f": {record.error}" if record.error else "."
            notes.append(f"{name} {record.status}{why}")
        elif record.balancer != SINGLE and record.selection == FALLBACK:
            notes.append(f"{name}: checkpoint chosen by the {FALLBACK}, because there are no single-task networks.")
    return notes
