"""The content of the page of a study."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from equipoise._core.version import __version__
from equipoise.config import Recipe
from equipoise.report.figures import draw_figures
from equipoise.report.html import tables
from equipoise.report.html.charts import change_chart, chart_methods, chart_tasks, epoch_chart, gradient_chart
from equipoise.report.html.pictures import EmbeddedFigure, embed_figure, prediction_viewer
from equipoise.report.html.summary import Fact, RunState, row_command, run_states, study_command, summary, versions
from equipoise.report.html.tables import PageTable, PageVerdicts, SearchTables, verdicts
from equipoise.report.predictions import predict_samples
from equipoise.report.tables.comparison import PROTOCOLS
from equipoise.studies import Study
from equipoise.studies.results.groups import by_method
from equipoise.studies.results.study import RECIPE

_IMAGES = 4
"""Number of test images with predictions."""


@dataclass(frozen=True)
class Command:
    """The command that makes a row again.

    Attributes:
        variant: Label of the variant; `None` in a study without variants.
        method: Label of the method.
        line: The command.
    """

    variant: str | None
    method: str
    line: str


@dataclass(frozen=True)
class Content:
    """The content of a page; a part that a study lacks is `None` or empty.

    Attributes:
        study: The study.
        made: When the page was made.
        version: The version of Equipoise that made it.
        facts: The numbers at its head.
        results: The main table; `None` while no run of it is known.
        certainty: How certain the order of methods is.
        published: Measured beside published numbers.
        metrics: Every metric.
        searches: The results of searches for loss weights.
        verdicts: What is out of balance.
        figures: The figures.
        states: All runs.
        left_out: Why the predictions of a run are missing.
        versions: The software that made the runs.
        study_command: The command that makes the study again.
        commands: The commands that make single rows again.
        recipe: The recipe without defaults.
        saved_recipe: The recipe with all defaults, as it is in the study's directory.
        data: The data of the charts, by name.
    """

    study: Study
    made: str
    version: str
    facts: list[Fact]
    results: PageTable | None
    certainty: PageTable | None
    published: PageTable | None
    metrics: PageTable | None
    searches: list[SearchTables]
    verdicts: PageVerdicts
    figures: list[EmbeddedFigure]
    states: list[RunState]
    left_out: dict[str, str]
    versions: list[str]
    study_command: str
    commands: list[Command]
    recipe: str
    saved_recipe: str
    data: dict[str, Any]

    @property
    def protocol(self) -> str:
        """How checkpoints were chosen, in words."""
        return PROTOCOLS[self.study.recipe.run_protocol]

    @property
    def sections(self) -> list[tuple[str, str]]:
        """Anchor and title of every section."""
        return [
            ("results", "Results"),
            *([("search", "Loss-weight search")] if self.searches else []),
            *([("verdicts", "Verdicts")] if self.verdicts.methods else []),
            *([("training", "While it trained")] if self.data["gradients"]["runs"] or self.data["epochs"] else []),
            *([("predictions", "Predictions")] if self.data["samples"] or self.left_out else []),
            *([("figures", "Figures")] if self.figures else []),
            ("reproduce", "How to make it again"),
        ]


def gather(study: Study, progress: Callable[[str], None]) -> Content:
    """Collect the content of the page from the directories of a study and its runs.

    Args:
        study: The study.
        progress: Called with the name of each step.
    """
    progress("Reading the runs")
    records, recipe = study.rows, study.recipe
    certainty = tables.certainty(study) if records else None
    data: dict[str, Any] = {
        "tasks": chart_tasks(study.directions),
        "methods": chart_methods(records),
        "variants": [variant for variant in dict.fromkeys(record.variant for record in records) if variant is not None],
        "changes": change_chart(study),
        "gradients": gradient_chart(study),
        "epochs": epoch_chart(study),
    }
    progress("Diagnosing the balance")
    found_verdicts = verdicts(study)
    progress("Predicting some test images")
    predictions = predict_samples(records, study.root, _IMAGES)
    data["samples"] = prediction_viewer(predictions)
    figures = []
    for drawn in draw_figures(records, study.root) if records else ():
        progress(f"Drawing: {drawn.title}")
        figures.append(embed_figure(f"figure-{drawn.name}", drawn.title, drawn.caption, drawn.figure))
    return Content(
        study=study,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        facts=summary(study, certainty.table if certainty else None),
        results=tables.results(study) if records else None,
        certainty=certainty,
        published=tables.published(study) if records else None,
        metrics=tables.every_metric(study) if records else None,
        searches=tables.searches(study),
        verdicts=found_verdicts,
        figures=figures,
        states=run_states(study),
        left_out=predictions.left_out,
        versions=versions(study),
        study_command=study_command(),
        commands=[Command(*method, row_command(recipe, *method)) for method in by_method(records)],
        recipe=_short_yaml(recipe),
        saved_recipe=(study.directory / RECIPE).read_text(encoding="utf-8"),
        data=data,
    )


def _short_yaml(recipe: Recipe) -> str:
    """Return a recipe as people write it: the name first, no defaults, small mappings on one line."""
    content = recipe.model_dump(mode="json", exclude_defaults=True)
    if recipe.imports:
        content["import"] = [module.entry for module in recipe.imports]
    first = {key: content[key] for key in ("name", "description", "import") if key in content}
    return yaml.safe_dump(first | content, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
