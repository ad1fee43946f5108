"""The numbers at the head of the page: the best method, uniform, the runs and their time."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from equipoise._core.text import duration
from equipoise.report.tables.certainty import AGAINST_UNIFORM
from equipoise.report.tables.table import Table
from equipoise.studies import RunRow, Study
from equipoise.studies.results.groups import Method, by_method, finished, multi_task


@dataclass(frozen=True)
class Fact:
    """A number with its name.

    Attributes:
        name: The name.
        value: The number as text.
        remark: A remark beside it.
    """

    name: str
    value: str
    remark: str = ""


def summary(study: Study, certainty: Table | None) -> list[Fact]:
    """Return the numbers at the head of the page.

    Args:
        study: The study.
        certainty: The table of `equipoise.report.certainty`; `None` if there is none.
    """
    means = _mean_delta_m(study.rows)
    found = []
    if means:
        best = max(means, key=lambda method: means[method])
        found.append(Fact("Best delta_m", _percent(means[best]), best.title))
        uniform = Method(best.variant, "uniform")
        if uniform in means and uniform != best:
            lead = means[best] - means[uniform]
            found.append(Fact("Uniform", _percent(means[uniform]), _lead(certainty, best, lead)))
    done = finished(study.rows)
    failed = sum(record.status == "failed" for record in study.rows)
    found.append(
        Fact("Runs finished", f"{len(done)} of {len(study.rows)}", f"{failed} failed" if failed else "none failed")
    )
    found.append(Fact("Training time", duration(sum(record.seconds for record in done)), "of all runs together"))
    return found


def _mean_delta_m(records: Sequence[RunRow]) -> dict[Method, float]:
    """Return delta_m of every method whose runs all have one, mean over seeds."""
    found = {}
    for method, runs in by_method(multi_task(records)).items():
        known = [run.delta_m for run in runs if run.delta_m is not None]
        if len(known) == len(runs):
            found[method] = fmean(known)
    return found


def _lead(certainty: Table | None, best: Method, difference: float) -> str:
    if certainty is None:
        return f"the best is {difference:.2f} points ahead, with one seed"
    row = next(place for place, row in enumerate(certainty.rows) if (row.variant, row.name) == best)
    column = next(place for place, column in enumerate(certainty.columns) if column.title == AGAINST_UNIFORM)
    return f"the best is {difference:.2f} points ahead {certainty.interval(row, column)}".rstrip()


def _percent(value: float) -> str:
    # A minus sign as long as the plus.
    return f"{value:+.2f} %".replace("-", "−")
