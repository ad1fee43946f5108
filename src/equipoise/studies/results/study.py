"""A study on disk: the recipe and the fingerprints in its directory, by which its runs are found again."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from equipoise._core.files import write_text
from equipoise._core.imports import write_copies
from equipoise.config import ConfigError, Recipe, load
from equipoise.studies.plan.keys import Fingerprints
from equipoise.studies.plan.matrix import plan
from equipoise.studies.plan.planned_run import IMPORTS, PlannedRun
from equipoise.studies.results.aggregate import collect
from equipoise.studies.results.rows import RunRow
from equipoise.studies.run.execute import unfinished_runs
from equipoise.training.selection import main_metrics

RECIPE = "study.yaml"
"""In the directory of a study: its recipe with all changes of the command line and all defaults."""


@dataclass(frozen=True)
class Study:
    """A study in its present state, finished or not.

    Attributes:
        directory: Directory of the study. The runs are beside it, wherever both have been moved to.
        recipe: The recipe.
        planned: The runs of its table that are known by now.
        rows: The result of each of them, in the same order.
        left: Number of known runs that are not finished, including trials of grids.
    """

    directory: Path
    recipe: Recipe
    planned: tuple[PlannedRun, ...]
    rows: tuple[RunRow, ...]
    left: int

    @property
    def root(self) -> Path:
        """The directory that all studies share."""
        return self.directory.parent

    @property
    def directions(self) -> dict[str, bool]:
        """The main metric of every task as `task.metric`, and whether a higher value is better."""
        return main_metrics(self.recipe.data.tasks(self.recipe.tasks))


def save_recipe(recipe: Recipe, directory: Path, fingerprints: Fingerprints | None = None) -> None:
    """Write the recipe of a study into its directory, with the fingerprints of its data and weights.

    The sources of the modules that it imports are copied into the folder `imports`.

    Args:
        recipe: The study.
        directory: Directory of the study; it is made if it is missing.
        fingerprints: Fingerprints that are known, for a study whose data are gone.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / RECIPE, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    write_copies(recipe.imports, directory / IMPORTS)
    fingerprints = fingerprints or Fingerprints()
    plan(recipe, fingerprints=fingerprints)
    fingerprints.write(directory)


def open_study(directory: Path) -> Study:
    """Return a study from its directory. The data and the weights need not be there.

    Args:
        directory: The directory that `equipoise bench` has made, such as `studies/quickstart`.

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
    planned = plan(recipe, place.parent, Fingerprints.read(place))
    left = len(unfinished_runs(planned, place.parent))
    in_table = tuple(run for run in planned if not run.trial)
    return Study(place, recipe, in_table, tuple(collect(in_table, place.parent)), left)
