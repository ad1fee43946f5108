"""The tables of a weight search: its trials, its best weights ready to paste, and strategies compared."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import yaml

from equipoise.report.tables.table import Column, Row, Table, plain_number
from equipoise.studies.search import SearchResult, Trial


def trials_table(record: SearchResult) -> Table:
    """Return the trials of a strategy in their order. The notes state what was found and what it cost."""
    tasks = list(dict.fromkeys(task for trial in record.trials for task in trial.weights))
    columns = (
        *(Column(f"weight {task}") for task in tasks),
        Column("delta_m validation %", True, 2),
        Column("epochs", decimals=0),
        Column("hours", decimals=3),
    )
    rows = tuple(
        Row(
            None,
            f"{number} {_remark(trial)}".rstrip(),
            1,
            1,
            (
                *(plain_number(trial.weights.get(task)) for task in tasks),
                plain_number(trial.score if trial.status == "finished" else None),
                plain_number(trial.epochs),
                plain_number(trial.seconds / 3600),
            ),
        )
        for number, trial in enumerate(record.trials, 1)
    )
    return Table(columns, rows, (*_found(record), *_failures(record)), "trial")


def strategies_table(records: Sequence[SearchResult]) -> Table:
    """Return the result and the cost of each strategy.

    Args:
        records: Searches on the same problem.
    """
    tasks = list(dict.fromkeys(task for record in records for trial in record.trials for task in trial.weights))
    columns = (
        Column("delta_m validation %", True, 2),
        Column("delta_m test %", True, 2),
        Column("trials", decimals=0),
        Column("cached", decimals=0),
        Column("hours", False, 3),
        Column("hours cached", decimals=3),
        *(Column(f"weight {task}") for task in tasks),
    )
    rows = []
    for record in records:
        best = record.best
        weights: Mapping[str, float] = best.weights if best else {}
        values = (
            plain_number(best.value if best else None),
            plain_number(record.test),
            plain_number(len(record.trials)),
            plain_number(sum(trial.cached for trial in record.trials)),
            plain_number(record.hours),
            plain_number(record.cached_hours),
            *(plain_number(weights.get(task)) for task in tasks),
        )
        rows.append(Row(None, record.strategy, 1, 1, values))
    notes = (
        "The best weights of each strategy, chosen on validation"
        + (
            ", here the test split itself, as in Guo et al. (2025)."
            if _on_test(records[0])
            else "; test was read once."
        ),
        "Cost counts all trials. Cached trials were there before the strategy asked for them. "
        "Single-task networks are not counted.",
        f"One seed ({records[0].seed}): differences may be chance. Put the weights into a recipe with several seeds.",
    )
    return Table(columns, tuple(rows), notes, "strategy")


def recipe_entry(record: SearchResult) -> str:
    """Return the best weights as an entry of a recipe's `balancers`; an empty text if there are none.

    The numbers have every digit of those that were trained with, so that `bench` finds the run and does not repeat it.
    """
    if record.best is None:
        return ""
    entry = {"name": "fixed", "label": f"weights of {record.strategy}", "weights": record.best.weights}
    return "- " + yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=math.inf).rstrip("\n")


def with_weights(table: Table, record: SearchResult) -> Table:
    """Return the table with the best weights in Markdown as one more note, if there are any."""
    weights = recipe_entry(record)
    note = f"The best weights, for the `balancers` of a recipe:\n\n```yaml\n{weights}\n```"
    return replace(table, notes=(*table.notes, note)) if weights else table


def _found(record: SearchResult) -> list[str]:
    best = record.best
    cached = sum(trial.cached for trial in record.trials)
    cost = f"{len(record.trials)} trials, {record.hours:.3g} hours of training"
    if cached:
        cost += f"; {cached} of them, {record.cached_hours:.3g} hours, were cached"
    cost = f"Cost: {cost}."
    if best is None:
        return ["No trial has finished.", cost]
    test = "not known" if record.test is None else f"{record.test:.2f} %"
    split = "the test split, on which it was chosen as in Guo et al. (2025)," if _on_test(record) else "validation"
    return [f"Best: delta_m {best.value:.2f} % on {split} and {test} on test (seed {record.seed}).", cost]


def _failures(record: SearchResult) -> list[str]:
    return [f"Trial {number} failed: {trial.error}" for number, trial in enumerate(record.trials, 1) if trial.error]


def _remark(trial: Trial) -> str:
    remarks = [] if trial.balancer == "fixed" else [trial.balancer]
    remarks += [] if trial.status == "finished" else [trial.status]
    remarks += ["cached"] if trial.cached else []
    return f"({', '.join(remarks)})" if remarks else ""


def _on_test(record: SearchResult) -> bool:
    return record.protocol == "paper_one"
