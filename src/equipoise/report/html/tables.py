"""The tables of the page."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from equipoise.report.figures.gradients import study_verdict_figure
from equipoise.report.html.pictures import EmbeddedFigure, plate
from equipoise.report.tables.comparison import certainty, comparison
from equipoise.report.tables.published import beside_published
from equipoise.report.tables.search import pasteable, strategies_table, trials_table
from equipoise.report.tables.table import Table
from equipoise.report.verdict_text import LEGEND, VerdictText, tell
from equipoise.studies import Study
from equipoise.studies.results.diagnose import MethodVerdict, StudyVerdict, diagnose_study
from equipoise.studies.search import SearchResult, read_searches


@dataclass(frozen=True)
class PageTable:
    """A table with what stands above it.

    Attributes:
        identifier: Its anchor on the page.
        title: Its heading.
        table: The numbers.
    """

    identifier: str
    title: str
    table: Table


@dataclass(frozen=True)
class Searched:
    """What searches for loss weights have found on one problem.

    Attributes:
        strategies: What each strategy reached, and what it cost.
        trials: The trials of each.
    """

    strategies: PageTable
    trials: list[PageTable]


def results(study: Study) -> PageTable:
    """The main metrics, delta_m and weights of every method."""
    return PageTable("table", "Every method", comparison(study.rows, study.directions))


def sureness(study: Study) -> PageTable | None:
    """How sure the order of the methods is; none where one seed or one method alone is finished."""
    table = certainty(study.rows, study.directions)
    return None if table is None else PageTable("certainty", "How sure the order is", table)


def published(study: Study) -> PageTable | None:
    """Measured beside published; none where the recipe names no table to compare with."""
    rows = study.recipe.published_rows
    if not rows:
        return None
    return PageTable("published", "Measured beside published", beside_published(study.rows, study.directions, rows))


def every_metric(study: Study) -> PageTable | None:
    """All metrics that were measured; none where there are no more than the main ones."""
    measured = {key for record in study.rows for key in record.metrics}
    directions = {key: higher for key, higher in _all_directions(study).items() if key in measured}
    if directions.keys() <= study.directions.keys():
        return None
    return PageTable("metrics", "Every metric", _without_weights(comparison(study.rows, directions), len(directions)))


def searches(study: Study) -> list[Searched]:
    """What `equipoise search` has found for this study."""
    # Where a recipe has variants, each has its own directory below that of the study.
    folders = [study.directory, *sorted(path for path in study.directory.iterdir() if path.is_dir())]
    found = [
        (folder.name if folder != study.directory else "", records)
        for folder in folders
        for records in read_searches(folder).values()
    ]
    return [_searched(f"search-{number}", variant, records) for number, (variant, records) in enumerate(found)]


def _searched(identifier: str, variant: str, records: list[SearchResult]) -> Searched:
    of = f", {variant}" if variant else ""
    trials = []
    for record in records:
        table = trials_table(record)
        notes = (*table.notes, f"The best weights, for the `balancers` of a recipe: `{pasteable(record)}`")
        title = f"Every trial of the strategy {record.strategy}{of}"
        trials.append(PageTable(f"{identifier}-{record.strategy}", title, replace(table, notes=notes)))
    return Searched(PageTable(identifier, f"What every strategy reached{of}", strategies_table(records)), trials)


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


@dataclass(frozen=True)
class Opinion:
    """The verdict on a method.

    Attributes:
        variant: Of the study, if it has variants.
        method: Its label.
        text: What its runs have in common.
        seed: Of the run that is told in full: see `StudyVerdict.representative`.
        told: The verdict on that run; none where it has recorded nothing.
        missing: Why not.
    """

    variant: str | None
    method: str
    text: str
    seed: int
    told: VerdictText | None
    missing: str | None


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on a study.

    Attributes:
        opinions: One a method.
        legend: Explains their tables.
        plate: Who owns the update with every method; none where no run has recorded anything.
    """

    opinions: list[Opinion]
    legend: str
    plate: EmbeddedFigure | None


def verdicts(study: Study) -> Verdicts:
    """The verdicts on the multi-task networks of a study, unfinished ones too."""
    found = diagnose_study(study)
    drawn = None
    if any(method.shares for method in found.methods):
        drawn = plate(
            "figure-verdict",
            "Who owns the update",
            "The share of the shared network's update that each task owns with every method, over the analysed steps, "
            "mean over seeds. Dashed lines are equal shares.",
            study_verdict_figure(found),
        )
    return Verdicts([_opinion(found, method) for method in found.methods], LEGEND, drawn)


def _opinion(found: StudyVerdict, method: MethodVerdict) -> Opinion:
    run = found.representative(method)
    told = None if run.verdict is None else tell(run.verdict)
    return Opinion(method.variant, method.balancer, method.text, run.seed, told, run.missing)
