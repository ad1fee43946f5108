"""A whole search: a strategy, its runs, and the record of both."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from equipoise.config import Recipe
from equipoise.studies.results.aggregate import collect
from equipoise.studies.run.execute import unfinished_runs
from equipoise.studies.run.executors import Watch
from equipoise.studies.search.problem import Budget, BudgetSpent
from equipoise.studies.search.runs import Make, Runs, planned_with
from equipoise.studies.search.strategies import create
from equipoise.studies.search.trials import SearchRecord, read_record


class Search:
    """A strategy on a study; goes on where an earlier call with the same directory stopped.

    Args:
        recipe: Without variants and grid. Trials have its first seed.
        strategy: One of `available()`.
        root: The directory that all studies share.
        directory: Where the record is kept.
        options: The strategy's own.
        budget: What all trials may cost; needed by strategies that do not come to an end by themselves.

    Attributes:
        singles: The single-task networks that trials are compared with; to be finished before it is conducted.
        expected: How many trials the strategy makes without a budget, if that can be told.

    Raises:
        ValueError: There is no such strategy or option; it needs a budget; or the recipe is not of one network.
    """

    def __init__(
        self,
        recipe: Recipe,
        strategy: str,
        root: Path,
        directory: Path,
        *,
        options: Mapping[str, Any] | None = None,
        budget: Budget | None = None,
    ) -> None:
        if recipe.variants or recipe.grid:
            found = "variants" if recipe.variants else "grid"
            raise ValueError(
                f"a search needs a recipe of one network, without `variants` and `grid`. Found `{found}`; "
                "choose a variant, or set the keys of the grid."
            )
        self._recipe, self._root, self._directory = recipe, root, directory
        self._budget = budget or Budget()
        self._strategy = create(strategy, recipe.tasks, **(options or {}))
        if self._strategy.endless and self._budget == Budget():
            raise ValueError(f"strategy `{strategy}` goes on as long as it may: give it a budget of `runs` or `hours`.")
        *self.singles, uniform = planned_with(recipe, "uniform")
        self.expected = self._strategy.expected()
        self._record = SearchRecord(
            strategy=strategy,
            options=dict(options or {}),
            problem=uniform.key,
            seed=recipe.seeds[0],
            protocol=recipe.run_protocol,
        )

    def check(self) -> None:
        """Open what the strategy keeps between calls, to find out before anything is trained whether that is possible.

        Raises:
            ValueError: It cannot be opened.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._strategy.check(self._directory, self._record.problem)

    def conduct(
        self,
        make: Make,
        jobs: int = 1,
        *,
        noted: Callable[[SearchRecord], None] = lambda record: None,
        watch: Watch = lambda event: None,
    ) -> SearchRecord:
        """Search until the strategy has nothing more to try or the budget is spent.

        What is found is written after every trial, so that nothing is lost whenever the process ends. The test split
        is looked at when the best trial is known, and at that trial's alone.

        Args:
            make: Makes runs, as `equipoise.studies.execute` does.
            jobs: How many runs `make` makes side by side.
            noted: Told of every change of the record.
            watch: Told how far runs are.

        Raises:
            ValueError: Single-task networks are missing.
        """
        if missing := unfinished_runs(self.singles, self._root):
            raise ValueError(f"the single-task networks should be finished first. Missing: {missing[0].name}.")
        self._directory.mkdir(parents=True, exist_ok=True)
        record = self._record
        before = read_record(self._directory, record.strategy) or record

        def note(runs: Runs) -> None:
            nonlocal record
            record = record.model_copy(update={"trials": tuple(runs.known()), "own": tuple(runs.own())})
            self._keep(record, noted)

        runs = Runs(
            self._recipe,
            self._root,
            self._directory,
            make,
            jobs=jobs,
            budget=self._budget,
            earlier=before.trials,
            own=before.own,
            noted=note,
            watch=watch,
        )
        with suppress(BudgetSpent):
            self._strategy.search(runs)
        if record.best is not None:
            best = replace(runs.run(record.best.weights), trial=False)
            record = record.model_copy(update={"test": collect([*self.singles, best], self._root)[-1].delta_m})
            self._keep(record, noted)
        return record

    def _keep(self, record: SearchRecord, noted: Callable[[SearchRecord], None]) -> None:
        record.write(self._directory)
        noted(record)
