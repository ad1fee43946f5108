"""The tables of the page."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from equipoise import report
from equipoise.report.figures.gradients import study_verdict_figure
from equipoise.report.html.pictures import EmbeddedFigure, embed_figure
from equipoise.report.tables.search import recipe_entry, strategies_table, trials_table
from equipoise.report.tables.table import Table
from equipoise.report.verdict_text import LEGEND, VerdictText, verdict_text
from equipoise.studies import Study
from equipoise.studies.results.diagnose import MethodVerdict, StudyVerdict, diagnose_study
from equipoise.studies.search import SearchResult, read_searches


@dataclass(frozen=True)
class PageTable:
    """A table with its heading.

    Attributes:
        identifier: Its anchor on the page.
        title: Its heading.
        table: The numbers.
    """

    identifier: str
    title: str
    table: Table


@dataclass(frozen=True)
class SearchTables:
    """The results of searches for loss weights on one problem.

    Attributes:
        strategies: The result and the cost of each strategy.
        trials: The trials of each.
    """

    strategies: PageTable
    trials: list[PageTable]


def results(study: Study) -> PageTable:
    """Return the main metrics, delta_m and weights of every method."""
    return PageTable("table", "Every method", report.comparison(study.rows, study.directions))


def certainty(study: Study) -> PageTable | None:
    """Return how certain the order of the methods is; `None` if a single seed or method is finished."""
    table = report.certainty(study.rows, study.directions)
    return None if table is None else PageTable("certainty", "How sure the order is", table)


def published(study: Study) -> PageTable | None:
    """Return measured beside published numbers; `None` if the recipe names no table to compare with."""
    rows = study.recipe.published_rows
    if not rows:
        return None
    table = report.beside_published(study.rows, study.directions, rows)
    return PageTable("published", "Measured beside published", table)


def every_metric(study: Study) -> PageTable | None:
    """Return all metrics that were measured; `None` if these are the main ones."""
    measured = {key for record in study.rows for key in record.metrics}
    directions = {key: higher for key, higher in _all_directions(study).items() if key in measured}
    if directions.keys() <= study.directions.keys():
        return None
    table = _first_columns(report.comparison(study.rows, directions), len(directions))
    return PageTable("metrics", "Every metric", table)


def searches(study: Study) -> list[SearchTables]:
    """Return the results of `equipoise search` for this study."""
    # If a recipe has variants, each has its own directory below that of the study.
    folders = [study.directory, *sorted(path for path in study.directory.iterdir() if path.is_dir())]
    found = [
        (folder.name if folder != study.directory else "", records)
        for folder in folders
        for records in read_searches(folder).values()
    ]
    return [_search(f"search-{number}", variant, records) for number, (variant, records) in enumerate(found)]


def _search(identifier: str, variant: str, records: list[SearchResult]) -> SearchTables:
    of = f", {variant}" if variant else ""
    trials = []
    for record in records:
        table = trials_table(record)
        notes = (*table.notes, f"The best weights, for the `balancers` of a recipe: `{recipe_entry(record)}`")
        title = f"Every trial of the strategy {record.strategy}{of}"
        trials.append(PageTable(f"{identifier}-{record.strategy}", title, replace(table, notes=notes)))
    strategies = PageTable(identifier, f"The result of every strategy{of}", strategies_table(records))
    return SearchTables(strategies, trials)


def _all_directions(study: Study) -> Mapping[str, bool | None]:
    tasks = study.recipe.data.tasks(study.recipe.tasks)
    return {
        f"{name}.{key}": metric.higher_is_better
        for name, task in tasks.items()
        for key, metric in task.metrics().items()
    }


def _first_columns(table: Table, count: int) -> Table:
    """Return the columns of metrics with the first note; the main table has the rest."""
    rows = tuple(replace(row, values=row.values[:count]) for row in table.rows)
    return replace(table, columns=table.columns[:count], rows=rows, notes=table.notes[:1])


@dataclass(frozen=True)
class PageVerdict:
    """The verdict on a method.

    Attributes:
        variant: Label of the variant; `None` in a study without variants.
        method: Label of the method.
        summary: What its runs have in common.
        seed: The seed of the run that is shown in full, see `StudyVerdict.representative`.
        text: The verdict on that run; `None` if it has recorded nothing.
        missing: Why there is no verdict.
    """

    variant: str | None
    method: str
    summary: str
    seed: int
    text: VerdictText | None
    missing: str | None


@dataclass(frozen=True)
class PageVerdicts:
    """The verdicts on a study.

    Attributes:
        methods: The verdict on each method.
        legend: Explains their tables.
        figure: The share of each task in the update with every method; `None` if no run has recorded anything.
    """

    methods: list[PageVerdict]
    legend: str
    figure: EmbeddedFigure | None


def verdicts(study: Study) -> PageVerdicts:
    """Return the verdicts on the multi-task networks of a study, unfinished ones too."""
    found = diagnose_study(study)
    figure = None
    if any(method.shares for method in found.methods):
        figure = embed_figure(
            "figure-verdict",
            "Who owns the update",
            "The share of each task in the update of the shared network with every method, over the analysed steps, "
            "mean over seeds. Dashed lines are equal shares.",
            study_verdict_figure(found),
        )
    return PageVerdicts([_verdict(found, method) for method in found.methods], LEGEND, figure)


def _verdict(found: StudyVerdict, method: MethodVerdict) -> PageVerdict:
    run = found.representative(method)
    text = None if run.verdict is None else verdict_text(run.verdict)
    return PageVerdict(method.variant, method.balancer, method.text, run.seed, text, run.missing)
