"""The table of measured numbers beside those that a paper prints."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from equipoise.config import SINGLE, PublishedConfig
from equipoise.report.tables.comparison import delta_m_definition
from equipoise.report.tables.table import Column, Row, Table, plain_number
from equipoise.studies import RunRow
from equipoise.studies.results.groups import Method, by_method, finished
from equipoise.studies.results.published import PublishedRow, read
from equipoise.studies.results.statistics import Interval, order_agreement

_EMPTY = PublishedRow({}, {}, math.nan)


def beside_published(
    records: Sequence[RunRow], directions: Mapping[str, bool], published: Mapping[str | None, PublishedConfig]
) -> Table:
    """Return measured and published numbers side by side, for the methods that both have.

    The notes state how well the order of the methods by delta_m agrees (Kendall's tau).

    Args:
        records: The runs of a study.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.
        published: The rows to compare with, by variant.

    Raises:
        ValueError: There is no such published table, or it has no such rows.
    """
    tables = {variant: read(config, directions) for variant, config in published.items()}
    # A table of relative changes has no metrics to compare.
    absolute = [key for key in directions if all(key in of.get(SINGLE, _EMPTY).values for of in tables.values())]
    columns = []
    for key in absolute:
        title = key.replace(".", " ")
        columns += [Column(title, directions[key]), Column(f"{title} published", directions[key])]
    columns += [Column("delta_m %", True, 2), Column("published", True, 2), Column("difference", decimals=2)]
    runs = by_method(finished(records))
    rows, notes = [], []
    for variant, of_paper in tables.items():
        measured: dict[str, float] = {}
        for method, row in of_paper.items():
            of_method = runs.get(Method(variant, method))
            if not of_method:
                continue
            changes = [record.delta_m for record in of_method if record.delta_m is not None]
            values = [value for key in absolute for value in (_mean(of_method, key), plain_number(row.values[key]))]
            mean = fmean(changes) if changes else math.nan
            values += [plain_number(mean), plain_number(row.delta_m), plain_number(mean - row.delta_m)]
            rows.append(Row(variant, method, len(of_method), len(of_method), tuple(values)))
            if changes and method != SINGLE:
                measured[method] = mean
        notes.append(_agreement(variant, measured, of_paper))
    notes.append(f"Published: {', '.join(dict.fromkeys(config.title for config in published.values()))}.")
    notes.append(f"Measured and published {delta_m_definition(directions)}.")
    return Table(tuple(columns), tuple(rows), tuple(notes))


def _agreement(variant: str | None, measured: Mapping[str, float], of_paper: Mapping[str, PublishedRow]) -> str:
    where = f"{variant}: " if variant else ""
    both = {method: of_paper[method].delta_m for method in measured}
    tau = order_agreement(measured, both)
    if math.isnan(tau):
        return f"{where}too few methods to compare an order."
    return (
        f"{where}the order of {len(both)} methods by delta_m agrees with the published one to Kendall's tau "
        f"{tau:+.2f} (1: the same order, 0: none, -1: the reverse)."
    )


def _mean(records: Sequence[RunRow], key: str) -> Interval | None:
    values = [record.metrics[key] for record in records if key in record.metrics]
    return plain_number(fmean(values)) if values else None
