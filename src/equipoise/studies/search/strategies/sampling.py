"""Strategies that draw weights at random or by a model: Optuna studies that outlive the process."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from equipoise._core.registry import register
from equipoise.studies.search.problem import Problem, Trial, Weights
from equipoise.studies.search.strategies import RangeStrategy

_OUTCOME = "outcome"
"""Attribute of an Optuna trial that holds our trial."""
_MOST_REPEATS = 50
"""The search ends after so many draws in a row of weights that were tried already."""


class SamplingStrategy(RangeStrategy):
    """Draw weights between bounds, and abandon trials that fall behind (Optuna's median pruner).

    A trial is abandoned if its best score so far is below the median of the others at the same epoch, once five have
    finished. Draws and trials are stored in a database, so that another call goes on. If a range is so narrow that it
    holds fewer weights than the budget allows, the search ends when draws bring nothing new.

    Args:
        tasks: Names of the tasks that have weights.
        ranges: Bounds by task: the smallest and the largest value. Weights are drawn log-uniformly between them and
            rounded to four digits.
        storage: URL of an Optuna database, which several machines may share; by default an SQLite file in the study's
            directory. With the default, an interrupted search goes on as if it had never stopped.

    Raises:
        ValueError: A range is wrong, or a bound is 0, which has no logarithm.
    """

    endless = True

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        ranges: Mapping[str, Sequence[float]] | None = None,
        storage: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(tasks, ranges=ranges, **options)
        for task, values in self.ranges.items():
            if len(values) > 1 and min(values) == 0:
                raise ValueError(
                    f"the bounds of `{task}` should be positive, as weights are drawn on a logarithmic scale. "
                    f"Found `{list(values)}`."
                )
        if all(len(values) == 1 for values in self.ranges.values()):
            raise ValueError(f"one task at least should have a range. Found `{self.ranges}`.")
        self._storage = storage
        self._free = {
            task: optuna.distributions.FloatDistribution(min(values), max(values), log=True)
            for task, values in self.ranges.items()
            if len(values) > 1
        }

    @abstractmethod
    def sampler(self, seed: int | None) -> BaseSampler:
        """Return the sampler of the next weights; `seed` is none if several machines draw."""

    def expected(self) -> None:
        """Return none: the number of runs depends on the budget."""
        return

    def check(self, directory: Path, identity: str) -> None:
        """Open the database.

        Raises:
            ValueError: It cannot be opened.
        """
        self._open(directory, identity)

    def search(self, problem: Problem) -> None:
        """Draw and try one set of weights for each job, until the budget is spent or draws bring nothing new.

        Raises:
            ValueError: The database cannot be opened.
        """
        study, earlier = self._open(problem.directory, problem.identity)
        problem.add(earlier)
        self._try(study, self._orphans(study, problem), problem)
        repeats = 0
        while repeats < _MOST_REPEATS and (slots := problem.free_slots()):
            tried = len(problem.trials())
            self._try(study, [self._draw(study) for _ in range(slots)], problem)
            repeats = repeats + slots if len(problem.trials()) == tried else 0

    def _open(self, directory: Path, identity: str) -> tuple[optuna.Study, list[Trial]]:
        """Return the Optuna study of a problem, and its finished trials."""
        storage = self._storage or f"sqlite:///{directory.absolute() / 'search.db'}"
        with _explained(storage):
            study = self._study(storage, identity)
            return study, _trials(study)

    def _study(self, storage: str, identity: str) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        bounds = {task: (min(values), max(values)) for task, values in self.ranges.items()}
        # Trials of another recipe or between other bounds would mislead.
        digest = sha256(repr((identity, sorted(bounds.items()))).encode()).hexdigest()[:16]
        return optuna.create_study(
            storage=storage,
            study_name=f"{type(self).__name__.lower()}-{digest}",
            direction="maximize",
            sampler=self.sampler(None),
            pruner=optuna.pruners.MedianPruner(),
            load_if_exists=True,
        )

    def _draw(self, study: optuna.Study) -> optuna.Trial:
        if self._storage is None:
            # The random state of a killed process is lost. A seed from the count draws the same after a resume.
            study.sampler = self.sampler(len(study.get_trials(deepcopy=False)))
        return study.ask(dict(self._free))

    def _weights(self, trial: optuna.Trial | FrozenTrial) -> Weights:
        drawn = {task: float(f"{value:.4g}") for task, value in trial.params.items()}
        return {task: drawn.get(task, values[0]) for task, values in self.ranges.items()}

    def _orphans(self, study: optuna.Study, problem: Problem) -> list[optuna.Trial]:
        """Return the trials whose process was killed. Those of other processes are still being made."""
        elsewhere = self._storage is not None
        return [
            optuna.Trial(study, trial._trial_id)
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            # A process may also be killed while it draws.
            if trial.params.keys() == self._free.keys()
            and problem.is_orphaned(self._weights(trial), elsewhere=elsewhere)
        ]

    def _try(self, study: optuna.Study, trials: Sequence[optuna.Trial], problem: Problem) -> None:
        for start in range(0, len(trials), problem.jobs):
            batch = trials[start : start + problem.jobs]

            def should_prune(number: int, epoch: int, score: float, batch: Sequence[optuna.Trial] = batch) -> bool:
                batch[number].report(score, epoch)
                return batch[number].should_prune()

            found = problem.evaluate([self._weights(trial) for trial in batch], should_prune)
            for trial, result in zip(batch, found, strict=True):
                _tell(study, trial, result)


@contextmanager
def _explained(storage: str) -> Iterator[None]:
    """Raise an error that names a database which cannot be opened."""
    try:
        yield
    except Exception as error:  # Optuna, SQLAlchemy and database drivers have no common base of errors.
        first, _, _ = str(error).partition("\n")
        raise ValueError(
            "`storage` should be the URL of a database that Optuna can open, such as `sqlite:///trials.db`, with its "
            "driver installed; a damaged file may be deleted, as runs are kept. "
            f"Found `storage = {storage!r}` ({first})."
        ) from error


def _tell(study: optuna.Study, trial: optuna.Trial, result: Trial) -> None:
    trial.set_user_attr(_OUTCOME, result.model_dump(mode="json"))
    finished = result.status == "finished" and result.value > float("-inf")
    # A diverged or abandoned network says that its weights are bad. A failed trial would say nothing.
    value, state = (result.value, TrialState.COMPLETE) if finished else (None, TrialState.PRUNED)
    study.tell(trial, value, state, skip_if_finished=True)


def _trials(study: optuna.Study) -> list[Trial]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [Trial.model_validate(trial.user_attrs[_OUTCOME]) for trial in trials if _OUTCOME in trial.user_attrs]


@register("random")
class Random(SamplingStrategy):
    """Draw the weights log-uniformly: the baseline of every other strategy.

    Args:
        tasks: Names of the tasks that have weights.
        ranges: Bounds by task, see `SamplingStrategy`.
        storage: URL of a database, see `SamplingStrategy`.
    """

    def sampler(self, seed: int | None) -> BaseSampler:
        """Return Optuna's random sampler."""
        return RandomSampler(seed=seed)


@register("tpe")
class Tpe(SamplingStrategy):
    """Draw the weights near good trials, with a tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).

    The first ten trials are random.

    Args:
        tasks: Names of the tasks that have weights.
        ranges: Bounds by task, see `SamplingStrategy`.
        storage: URL of a database, see `SamplingStrategy`.
    """

    def sampler(self, seed: int | None) -> BaseSampler:
        """Return Optuna's TPE sampler with its defaults."""
        return TPESampler(seed=seed)
