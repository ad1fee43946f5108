"""Everything that the page of a study shows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from equipoise._core.version import __version__
from equipoise.config import Recipe
from equipoise.report.figures import gallery
from equipoise.report.html.charts import change_chart, epoch_chart, gradient_chart, method_looks, task_looks
from equipoise.report.html.pictures import EmbeddedFigure, plate, prediction_viewer
from equipoise.report.html.summary import Fact, RunState, facts, row_command, run_states, versions, whole_command
from equipoise.report.html.tables import (
    PageTable,
    Searched,
    Verdicts,
    every_metric,
    published,
    results,
    searches,
    sureness,
    verdicts,
)
from equipoise.report.predictions import predicted
from equipoise.report.tables.comparison import PROTOCOLS
from equipoise.studies import Study
from equipoise.studies.results.study import RECIPE

_IMAGES = 4
"""Test images of which predictions are shown."""


@dataclass(frozen=True)
class Command:
    """How to make a row again."""

    variant: str | None
    method: str
    line: str


@dataclass(frozen=True)
class Content:
    """The content of a page; what there is none of is none or empty.

    Attributes:
        study: The study.
        made: When the page was made.
        version: Of Equipoise, that made it.
        facts: Numbers for its head.
        results: The main table; none while no run of it is known.
        sureness: How sure its order is.
        published: Measured beside published.
        metrics: Every metric.
        searches: What searches for loss weights have found.
        verdicts: What is out of balance.
        plates: Figures.
        states: All runs.
        left_out: Why predictions of a run are not there.
        versions: Of the software of the runs.
        whole: The command that makes the study again.
        commands: Those that make single rows again.
        recipe: What was asked for, without what is so by default.
        saved_recipe: All of it, as it is in the study's directory.
        data: For the charts, by name.
    """

    study: Study
    made: str
    version: str
    facts: list[Fact]
    results: PageTable | None
    sureness: PageTable | None
    published: PageTable | None
    metrics: PageTable | None
    searches: list[Searched]
    verdicts: Verdicts
    plates: list[EmbeddedFigure]
    states: list[RunState]
    left_out: dict[str, str]
    versions: list[str]
    whole: str
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
            *([("verdicts", "Verdicts")] if self.verdicts.opinions else []),
            *([("training", "While it trained")] if self.data["gradients"]["runs"] or self.data["epochs"] else []),
            *([("predictions", "Predictions")] if self.data["samples"] or self.left_out else []),
            *([("figures", "Figures")] if self.plates else []),
            ("reproduce", "How to make it again"),
        ]


def gather(study: Study, progress: Callable[[str], None]) -> Content:
    """Read all that a study's runs have left behind.

    Args:
        study: The study.
        progress: Told what is being done.
    """
    progress("Reading the runs")
    records, recipe = study.rows, study.recipe
    sure = sureness(study) if records else None
    methods = list(dict.fromkeys((record.variant, record.balancer) for record in records))
    data: dict[str, Any] = {
        "tasks": task_looks(study.directions),
        "methods": method_looks(records),
        "variants": [variant for variant in dict.fromkeys(record.variant for record in records) if variant is not None],
        "changes": change_chart(study),
        "gradients": gradient_chart(study),
        "epochs": epoch_chart(study),
    }
    progress("Judging the balance")
    judged = verdicts(study)
    progress("Predicting some test images")
    shown = predicted(records, study.root, _IMAGES)
    data["samples"] = prediction_viewer(shown)
    plates = []
    for drawn in gallery(records, study.root) if records else ():
        progress(f"Drawing: {drawn.title}")
        plates.append(plate(f"figure-{drawn.name}", drawn.title, drawn.caption, drawn.figure))
    return Content(
        study=study,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        facts=facts(study, sure.table if sure else None),
        results=results(study) if records else None,
        sureness=sure,
        published=published(study) if records else None,
        metrics=every_metric(study) if records else None,
        searches=searches(study),
        verdicts=judged,
        plates=plates,
        states=run_states(study),
        left_out=shown.left_out,
        versions=versions(study),
        whole=whole_command(),
        commands=[Command(variant, method, row_command(recipe, variant, method)) for variant, method in methods],
        recipe=_written(recipe),
        saved_recipe=(study.directory / RECIPE).read_text(encoding="utf-8"),
        data=data,
    )


def _written(recipe: Recipe) -> str:
    """A recipe as people write it: the name first, nothing that is so by default, small things on one line."""
    content = recipe.model_dump(mode="json", exclude_defaults=True)
    if recipe.imports:
        content["import"] = [module.entry for module in recipe.imports]
    first = {key: content[key] for key in ("name", "description", "import") if key in content}
    return yaml.safe_dump(first | content, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
