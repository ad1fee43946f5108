"""The judged steps in numbers."""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars
from scipy import stats

from equipoise.diagnosis.frames import implied_weights
from equipoise.diagnosis.verdict.thresholds import BLOCKS


@dataclass(frozen=True)
class GradientRecords:
    """N recorded steps of T tasks.

    A task without labels or with a gradient of zero is absent from a step: it has no direction there. Steps with
    numbers that are not finite, and those in which no task has a gradient, are left out.

    Attributes:
        tasks: All T, in the order in which they appear.
        steps: [N], counted from 1.
        present: [N, T].
        losses: [N, T], NaN where absent, as in all that follows but `gram`.
        weights: [N, T]; of methods without weights, those that they gave in effect.
        gram: [N, T, T], 0 where absent.
        with_update: [N, T].
        update_square: [N].
        coherence: [N, T].
        weighted: Whether the method gave weights.
        dropped: Steps that were left out.
    """

    tasks: tuple[str, ...]
    steps: np.ndarray
    present: np.ndarray
    losses: np.ndarray
    weights: np.ndarray
    gram: np.ndarray
    with_update: np.ndarray
    update_square: np.ndarray
    coherence: np.ndarray
    weighted: bool
    dropped: int

    @cached_property
    def norms(self) -> np.ndarray:
        """[N, T], 0 where absent."""
        return np.sqrt(np.clip(np.einsum("nii->ni", self.gram), 0, None))

    @cached_property
    def cosines(self) -> np.ndarray:
        """Between tasks, [N, T, T]; NaN where one is absent."""
        with np.errstate(invalid="ignore"):
            return self.gram / (self.norms[:, :, None] * self.norms[:, None, :])

    @cached_property
    def fair(self) -> np.ndarray:
        """What each task would own if all were equal, [T]."""
        return fair_shares(self.present)

    def part(self, chosen: slice) -> "GradientRecords":
        """Some of the steps."""
        arrays = ("steps", "present", "losses", "weights", "gram", "with_update", "update_square", "coherence")
        cut = {name: getattr(self, name)[chosen] for name in arrays}
        return GradientRecords(tasks=self.tasks, weighted=self.weighted, dropped=self.dropped, **cut)


def fair_shares(present: np.ndarray) -> np.ndarray:
    """One over the number of tasks that are present, mean over the steps in which a task is, [T], from [N, T]."""
    each = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
    return each.sum(axis=0) / np.maximum(present.sum(axis=0), 1)


def gather(recorded: polars.DataFrame) -> GradientRecords:
    """Arrays of what a probe has recorded.

    Args:
        recorded: From `Probe.recorded` or `equipoise.diagnosis.read`.
    """
    tasks = tuple(dict.fromkeys(task for names in recorded["tasks"] for task in names))
    count, steps = len(tasks), len(recorded)
    by_task = {name: np.full((steps, count), np.nan) for name in ("losses", "weights", "with_update", "coherence")}
    gram = np.zeros((steps, count, count))
    usable = np.zeros(steps, dtype=bool)
    for place, row in enumerate(recorded.iter_rows(named=True)):
        own = [tasks.index(task) for task in row["tasks"]]
        for name, array in by_task.items():
            array[place, own] = np.nan if row[name] is None else row[name]
        gram[place][np.ix_(own, own)] = np.array(row["gram"], dtype=float).reshape(len(own), len(own))
        numbers = [gram[place], by_task["losses"][place, own], by_task["with_update"][place, own]]
        numbers += [] if row["weights"] is None else [by_task["weights"][place, own]]
        finite = all(np.isfinite(array).all() for array in numbers) and np.isfinite(row["update_square"])
        usable[place] = finite and gram[place].diagonal().max(initial=0) > 0
        if usable[place] and row["weights"] is None:
            by_task["weights"][place] = implied_weights(gram[place], np.nan_to_num(by_task["with_update"][place]))
    gram = np.where(usable[:, None, None], gram, 0.0)
    present = np.einsum("nii->ni", gram) > 0
    return GradientRecords(
        tasks=tasks,
        steps=recorded["step"].to_numpy()[usable],
        present=present[usable],
        losses=by_task["losses"][usable],
        weights=np.where(present, by_task["weights"], np.nan)[usable],
        gram=gram[usable],
        with_update=np.where(present, by_task["with_update"], np.nan)[usable],
        update_square=np.clip(recorded["update_square"].to_numpy(), 0, None)[usable],
        coherence=np.where(present, by_task["coherence"], np.nan)[usable],
        weighted=recorded["weights"].null_count() == 0,
        dropped=int((~usable).sum()),
    )


@dataclass(frozen=True)
class Shares:
    r"""What the shares of the update are made of.

    In a step with contributions c_i = w_i g_i and the update u = sum_i c_i, task i owns (c_i . u) / |u|^2; the shares
    sum to 1, and a task that the others undo has a negative one. Over several steps the share is

    .. math:: \sum_t (c_{ti} \cdot u_t) / p_t^2 \;/\; \sum_t |u_t|^2 / p_t^2, \qquad p_t = \sum_i |c_{ti}|

    over the steps in which the task is present: so steps count by the part of the tasks' pull that survives, not by its
    scale, and a step in which tasks cancel out, whose own shares are the quotient of two small numbers, counts little.

    Attributes:
        owned: (c_ti . u_t) / p_t^2, [N, T].
        whole: |u_t|^2 / p_t^2 where the task is present, [N, T].
    """

    owned: np.ndarray
    whole: np.ndarray

    def mean(self, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """The share of every task over some steps, [T]; NaN for a task that is in none."""
        return quotient(self.owned[rows].sum(axis=0), self.whole[rows].sum(axis=0))


def quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """A quotient; NaN where the denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def actual_shares(evidence: GradientRecords) -> Shares:
    """Of the update that was made; of a method without weights, of what of it is a weighted sum of the gradients."""
    weights = np.nan_to_num(evidence.weights)
    pull = (np.abs(weights) * evidence.norms).sum(axis=1)
    owned = weights * np.nan_to_num(evidence.with_update)
    return _shares(owned, evidence.update_square if evidence.weighted else owned.sum(axis=1), pull, evidence.present)


def shares_under(evidence: GradientRecords, weights: np.ndarray, orthogonal: bool = False) -> Shares:
    """Of the update that other weights would have made of the same gradients.

    Args:
        evidence: N steps of T tasks.
        weights: [T], or [N, T].
        orthogonal: Make believe that no task's gradient has anything to do with another's.
    """
    factors = np.where(evidence.present, weights, 0.0)
    sums = factors * evidence.norms**2 if orthogonal else np.einsum("nij,nj->ni", evidence.gram, factors)
    owned = factors * sums
    pull = (np.abs(factors) * evidence.norms).sum(axis=1)
    return _shares(owned, owned.sum(axis=1), pull, evidence.present)


def equal_norm_weights(evidence: GradientRecords) -> np.ndarray:
    """Weights 1 / |g_i|, [N, T]: up to the length of the update, those of AvgNorm (P1, equation 6)."""
    return np.where(evidence.present, quotient(np.ones_like(evidence.norms), evidence.norms), 0.0)


def avgnorm_weights(evidence: GradientRecords) -> np.ndarray:
    """The weights of AvgNorm, |sum_j g_j| / |g_i|, mean over the steps in which the task is present, [T]."""
    sums = np.sqrt(np.clip(evidence.gram.sum(axis=(1, 2)), 0, None))
    return quotient((sums[:, None] * equal_norm_weights(evidence)).sum(axis=0), evidence.present.sum(axis=0))


def static_weights(evidence: GradientRecords) -> np.ndarray:
    """Weights that make the norms equal on average: one over the geometric mean of |g_i| over that of all tasks, [T].

    Each step counts by ratios alone, so that neither steps of large gradients nor those of tiny ones, of which the mean
    of AvgNorm's weights would be made, decide.
    """
    present = evidence.present
    logs = np.log(np.where(present, evidence.norms, 1.0))
    centred = np.where(present, logs - logs.sum(axis=1, keepdims=True) / present.sum(axis=1, keepdims=True), 0.0)
    return np.exp(-quotient(centred.sum(axis=0), present.sum(axis=0).astype(float)))


def _shares(owned: np.ndarray, square: np.ndarray, pull: np.ndarray, present: np.ndarray) -> Shares:
    scale = np.where(pull > 0, pull, np.inf)[:, None] ** 2
    return Shares(np.where(present, owned / scale, 0.0), np.where(present, square[:, None] / scale, 0.0))


@dataclass(frozen=True)
class Estimate:
    """Numbers with their standard errors.

    Attributes:
        value: [...]; NaN where there is none.
        error: [...], the standard error; NaN where it cannot be told.
        freedom: Degrees of freedom of the error.
    """

    value: np.ndarray
    error: np.ndarray
    freedom: int

    def above(self, line: float | np.ndarray) -> np.ndarray:
        """How sure the true values are above a line, by Student's distribution; NaN where it cannot be told."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return stats.t.cdf((self.value - line) / self.error, self.freedom)

    def below(self, line: float | np.ndarray) -> np.ndarray:
        """How sure they are below it."""
        return 1 - self.above(line)

    def interval(self, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Where the true values lie."""
        half = stats.t.ppf((1 + confidence) / 2, self.freedom) * self.error
        return self.value - half, self.value + half


class Blocks:
    """Consecutive steps in blocks; errors are those of the jackknife, which leaves out one block after the other.

    Args:
        steps: How many steps there are.
    """

    def __init__(self, steps: int) -> None:
        self.count = min(BLOCKS, steps)
        self._starts = np.linspace(0, steps, self.count + 1).round().astype(int)[:-1]

    def ratio(self, numerator: np.ndarray, denominator: np.ndarray) -> Estimate:
        """The quotient of two sums over steps, [...], from arrays [N, ...]."""
        above, below = (np.add.reduceat(array, self._starts, axis=0) for array in (numerator, denominator))
        value = quotient(above.sum(axis=0), below.sum(axis=0))
        without = quotient(above.sum(axis=0) - above, below.sum(axis=0) - below)
        spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0)
        return Estimate(value, np.sqrt(spread * (self.count - 1) / self.count), self.count - 1)

    def mean(self, values: np.ndarray) -> Estimate:
        """The mean over the steps in which a value is not NaN, [...], from [N, ...]."""
        known = ~np.isnan(values)
        return self.ratio(np.where(known, values, 0.0), known.astype(float))


class Measures:
    """Means over the second half of the recorded steps: what was at the start need not be so for long.

    Args:
        evidence: All N recorded steps of T tasks.

    Attributes:
        all: All recorded steps.
        judged: Those that are judged.
        fair: [T], what each task would own if all were equal.
        share: [T], of the update.
        cosine: [T, T], between unweighted gradients.
        coherence: [T], cosine of a gradient with that of the recorded step before.
        steadier: [T], how much above that the mean over the other tasks is.
        first_loss: [T], mean over the first tenth of the recorded steps.
        last_loss: [T], mean over the judged steps.
        left: [T], the last loss over the first; NaN of losses that begin at zero or below.
        left_of_others: [T], the mean of that over the other tasks.
        behind: [T], how far the loss is from having fallen half as far as those of the other tasks.
        norm: [T], of the unweighted gradient over the median of the tasks, geometric mean.
        contribution: [T], of the weighted one.
        weight: [T], of the method, mean; NaN where it gives none.
        survives: |u| over the sum of the norms of the contributions, mean.
        survives_orthogonal: What that would be for orthogonal contributions.
    """

    def __init__(self, evidence: GradientRecords) -> None:
        count = len(evidence.steps)
        self.all = evidence
        self.judged = judged = evidence.part(slice(count // 2, None))
        blocks = Blocks(len(judged.steps))
        self._blocks = 2 * blocks.count
        self.fair = judged.fair
        own = actual_shares(judged)
        self.share = blocks.ratio(own.owned, own.whole)
        self.cosine = blocks.mean(judged.cosines)
        self.coherence = blocks.mean(judged.coherence)
        self.steadier = blocks.mean(_of_others(judged.coherence) - judged.coherence)
        self.first_loss = quiet(np.nanmean, evidence.losses[: max(1, count // 10)])
        self.last_loss = quiet(np.nanmean, judged.losses)
        left = quotient(judged.losses, np.broadcast_to(self.first_loss, judged.losses.shape))
        self.left = blocks.mean(left)
        self.left_of_others = quiet(np.nanmean, _of_others(left))
        self.behind = blocks.mean(left - (1 + _of_others(left)) / 2)
        contributions = np.abs(np.nan_to_num(judged.weights)) * judged.norms
        self.norm, self.contribution = self._relative(judged.norms), self._relative(contributions)
        self.weight = quiet(np.nanmean, judged.weights) if judged.weighted else np.full(len(self.fair), np.nan)
        pull = contributions.sum(axis=1)
        self.survives = float(quiet(np.nanmean, quotient(np.sqrt(judged.update_square), pull)))
        self.survives_orthogonal = float(quiet(np.nanmean, quotient(np.linalg.norm(contributions, axis=1), pull)))

    def blocks(self) -> list[slice]:
        """All recorded steps in blocks as long as those of the judged steps."""
        edges = np.linspace(0, len(self.all.steps), self._blocks + 1).round().astype(int)
        return [slice(start, end) for start, end in itertools.pairwise(edges)]

    def _relative(self, lengths: np.ndarray) -> np.ndarray:
        """Lengths over the median of the tasks, the geometric mean over the steps, [T], from [N, T]."""
        with np.errstate(divide="ignore"):
            logs = np.where(self.judged.present & (lengths > 0), np.log(lengths), np.nan)
        return np.exp(quiet(np.nanmean, logs - quiet(np.nanmedian, logs, 1)[:, None]))


def _of_others(values: np.ndarray) -> np.ndarray:
    """For each task the mean over the others, [N, T], from [N, T]."""
    tasks = range(values.shape[1])
    return np.stack([quiet(np.nanmean, np.delete(values, task, axis=1), 1) for task in tasks], axis=1)


def quiet(function: Callable[..., np.ndarray], values: np.ndarray, axis: int = 0) -> np.ndarray:
    """A mean over an axis, leaving out NaN; that of nothing is NaN, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(values, axis=axis)
