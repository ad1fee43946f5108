"""Making the runs of a recipe: whole studies, single networks, and dry runs."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console

from equipoise import config, data, studies
from equipoise._core.errors import InputError, input_errors, require
from equipoise._core.text import choose
from equipoise.config import ConfigError, Recipe
from equipoise.data import DatasetError
from equipoise.lab.study import Run, Study
from equipoise.report.console.progress import StudyProgress, progress_bar
from equipoise.studies import Event, PlannedRun
from equipoise.studies.plan.estimate import RunCost, estimate
from equipoise.studies.plan.keys import Fingerprints
from equipoise.studies.run import executors
from equipoise.studies.run.executors import Executor
from equipoise.training import prepare, read_result
from equipoise.training.selection import main_metrics

Progress = bool | Callable[[Event], None]
"""`True` to print progress, `False` for silence, or a function that is called with every event of a run."""


def bench(
    recipe: Recipe | Mapping[str, Any] | Path | str,
    overrides: Sequence[str] = (),
    *,
    executor: Executor | str = "local",
    executor_options: Mapping[str, Any] = MappingProxyType({}),
    output: Path | str = "studies",
    jobs: int = 1,
    progress: Progress = False,
    figures: bool = True,
) -> Study:
    """Train the single-task networks and every balancer of a recipe, and write tables and figures.

    Finished runs are never made again: stop at any time, and call again to continue.

    Args:
        recipe: The path of a recipe, its content, or a `Recipe`.
        overrides: Changes such as `training.epochs=5`.
        executor: Where runs are made: `local`, `ray`, `slurm`, an executor that you have registered, or an object.
        executor_options: Options of an executor that is named, such as `{"cpus": 4}`.
        output: The directory of all studies and runs.
        jobs: Number of runs at a time.
        progress: Whether to print progress, or a function that is called with every event of a run.
        figures: Whether to draw the folder `figures`; `Study.write_figures` does so later.

    Returns:
        The study. If Ctrl-C ended the call, `interrupted` is true and the study has what is finished.

    Raises:
        ValueError: The recipe or an option is wrong.
        DatasetError: The data are missing or damaged.
    """
    output = Path(output)
    with input_errors():
        require(jobs >= 1, "jobs", jobs, "be at least 1")
        recipe = read_recipe(recipe, overrides)
        directory = output / recipe.name
        # After the recipe, which may import the executor.
        executor = executors.create(executor, **executor_options) if isinstance(executor, str) else executor
        check_published(recipe)
        fingerprints = _known_fingerprints(recipe, output, progress)
        planned = studies.plan(recipe, output, fingerprints)
        check_runs(planned, output)
    studies.save_recipe(recipe, directory, fingerprints)
    attempted = len(studies.unfinished_runs(planned, output))

    def plan() -> list[PlannedRun]:
        return studies.plan(recipe, output, fingerprints)

    interrupted = not make_runs(planned, output, jobs, progress, executor, plan)
    planned = plan()
    in_table = tuple(run for run in planned if not run.trial)
    left = len(studies.unfinished_runs(planned, output))
    state = studies.Study(directory, recipe, in_table, tuple(studies.collect(in_table, output)), left)
    study = Study(state, interrupted, attempted)
    study.write_tables()
    if figures and not interrupted:
        study.write_figures()
    return study


def train(
    recipe: Recipe | Mapping[str, Any] | Path | str,
    overrides: Sequence[str] = (),
    *,
    balancer: str | None = None,
    variant: str | None = None,
    output: Path | str = "studies",
    progress: Progress = False,
) -> Run:
    """Train one multi-task network of a recipe, with one balancer and the first seed.

    Its best checkpoint is chosen by delta_m if `bench` has trained the single-task networks of the recipe, otherwise by
    the mean relative loss.

    Args:
        recipe: The path of a recipe, its content, or a `Recipe`.
        overrides: Changes such as `training.epochs=5`.
        balancer: Which of the recipe's balancers; the first by default.
        variant: Which of the recipe's variants; the first by default.
        output: The directory of all studies and runs.
        progress: Whether to print progress, or a function that is called with every event of the run.

    Returns:
        The run. If Ctrl-C ended the call, its status is `missing`; the same call continues from its last checkpoint.

    Raises:
        ValueError: The recipe or an option is wrong.
        DatasetError: The data are missing or damaged.
    """
    output = Path(output)
    with input_errors():
        recipe = read_recipe(recipe, overrides)
        generate_data(recipe, progress)
        runs = [run for run in studies.plan(recipe, output) if run.needs and not run.trial]
        label = variant_label(recipe, variant)
        runs = [run for run in runs if run.variant == label]
        if not runs:
            raise InputError("The hyper-parameters of this recipe are chosen first: call `equipoise bench`.")
        run = choose("balancer", balancer or runs[0].title, {run.title: run for run in reversed(runs)})
        if any(read_result(studies.run_directory(output, key)) is None for key in run.needs):
            # Without single-task networks to compare with it is another run than the one that `bench` will make.
            run = run.alone()
        check_runs([run], output)
    make_runs([run], output, 1, progress)
    state = studies.Study(output / recipe.name, recipe, (run,), tuple(studies.collect([run], output)), 0)
    return Study(state).runs[0]


@dataclass(frozen=True)
class DryRun:
    """The runs of a study and their cost.

    Attributes:
        planned: The runs that are known by now.
        root: The directory of all studies and runs.
        in_all: Number of runs of the finished study.
        costs: The cost of each unfinished run by its key; empty if it could not be measured.
        problem: Why it could not be measured.
    """

    planned: Sequence[PlannedRun]
    root: Path
    in_all: int
    costs: Mapping[str, RunCost]
    problem: str | None = None


def dry_run(
    recipe: Recipe | Mapping[str, Any] | Path | str,
    overrides: Sequence[str] = (),
    *,
    output: Path | str = "studies",
    jobs: int = 1,
    progress: Progress = False,
) -> DryRun:
    """Return the runs of a study with an estimate of their time, memory and disk; no run is made.

    The estimate comes from a few steps of each kind of run.

    Args:
        recipe: The path of a recipe, its content, or a `Recipe`.
        overrides: Changes such as `training.epochs=5`.
        output: The directory of all studies and runs.
        jobs: Number of runs at a time.
        progress: Whether to print progress.

    Raises:
        ValueError: The recipe or an option is wrong.
    """
    output = Path(output)
    with input_errors():
        recipe = read_recipe(recipe, overrides)
        check_published(recipe)
        planned = studies.plan(recipe, output)
    try:
        generate_data(recipe, progress)
        planned = studies.plan(recipe, output)
        with _bar("Measuring kinds of runs", progress) as show:
            costs = estimate(studies.unfinished_runs(planned, output), jobs, show)
    except ValueError as error:
        # Such as missing data: the runs can be listed all the same.
        return DryRun(planned, output, studies.count_runs(recipe), {}, str(error))
    return DryRun(planned, output, studies.count_runs(recipe), costs)


def read_recipe(recipe: Recipe | Mapping[str, Any] | Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Return a recipe with changes.

    Args:
        recipe: The path of a YAML file, its content, or a `Recipe`.
        overrides: Changes such as `training.epochs=5`.

    Raises:
        ConfigError: The file cannot be read, or the recipe is wrong.
    """
    if isinstance(overrides, str | Mapping):
        raise ConfigError(f"`overrides` should be a list such as `['training.epochs=5']`. Found `{overrides!r}`.")
    if isinstance(recipe, Path | str):
        return config.load(Path(recipe), Recipe, overrides)
    content = recipe.model_dump(mode="json") if isinstance(recipe, Recipe) else recipe
    return config.parse(content, Recipe, str(content.get("name", "recipe")), overrides)


def variant_label(recipe: Recipe, variant: str | None) -> str | None:
    """Return the label of a variant, by default the first; `None` for a recipe without variants.

    Raises:
        ValueError: There is no such variant.
    """
    if not recipe.variants:
        if variant is not None:
            raise InputError(f"`variant` needs a recipe with variants. Found `variant = {variant!r}`.")
        return None
    labels = {entry.label: entry.label for entry in recipe.variants}
    return choose("variant", variant or recipe.variants[0].label, labels)


def check_published(recipe: Recipe) -> None:
    """Check the names of published tables before anything is trained.

    Raises:
        ValueError: There is no such table, or it has no such rows.
    """
    directions = main_metrics(recipe.data.tasks(recipe.tasks))
    for published in recipe.published_rows.values():
        studies.read_published(published, directions)


def generate_data(recipe: Recipe, progress: Progress) -> None:
    """Generate the data of a study whose dataset makes itself.

    Call it before `studies.plan`: a run is known by its data.

    Raises:
        DatasetError: The data are missing or damaged.
    """
    with _bar(f"Generating {recipe.data.name}", progress) as show:
        studies.prepare_data(recipe, show)


def _known_fingerprints(recipe: Recipe, output: Path, progress: Progress) -> Fingerprints | None:
    """Generate missing data, or do without them: the tables of a finished study need no data.

    Returns:
        The fingerprints of the study's directory if the data are gone and every run is finished; otherwise `None`.

    Raises:
        DatasetError: The data are missing or damaged, and a run is not finished.
    """
    missing = None
    try:
        generate_data(recipe, progress)
    except DatasetError as error:
        missing = error
    if missing is None and all(run.is_complete for run in studies.plan(recipe, output)):
        return None
    known = Fingerprints.read(output / recipe.name)
    planned = studies.plan(recipe, output, known)
    if all(run.is_complete for run in planned) and not studies.unfinished_runs(planned, output):
        return known
    if missing is not None:
        raise missing
    return None


def check_runs(planned: Sequence[PlannedRun], output: Path) -> None:
    """Build one unfinished run of each variant, to find errors before the first run begins.

    Raises:
        ValueError: A run asks for something that does not exist.
        DatasetError: The data are missing or damaged.
    """
    output.mkdir(parents=True, exist_ok=True)
    # The last run of a variant has all tasks.
    for run in {run.variant: run for run in studies.unfinished_runs(planned, output)}.values():
        prepare(run.config)
        if not run.is_complete:
            # This raises an error that names what is missing.
            data.fingerprint(run.config.data.name, run.config.data.root, run.config.data.options)


def make_runs(
    planned: Sequence[PlannedRun],
    output: Path,
    jobs: int,
    progress: Progress,
    executor: Executor | None = None,
    more: Callable[[], Sequence[PlannedRun]] = tuple,
) -> bool:
    """Make the runs that are not finished.

    Returns:
        Whether nobody pressed Ctrl-C. Finished runs are kept in any case.
    """

    def execute(watch: Callable[[Event], None]) -> bool:
        try:
            studies.execute(planned, output, jobs=jobs, watch=watch, more=more, executor=executor)
        except KeyboardInterrupt:
            return False
        return True

    if progress is True:
        with StudyProgress(Console(), planned, output, jobs) as watch:
            return execute(watch)
    return execute(progress or (lambda event: None))


@contextmanager
def _bar(description: str, progress: Progress) -> Generator[Callable[[int, int], None], None, None]:
    if progress is True:
        with progress_bar(Console(stderr=True), description) as show:
            yield show
    else:
        yield lambda done, total: None
