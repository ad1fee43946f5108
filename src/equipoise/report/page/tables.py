"""The tables of the page."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from equipoise.report.comparison import certainty, comparison
from equipoise.report.published import beside_published
from equipoise.report.table import Table
from equipoise.studies import Study


@dataclass(frozen=True)
class Sheet:
    """A table with what stands above it.

    Attributes:
        identifier: Its anchor on the page.
        title: Its heading.
        table: The numbers.
    """

    identifier: str
    title: str
    table: Table


def results(study: Study) -> Sheet:
    """The main metrics, delta_m and weights of every method."""
    return Sheet("table", "Every method", comparison(study.records, study.directions))


def sureness(study: Study) -> Sheet | None:
    """How sure the order of the methods is; none where one seed or one method alone is finished."""
    table = certainty(study.records, study.directions)
    return None if table is None else Sheet("certainty", "How sure the order is", table)


def published(study: Study) -> Sheet | None:
    """Measured beside published; none where the recipe names no table to compare with."""
    rows = study.recipe.published_rows
    if not rows:
        return None
    return Sheet("published", "Measured beside published", beside_published(study.records, study.directions, rows))


def every_metric(study: Study) -> Sheet | None:
    """All metrics that were measured; none where there are no more than the main ones."""
    measured = {key for record in study.records for key in record.metrics}
    directions = {key: higher for key, higher in _all_directions(study).items() if key in measured}
    if directions.keys() <= study.directions.keys():
        return None
    return Sheet("metrics", "Every metric", _without_weights(comparison(study.records, directions), len(directions)))


def _all_directions(study: Study) -> Mapping[str, bool | None]:
    tasks = study.recipe.data.tasks(study.recipe.tasks)
    return {
        f"{name}.{key}": metric.higher_is_better
        for name, task in tasks.items()
        for key, metric in task.metrics().items()
    }


def _without_weights(table: Table, metrics: int) -> Table:
    """The columns of metrics and nothing else: the rest stands in the main table, and so do the notes."""
    rows = tuple(replace(row, values=row.values[:metrics]) for row in table.rows)
    return Table(table.columns[:metrics], rows, table.notes[:1], table.names)
