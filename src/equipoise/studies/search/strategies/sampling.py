"""What the strategies that draw weights have in common: an Optuna study that outlives the process."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from equipoise._core.registry import register
from equipoise.studies.search.problem import Outcome, Problem, Weights
from equipoise.studies.search.strategies import RangeStrategy

OUTCOME = "outcome"
"""The attribute of an Optuna trial that holds what became of it."""
FRUITLESS = 50
"""Draws in a row that come to weights that were tried already, after which there is little left to be tried."""


class SamplingStrategy(RangeStrategy):
    """Draws weights between bounds, and abandons trials that fall behind (Optuna's median pruner).

    A trial is abandoned when its best score so far is below the median of the others' at the same epoch, once five have
    finished. What was drawn, and what became of it, is kept in a database, so that another call goes on. Where a range
    is so narrow that it holds fewer weights than the budget pays for, it ends when draws bring nothing new.

    Args:
        tasks: What there are weights for.
        ranges: Bounds by task: the least and the largest of the values count. Weights are drawn log-uniformly between
            them and rounded to four digits.
        storage: URL of an Optuna database, which several machines may share; by default an SQLite file in the study's
            directory. With the default, an interrupted search goes on as if it had never stopped.

    Raises:
        ValueError: A range is wrong, or a bound is 0, which no logarithm has.
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
        """What draws the next weights; not seeded where several machines draw."""

    def expected(self) -> None:
        """It cannot be told: as many as the budget pays for."""
        return

    def check(self, directory: Path, identity: str) -> None:
        """Open the database.

        Raises:
            ValueError: It cannot be opened.
        """
        self._open(directory, identity)

    def search(self, problem: Problem) -> None:
        """Draw and try, a trial for each job at a time, until the budget is spent or draws bring nothing new.

        Raises:
            ValueError: The database cannot be opened.
        """
        study, earlier = self._open(problem.directory, problem.identity)
        problem.recall(earlier)
        self._try(study, self._orphans(study, problem), problem)
        fruitless = 0
        while fruitless < FRUITLESS and (room := problem.room()):
            tried = len(problem.known())
            self._try(study, [self._draw(study) for _ in range(room)], problem)
            fruitless = fruitless + room if len(problem.known()) == tried else 0

    def _open(self, directory: Path, identity: str) -> tuple[optuna.Study, list[Outcome]]:
        """The Optuna study of a problem, and what became of its trials."""
        storage = self._storage or f"sqlite:///{directory.absolute() / 'search.db'}"
        with _opening(storage):
            study = self._study(storage, identity)
            return study, _outcomes(study)

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

    def _draw(self, study: optuna.Study) -> Trial:
        if self._storage is None:
            # The generator of a process that was killed is gone; a seed from the count draws the same after a resume.
            study.sampler = self.sampler(len(study.get_trials(deepcopy=False)))
        return study.ask(dict(self._free))

    def _weights(self, trial: Trial | FrozenTrial) -> Weights:
        drawn = {task: float(f"{value:.4g}") for task, value in trial.params.items()}
        return {task: drawn.get(task, values[0]) for task, values in self.ranges.items()}

    def _orphans(self, study: optuna.Study, problem: Problem) -> list[Trial]:
        """Trials whose process has been killed; those of others, here or on other machines, are still being made."""
        elsewhere = self._storage is not None
        return [
            Trial(study, trial._trial_id)
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            # A process may also be killed while it draws.
            if trial.params.keys() == self._free.keys()
            and problem.left_behind(self._weights(trial), elsewhere=elsewhere)
        ]

    def _try(self, study: optuna.Study, trials: Sequence[Trial], problem: Problem) -> None:
        def report(number: int, epoch: int, score: float) -> bool:
            trials[number].report(score, epoch)
            return trials[number].should_prune()

        for start in range(0, len(trials), problem.jobs):
            part = trials[start : start + problem.jobs]
            outcomes = problem.evaluate([self._weights(trial) for trial in part], report)
            for trial, outcome in zip(part, outcomes, strict=True):
                _tell(study, trial, outcome)


@contextmanager
def _opening(storage: str) -> Iterator[None]:
    """Tells what is wrong with a database that cannot be opened."""
    try:
        yield
    except Exception as error:  # Optuna, SQLAlchemy and the drivers of databases have no common one.
        first, _, _ = str(error).partition("\n")
        raise ValueError(
            "`storage` should be the URL of a database that Optuna can open, such as `sqlite:///trials.db`, with its "
            "driver installed; a damaged file may be deleted, as runs are kept. "
            f"Found `storage = {storage!r}` ({first})."
        ) from error


def _tell(study: optuna.Study, trial: Trial, outcome: Outcome) -> None:
    trial.set_user_attr(OUTCOME, outcome.model_dump(mode="json"))
    finished = outcome.status == "finished" and outcome.value > float("-inf")
    # A network that diverged says that its weights are bad, as an abandoned one does; a failed trial would say nothing.
    value, state = (outcome.value, TrialState.COMPLETE) if finished else (None, TrialState.PRUNED)
    study.tell(trial, value, state, skip_if_finished=True)


def _outcomes(study: optuna.Study) -> list[Outcome]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [Outcome.model_validate(trial.user_attrs[OUTCOME]) for trial in trials if OUTCOME in trial.user_attrs]


@register("random")
class Random(SamplingStrategy):
    """Draw the weights log-uniformly: what any cleverer strategy should beat.

    Args:
        tasks: What there are weights for.
        ranges: Bounds by task, see `SamplingStrategy`.
        storage: URL of a database, see `SamplingStrategy`.
    """

    def sampler(self, seed: int | None) -> BaseSampler:
        """Optuna's random sampler."""
        return RandomSampler(seed=seed)


@register("tpe")
class Tpe(SamplingStrategy):
    """Draw the weights where trials were good, with a tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).

    The first ten trials are random.

    Args:
        tasks: What there are weights for.
        ranges: Bounds by task, see `SamplingStrategy`.
        storage: URL of a database, see `SamplingStrategy`.
    """

    def sampler(self, seed: int | None) -> BaseSampler:
        """Optuna's TPE with its defaults."""
        return TPESampler(seed=seed)
