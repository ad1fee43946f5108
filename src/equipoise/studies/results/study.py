"""A study on disk: the recipe in its directory, by which its runs are found again."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from equipoise._core.files import write_text
from equipoise.config import ConfigError, Recipe, load
from equipoise.studies.plan.matrix import PlannedRun, plan
from equipoise.studies.results.aggregate import RunRow, collect
from equipoise.studies.run.execute import unfinished_runs
from equipoise.training.selection import main_metrics

RECIPE = "study.yaml"
"""In the directory of a study: its recipe with all changes of the command line and all defaults."""


@dataclass(frozen=True)
class Study:
    """A study as it is now, finished or not.

    Attributes:
        directory: Its own; runs lie beside it, wherever both have been moved to.
        recipe: What it compares.
        planned: The runs of its table that are known by now.
        records: What each of them has found, in the same order.
        left: How many known runs are not finished, trials of grids among them.
    """

    directory: Path
    recipe: Recipe
    planned: tuple[PlannedRun, ...]
    records: tuple[RunRow, ...]
    left: int

    @property
    def root(self) -> Path:
        """The directory that all studies share."""
        return self.directory.parent

    @property
    def directions(self) -> dict[str, bool]:
        """The main metric of every task as `task.metric`, and whether a higher value is better."""
        return main_metrics(self.recipe.data.tasks(self.recipe.tasks))


def save_recipe(recipe: Recipe, directory: Path) -> None:
    """Write the recipe of a study into its directory, which is made if it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / RECIPE, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def open_study(directory: Path) -> Study:
    """Look at a study from its directory.

    Args:
        directory: The one that `equipoise bench` has made, such as `studies/quickstart`.

    Raises:
        ConfigError: It is no directory of a study.
    """
    if not (directory / RECIPE).exists():
        raise ConfigError(
            "`STUDY` should be the directory of a study that `equipoise bench` has made, such as studies/quickstart. "
            f"Found `{directory}`, which has no `{RECIPE}`; `equipoise bench` writes it, also of finished runs."
        )
    place = directory.resolve()
    recipe = load(place / RECIPE, Recipe)
    planned = plan(recipe, place.parent)
    left = len(unfinished_runs(planned, place.parent))
    of_table = tuple(run for run in planned if not run.trial)
    return Study(place, recipe, of_table, tuple(collect(of_table, place.parent)), left)
