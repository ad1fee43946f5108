"""A whole search: a strategy, its runs, and the file of its results."""

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
from equipoise.studies.search.results import SearchResult, read_search
from equipoise.studies.search.runs import MakeRuns, TrialRuns, plan_with
from equipoise.studies.search.strategies import create


class Search:
    """A search for loss weights; it goes on where an earlier call with the same directory stopped.

    Args:
        recipe: A recipe without variants and grid. Trials have its first seed.
        strategy: One of `available()`.
        root: The directory that all studies share.
        directory: Directory for the results.
        options: Options of the strategy.
        budget: What all trials may cost. Strategies that do not end by themselves need one.

    Attributes:
        singles: The single-task networks that trials are compared with. They must be finished before `run`.
        expected: Number of trials that the strategy makes without a budget; none if it is not known.

    Raises:
        ValueError: The strategy or an option is not known; the strategy needs a budget; or the recipe has variants or a
            grid.
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
            raise ValueError(f"strategy `{strategy}` does not end by itself: give it a budget of `runs` or `hours`.")
        *self.singles, uniform = plan_with(recipe, "uniform")
        self.expected = self._strategy.expected()
        self._empty = SearchResult(
            strategy=strategy,
            options=dict(options or {}),
            problem=uniform.key,
            seed=recipe.seeds[0],
            protocol=recipe.run_protocol,
        )

    def check(self) -> None:
        """Check, before anything is trained, that the files of the strategy can be opened.

        Raises:
            ValueError: They cannot be opened.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._strategy.check(self._directory, self._empty.problem)

    def run(
        self,
        make_runs: MakeRuns,
        jobs: int = 1,
        *,
        on_change: Callable[[SearchResult], None] = lambda result: None,
        watch: Watch = lambda event: None,
    ) -> SearchResult:
        """Search until the strategy has nothing more to try or the budget is spent.

        The results are written after every trial, so that nothing is lost if the process ends. The test split is read
        once, for the best trial alone.

        Args:
            make_runs: Makes runs, as `equipoise.studies.execute` does.
            jobs: Number of runs that `make_runs` makes side by side.
            on_change: Called with the results whenever they change.
            watch: Called with every event of the runs.

        Raises:
            ValueError: Single-task networks are missing.
        """
        if missing := unfinished_runs(self.singles, self._root):
            raise ValueError(f"the single-task networks should be finished first. Missing: {missing[0].name}.")
        self._directory.mkdir(parents=True, exist_ok=True)
        result = self._empty
        before = read_search(self._directory, result.strategy) or result

        def update(runs: TrialRuns) -> None:
            nonlocal result
            result = result.model_copy(update={"trials": tuple(runs.trials()), "own": tuple(runs.own())})
            self._write(result, on_change)

        runs = TrialRuns(
            self._recipe,
            self._root,
            self._directory,
            make_runs,
            jobs=jobs,
            budget=self._budget,
            earlier=before.trials,
            own=before.own,
            on_change=update,
            watch=watch,
        )
        with suppress(BudgetSpent):
            self._strategy.search(runs)
        if result.best is not None:
            best = replace(runs.run(result.best.weights), trial=False)
            result = result.model_copy(update={"test": collect([*self.singles, best], self._root)[-1].delta_m})
            self._write(result, on_change)
        return result

    def _write(self, result: SearchResult, on_change: Callable[[SearchResult], None]) -> None:
        result.write(self._directory)
        on_change(result)
