"""The table of how sure the order of methods is: intervals, paired differences and mean ranks."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from equipoise.report.tables.comparison import INTERVALS, mean_interval
from equipoise.report.tables.table import Column, Row, Table, plain_number
from equipoise.studies import RunRow
from equipoise.studies.results.groups import Method, by_method, by_seed, delta_m_by_seed, finished, multi_task
from equipoise.studies.results.statistics import Interval, bootstrap, mean_ranks

AGAINST_UNIFORM = "against uniform"
"""The column of the paired difference from uniform."""


def certainty(records: Sequence[RunRow], directions: Mapping[str, bool]) -> Table | None:
    """Return the table of delta_m, its paired differences from uniform and from the best method, and mean ranks.

    Differences are taken seed by seed, so that the effect of a seed on all methods cancels. Ranks are taken among the
    multi-task networks of all variants, for each metric and seed.

    Args:
        records: The runs of a study.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.

    Returns:
        `None` for a study with one seed, which has no spread, or with fewer than two finished methods.
    """
    runs = by_method(multi_task(records))
    scores = {method: delta_m_by_seed(finished(of_method)) for method, of_method in runs.items()}
    scores = {method: of_seed for method, of_seed in scores.items() if of_seed}
    if len(scores) < 2 or len({record.seed for record in records}) < 2:
        return None
    best = max(scores, key=lambda method: fmean(scores[method].values()))
    blocks = _blocks(records, list(scores), directions)
    ranks = mean_ranks(blocks) if blocks else None
    columns = (
        Column("delta_m %", True, 2),
        Column(AGAINST_UNIFORM, True, 2),
        Column("against the best", True, 2),
        Column("mean rank", False, 2),
    )
    rows = []
    for method, of_seed in scores.items():
        uniform = scores.get(Method(method.variant, "uniform"))
        values = (
            bootstrap(list(of_seed.values())),
            _paired(of_seed, uniform) if uniform and method.name != "uniform" else None,
            _paired(of_seed, scores[best]) if method != best else None,
            plain_number(ranks.mean[method.title]) if ranks else None,
        )
        rows.append(Row(*method, len(runs[method]), len(finished(runs[method])), values))
    notes = [INTERVALS, "Differences of delta_m are paired by seed; uniform is that of the same variant."]
    if ranks:
        notes.append(
            f"Mean ranks over {ranks.blocks} comparisons (metric and seed); two that are less than "
            f"{ranks.critical_difference:.2f} apart do not differ (Nemenyi, 5 %)."
        )
    return Table(columns, tuple(rows), tuple(notes))


def _paired(first: Mapping[int, float], second: Mapping[int, float]) -> Interval | None:
    return mean_interval([value - second[seed] for seed, value in first.items() if seed in second])


def _blocks(
    records: Sequence[RunRow], methods: Sequence[Method], directions: Mapping[str, bool]
) -> list[dict[str, float]]:
    """Return the score of every method for each seed and metric; only where all methods have one."""
    blocks = []
    for of_seed in by_seed(records).values():
        runs = by_method(finished(of_seed))
        for key, higher in directions.items():
            block = {
                method.title: record.metrics[key] if higher else -record.metrics[key]
                for method in methods
                for record in runs.get(method, ())
                if math.isfinite(record.metrics.get(key, math.nan))
            }
            if len(block) == len(methods):
                blocks.append(block)
    return blocks
