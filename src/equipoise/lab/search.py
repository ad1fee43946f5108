"""Searching for loss weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console

from equipoise import studies
from equipoise._core.errors import input_errors, require
from equipoise._core.text import file_name
from equipoise.config import Recipe
from equipoise.lab.bench import Progress, check_runs, generate_data, make_runs, read_recipe, variant_label
from equipoise.report.console.progress import SearchProgress
from equipoise.report.tables.search import recipe_entry, strategies_table, trials_table, with_weights
from equipoise.report.tables.table import Table
from equipoise.studies import Event
from equipoise.studies.run import executors
from equipoise.studies.run.executors import Executor
from equipoise.studies.search import Budget, Search, SearchResult, Trial, read_search, read_searches


@dataclass(frozen=True, repr=False)
class WeightSearch:
    """The result of a search for loss weights.

    Attributes:
        directory: The directory of the study, or of its variant.
        record: The trials and their result; `None` if no trial has begun.
        interrupted: Whether Ctrl-C ended the call.
    """

    directory: Path
    record: SearchResult | None
    interrupted: bool = False

    def __repr__(self) -> str:
        return f"<WeightSearch: {len(self.trials)} trials, best weights {self.weights}, in {self.directory}>"

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials in their order."""
        return () if self.record is None else self.record.trials

    @property
    def weights(self) -> Mapping[str, float] | None:
        """The weights with the best delta_m on validation, by task; `None` if no trial is finished."""
        return None if self.record is None or self.record.best is None else dict(self.record.best.weights)

    @property
    def recipe_entry(self) -> str:
        """The best weights as an entry of a recipe's `balancers`; an empty text if no trial is finished."""
        return "" if self.record is None else recipe_entry(self.record)

    def table(self) -> Table:
        """Return the trials as a table.

        Raises:
            ValueError: No trial has begun.
        """
        if self.record is None:
            raise ValueError(f"No trial of the search in {self.directory} has begun.")
        return trials_table(self.record)

    def strategies(self) -> Table | None:
        """Return every strategy that was run on the same problem as a table; `None` if none has finished a trial."""
        compared = [] if self.record is None else read_searches(self.directory).get(self.record.problem, [])
        return strategies_table(compared) if compared else None

    def write_tables(self) -> None:
        """Write the trials as `search-STRATEGY.md` and `.csv`, and all strategies as `search.md` and `search.csv`."""
        if self.record is None:
            return
        name = f"search-{file_name(self.record.strategy)}"
        with_weights(self.table(), self.record).write(self.directory / f"{name}.md")
        self.table().write(self.directory / f"{name}.csv")
        if (compared := self.strategies()) is not None:
            compared.write(self.directory / "search.md")
            compared.write(self.directory / "search.csv")


def search(
    recipe: Recipe | Mapping[str, Any] | Path | str,
    strategy: str,
    overrides: Sequence[str] = (),
    *,
    runs: int | None = None,
    hours: float | None = None,
    variant: str | None = None,
    executor: Executor | str = "local",
    executor_options: Mapping[str, Any] = MappingProxyType({}),
    output: Path | str = "studies",
    jobs: int = 1,
    progress: Progress = False,
    **options: Any,
) -> WeightSearch:
    """Search for the loss weights with the best delta_m on validation.

    Trials are runs with the balancer `fixed` and the first seed of the recipe. They are kept as those of `bench` are:
    stop at any time, and call again to continue.

    Args:
        recipe: The path of a recipe, its content, or a `Recipe`.
        strategy: `grid`, `coordinate`, `random`, `tpe`, `avgnorm`, or a strategy that you have registered.
        overrides: Changes such as `training.epochs=5`.
        runs: Maximum number of trials in all, including cached ones.
        hours: Hours of training after which no trial begins.
        variant: Which of the recipe's variants; the first by default.
        executor: Where runs are made: `local`, `ray`, `slurm`, an executor that you have registered, or an object.
        executor_options: Options of an executor that is named, such as `{"cpus": 4}`.
        output: The directory of all studies and runs.
        jobs: Number of runs at a time.
        progress: Whether to print progress, or a function that is called with every event of a run.
        options: Options of the strategy, such as `ranges={"depth": (1, 2, 5)}`.

    Returns:
        The trials and the best weights. If Ctrl-C ended the call, `interrupted` is true.

    Raises:
        ValueError: The recipe or an option is wrong, or a run that the strategy depends on has failed.
        DatasetError: The data are missing or damaged.
    """
    output = Path(output)
    with input_errors():
        require(jobs >= 1, "jobs", jobs, "be at least 1")
        recipe = read_recipe(recipe, overrides)
        # After the recipe, which may import the executor.
        executor = executors.create(executor, **executor_options) if isinstance(executor, str) else executor
        directory = output / recipe.name
        label = variant_label(recipe, variant)
        if label is not None:
            recipe = recipe.variant(next(entry for entry in recipe.variants if entry.label == label))
            directory /= file_name(label)
        budget = Budget(runs, hours)
        generate_data(recipe, progress)
        whole = Search(recipe, strategy, output, directory, options=options, budget=budget)
        whole.check()
        check_runs(whole.singles, output)
    interrupted = not make_runs(whole.singles, output, jobs, progress, executor)
    if not interrupted:
        with input_errors():
            interrupted = not _conduct(whole, output, jobs, executor, budget, progress)
    found = WeightSearch(directory, read_search(directory, strategy), interrupted)
    found.write_tables()
    return found


def _conduct(whole: Search, output: Path, jobs: int, executor: Executor, budget: Budget, progress: Progress) -> bool:
    """Make the trials; return whether nobody pressed Ctrl-C."""

    def conduct(watch: Callable[[Event], None], noted: Callable[[SearchResult], None]) -> bool:
        try:
            whole.run(
                lambda planned, watch: studies.execute(planned, output, jobs=jobs, watch=watch, executor=executor),
                jobs,
                on_change=noted,
                watch=watch,
            )
        except KeyboardInterrupt:
            return False
        return True

    if progress is True:
        with SearchProgress(Console(), whole.expected, budget, jobs) as shown:
            return conduct(shown, shown.show_record)
    return conduct(progress or (lambda event: None), lambda record: None)
