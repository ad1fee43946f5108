"""Measured numbers beside those that a paper prints."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from equipoise.config import SINGLE, PublishedConfig
from equipoise.report.tables.comparison import average
from equipoise.report.tables.table import Column, Row, Table
from equipoise.studies import RunRow
from equipoise.studies.results.published import PublishedRow, read
from equipoise.studies.results.statistics import Interval, order_agreement


def beside_published(
    records: Sequence[RunRow], directions: Mapping[str, bool], published: Mapping[str | None, PublishedConfig]
) -> Table:
    """A table of measured and published numbers, for the methods that both have.

    Below it stands how far the order of the methods by delta_m agrees (Kendall's tau).

    Args:
        records: The runs of a study.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.
        published: The rows to compare with, by variant.

    Raises:
        ValueError: There is no such published table, or it has no such rows.
    """
    tables = {variant: read(config, directions) for variant, config in published.items()}
    # A table of relative changes has no metrics to stand beside the measured ones.
    absolute = [key for key in directions if all(key in of.get(SINGLE, _NOTHING).values for of in tables.values())]
    columns = []
    for key in absolute:
        title = key.replace(".", " ")
        columns += [Column(title, directions[key]), Column(f"{title} published", directions[key])]
    columns += [Column("delta_m %", True, 2), Column("published", True, 2), Column("difference", decimals=2)]
    rows, notes = [], []
    for variant, theirs in tables.items():
        ours = [record for record in records if record.variant == variant and record.status == "finished"]
        measured: dict[str, float] = {}
        for method, row in theirs.items():
            group = [record for record in ours if record.balancer == method]
            if not group:
                continue
            changes = [record.delta_m for record in group if record.delta_m is not None]
            values = [value for key in absolute for value in (_mean(group, key), _number(row.values[key]))]
            mean = fmean(changes) if changes else math.nan
            values += [_number(mean), _number(row.delta_m), _number(mean - row.delta_m)]
            rows.append(Row(variant, method, len(group), len(group), tuple(values)))
            if changes and method != SINGLE:
                measured[method] = mean
        notes.append(_agreement(variant, measured, theirs))
    notes.append(f"Published: {', '.join(dict.fromkeys(config.title for config in published.values()))}.")
    notes.append(f"Measured and published {average(directions)}.")
    return Table(tuple(columns), tuple(rows), tuple(notes))


_NOTHING = PublishedRow({}, {}, math.nan)


def _agreement(variant: str | None, measured: Mapping[str, float], theirs: Mapping[str, PublishedRow]) -> str:
    where = f"{variant}: " if variant else ""
    both = {method: theirs[method].delta_m for method in measured}
    tau = order_agreement(measured, both)
    if math.isnan(tau):
        return f"{where}too few methods to compare an order."
    return (
        f"{where}the order of {len(both)} methods by delta_m agrees with the published one to Kendall's tau "
        f"{tau:+.2f} (1: the same order, 0: none, -1: the reverse)."
    )


def _mean(records: Sequence[RunRow], key: str) -> Interval | None:
    values = [record.metrics[key] for record in records if key in record.metrics]
    return _number(fmean(values)) if values else None


def _number(value: float) -> Interval | None:
    return Interval(value, math.nan, math.nan, 1) if math.isfinite(value) else None
