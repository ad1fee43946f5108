"""What a study found in a few numbers, for the head of its page."""

from dataclasses import dataclass
from statistics import fmean

from equipoise.config import SINGLE
from equipoise.report.progress import duration
from equipoise.report.table import Row, Table
from equipoise.studies import Record, Study


@dataclass(frozen=True)
class Fact:
    """A number with what it is.

    Attributes:
        name: What it is.
        value: The number.
        remark: What is to be known about it.
    """

    name: str
    value: str
    remark: str = ""


def facts(study: Study, sure: Table | None) -> list[Fact]:
    """The best method, uniform, the runs and their time.

    Args:
        study: The study.
        sure: How sure the order of its methods is, see `equipoise.report.certainty`.
    """
    means = _means(study.records)
    found = []
    if means:
        variant, method = best = max(means, key=lambda key: means[key])
        found.append(Fact("Best delta_m", _percent(means[best]), _title(variant, method)))
        uniform = (variant, "uniform")
        if uniform in means and uniform != best:
            found.append(Fact("Uniform", _percent(means[uniform]), _ahead(sure, best, means[best] - means[uniform])))
    done = [record for record in study.records if record.status == "finished"]
    failed = sum(record.status == "failed" for record in study.records)
    found.append(
        Fact("Runs finished", f"{len(done)} of {len(study.records)}", f"{failed} failed" if failed else "none failed")
    )
    found.append(Fact("Training time", duration(sum(record.seconds for record in done)), "of all runs together"))
    return found


def _means(records: tuple[Record, ...]) -> dict[tuple[str | None, str], float]:
    """delta_m of every method of which all runs are finished."""
    found = {}
    for key in dict.fromkeys((record.variant, record.balancer) for record in records if record.balancer != SINGLE):
        deltas = [record.delta_m for record in records if (record.variant, record.balancer) == key]
        known = [delta for delta in deltas if delta is not None]
        if known and len(known) == len(deltas):
            found[key] = fmean(known)
    return found


def _ahead(sure: Table | None, best: tuple[str | None, str], difference: float) -> str:
    if sure is None:
        return f"the best is {difference:.2f} points ahead, with one seed"
    place = next(place for place, row in enumerate(sure.rows) if _key(row) == best)
    column = next(place for place, column in enumerate(sure.columns) if column.title == "against uniform")
    return f"the best is {difference:.2f} points ahead {sure.interval(place, column)}".rstrip()


def _key(row: Row) -> tuple[str | None, str]:
    return row.variant, row.name


def _title(variant: str | None, method: str) -> str:
    return f"{variant}, {method}" if variant else method


def _percent(value: float) -> str:
    # A minus sign as long as the plus.
    return f"{value:+.2f} %".replace("-", "−")
