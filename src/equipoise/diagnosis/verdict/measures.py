"""The numbers that a verdict rests on: shares of the update, cosines, norms, losses, and their standard errors."""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars
from scipy import stats

from equipoise.diagnosis.frames import implied_weights, quotient
from equipoise.diagnosis.verdict.thresholds import BLOCKS


@dataclass(frozen=True)
class GradientRecords:
    """The records of N steps of T tasks as arrays.

    A task without labels, or with a gradient of zero, is absent from a step. Steps with numbers that are not finite,
    and steps without any gradient, are left out.

    Attributes:
        tasks: All T tasks, in the order in which they appear.
        steps: [N], the numbers of the steps, counted from 1.
        present: [N, T], whether a task has a gradient.
        losses: [N, T], NaN if the task is absent; so are all that follow except `gram`.
        weights: [N, T], the weights of the method, or `implied_weights` if it gives none.
        gram: [N, T, T], inner products of the unweighted gradients, 0 if a task is absent.
        with_update: [N, T], inner products with the update.
        update_square: [N], the squared norm of the update.
        coherence: [N, T], cosine with the task's gradient in the recorded step before.
        weighted: Whether the method gives weights.
        dropped: The number of steps left out.
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
        """Norms of the gradients, [N, T]; 0 if the task is absent."""
        return np.sqrt(np.clip(np.einsum("nii->ni", self.gram), 0, None))

    @cached_property
    def cosines(self) -> np.ndarray:
        """Cosines between the gradients of two tasks, [N, T, T]; NaN if one is absent."""
        with np.errstate(invalid="ignore"):
            return self.gram / (self.norms[:, :, None] * self.norms[:, None, :])

    @cached_property
    def fair(self) -> np.ndarray:
        """The share of each task if all were equal, [T]."""
        return fair_shares(self.present)

    def select(self, chosen: slice) -> "GradientRecords":
        """Return some of the steps."""
        arrays = ("steps", "present", "losses", "weights", "gram", "with_update", "update_square", "coherence")
        cut = {name: getattr(self, name)[chosen] for name in arrays}
        return GradientRecords(tasks=self.tasks, weighted=self.weighted, dropped=self.dropped, **cut)


def fair_shares(present: np.ndarray) -> np.ndarray:
    """Return 1 / (number of present tasks), mean over the steps in which a task is present, [T], from [N, T]."""
    each = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
    return each.sum(axis=0) / np.maximum(present.sum(axis=0), 1)


def gather(recorded: polars.DataFrame) -> GradientRecords:
    """Return the records of a probe as arrays.

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
    r"""The shares of the update in N steps, as numerators and denominators.

    In a step with contributions c_i = w_i g_i and the update u = sum_i c_i, the share of task i is (c_i . u) / |u|^2.
    The shares sum to 1, and a task that the others cancel has a negative share. Over several steps t the share is

    $$\sum_t (c_{ti} \cdot u_t) / p_t^2 \;\Big/\; \sum_t |u_t|^2 / p_t^2, \qquad p_t = \sum_i |c_{ti}|$$

    over the steps in which the task is present. The division by p_t^2 removes the scale of a step. A step counts by how
    much of its contributions survives in the update: if tasks cancel out, its shares are quotients of two small
    numbers, and it counts little.

    Attributes:
        owned: (c_ti . u_t) / p_t^2, [N, T].
        whole: |u_t|^2 / p_t^2 if the task is present, else 0, [N, T].
    """

    owned: np.ndarray
    whole: np.ndarray

    def mean(self, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Return the share of every task over some steps, [T]; NaN for a task that is in none of them."""
        return quotient(self.owned[rows].sum(axis=0), self.whole[rows].sum(axis=0))


def actual_shares(records: GradientRecords) -> Shares:
    """Return the shares of the update that was made.

    If the method gives no weights, they are shares of the part of the update that is a weighted sum of the gradients.
    """
    weights = np.nan_to_num(records.weights)
    length_sum = (np.abs(weights) * records.norms).sum(axis=1)
    owned = weights * np.nan_to_num(records.with_update)
    return _shares(owned, records.update_square if records.weighted else owned.sum(axis=1), length_sum, records.present)


def shares_under(records: GradientRecords, weights: np.ndarray, orthogonal: bool = False) -> Shares:
    """Return the shares of the update that other weights would have made of the same gradients.

    Args:
        records: N steps of T tasks.
        weights: [T], or [N, T].
        orthogonal: Set the inner products of different tasks to 0.
    """
    factors = np.where(records.present, weights, 0.0)
    sums = factors * records.norms**2 if orthogonal else np.einsum("nij,nj->ni", records.gram, factors)
    owned = factors * sums
    length_sum = (np.abs(factors) * records.norms).sum(axis=1)
    return _shares(owned, owned.sum(axis=1), length_sum, records.present)


def equal_norm_weights(records: GradientRecords) -> np.ndarray:
    """Return 1 / |g_i|, [N, T]: AvgNorm's weights up to a factor a step (Guo et al. (2025), equation 6)."""
    return np.where(records.present, quotient(np.ones_like(records.norms), records.norms), 0.0)


def avgnorm_weights(records: GradientRecords) -> np.ndarray:
    """Return AvgNorm's weights |sum_j g_j| / |g_i|, mean over the steps in which the task is present, [T]."""
    sums = np.sqrt(np.clip(records.gram.sum(axis=(1, 2)), 0, None))
    return quotient((sums[:, None] * equal_norm_weights(records)).sum(axis=0), records.present.sum(axis=0))


def static_weights(records: GradientRecords) -> np.ndarray:
    """Return weights that make the norms equal on average, [T].

    They are 1 over the geometric mean of |g_i|, relative to that of all tasks. Each step is normalised, so that none
    dominates; the mean of AvgNorm's weights would follow the steps with extreme gradients.
    """
    present = records.present
    logs = np.log(np.where(present, records.norms, 1.0))
    centred = np.where(present, logs - logs.sum(axis=1, keepdims=True) / present.sum(axis=1, keepdims=True), 0.0)
    return np.exp(-quotient(centred.sum(axis=0), present.sum(axis=0).astype(float)))


def _shares(owned: np.ndarray, square: np.ndarray, length_sum: np.ndarray, present: np.ndarray) -> Shares:
    scale = np.where(length_sum > 0, length_sum, np.inf)[:, None] ** 2
    return Shares(np.where(present, owned / scale, 0.0), np.where(present, square[:, None] / scale, 0.0))


@dataclass(frozen=True)
class Estimate:
    """Estimated numbers with their standard errors.

    Attributes:
        value: [...]; NaN if a number is undefined.
        error: [...], the standard error; NaN if it cannot be estimated.
        freedom: Degrees of freedom of the error.
    """

    value: np.ndarray
    error: np.ndarray
    freedom: int

    def above(self, line: float | np.ndarray) -> np.ndarray:
        """Return the certainty that the true values are above a line, by Student's distribution; NaN if unknown."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return stats.t.cdf((self.value - line) / self.error, self.freedom)

    def below(self, line: float | np.ndarray) -> np.ndarray:
        """Return the certainty that the true values are below a line; NaN if unknown."""
        return 1 - self.above(line)

    def interval(self, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper end of the confidence interval."""
        half = stats.t.ppf((1 + confidence) / 2, self.freedom) * self.error
        return self.value - half, self.value + half


class Blocks:
    """Consecutive steps in blocks. Errors come from the jackknife, which leaves out one block after the other.

    Args:
        steps: The number of steps.
    """

    def __init__(self, steps: int) -> None:
        self.count = min(BLOCKS, steps)
        self._starts = np.linspace(0, steps, self.count + 1).round().astype(int)[:-1]

    def ratio(self, numerator: np.ndarray, denominator: np.ndarray) -> Estimate:
        """Estimate the quotient of two sums over steps, [...], from arrays [N, ...]."""
        above, below = (np.add.reduceat(array, self._starts, axis=0) for array in (numerator, denominator))
        value = quotient(above.sum(axis=0), below.sum(axis=0))
        without = quotient(above.sum(axis=0) - above, below.sum(axis=0) - below)
        spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0)
        return Estimate(value, np.sqrt(spread * (self.count - 1) / self.count), self.count - 1)

    def mean(self, values: np.ndarray) -> Estimate:
        """Estimate the mean over the steps in which a value is not NaN, [...], from [N, ...]."""
        known = ~np.isnan(values)
        return self.ratio(np.where(known, values, 0.0), known.astype(float))


class Measures:
    """The numbers of a run, over the second half of its recorded steps: an imbalance at the start may not last.

    Args:
        records: All N recorded steps of T tasks.

    Attributes:
        all: All recorded steps.
        analysed: The steps that are analysed.
        fair: [T], the share of each task if all were equal.
        share: [T], the share of the update.
        cosine: [T, T], between unweighted gradients.
        coherence: [T], the cosine of a gradient with that of the recorded step before.
        coherence_gap: [T], how much more coherent the other tasks are, mean.
        first_loss: [T], mean over the first tenth of the recorded steps.
        last_loss: [T], mean over the analysed steps.
        loss_left: [T], the last loss over the first; NaN if the first loss is 0 or below.
        loss_left_of_others: [T], the mean of that over the other tasks.
        learning_lag: [T], `loss_left` minus the value at which the loss has fallen half as far as the others' losses.
        norm: [T], of the unweighted gradient over the median of the tasks, geometric mean.
        contribution: [T], the same of the weighted gradient.
        weight: [T], the mean weight of the method; NaN if it gives none.
        survives: |u| over the sum of the contributions' norms, mean.
        survives_orthogonal: The same if all contributions were orthogonal.
    """

    def __init__(self, records: GradientRecords) -> None:
        count = len(records.steps)
        self.all = records
        self.analysed = analysed = records.select(slice(count // 2, None))
        blocks = Blocks(len(analysed.steps))
        self._blocks = 2 * blocks.count
        self.fair = analysed.fair
        own = actual_shares(analysed)
        self.share = blocks.ratio(own.owned, own.whole)
        self.cosine = blocks.mean(analysed.cosines)
        self.coherence = blocks.mean(analysed.coherence)
        self.coherence_gap = blocks.mean(_of_others(analysed.coherence) - analysed.coherence)
        self.first_loss = nan_safe(np.nanmean, records.losses[: max(1, count // 10)])
        self.last_loss = nan_safe(np.nanmean, analysed.losses)
        left = quotient(analysed.losses, np.broadcast_to(self.first_loss, analysed.losses.shape))
        self.loss_left = blocks.mean(left)
        self.loss_left_of_others = nan_safe(np.nanmean, _of_others(left))
        self.learning_lag = blocks.mean(left - (1 + _of_others(left)) / 2)
        contributions = np.abs(np.nan_to_num(analysed.weights)) * analysed.norms
        self.norm, self.contribution = self._relative(analysed.norms), self._relative(contributions)
        self.weight = nan_safe(np.nanmean, analysed.weights) if analysed.weighted else np.full(len(self.fair), np.nan)
        length_sum = contributions.sum(axis=1)
        self.survives = float(nan_safe(np.nanmean, quotient(np.sqrt(analysed.update_square), length_sum)))
        self.survives_orthogonal = float(
            nan_safe(np.nanmean, quotient(np.linalg.norm(contributions, axis=1), length_sum))
        )

    def blocks(self) -> list[slice]:
        """Return all recorded steps in blocks as long as those of the analysed steps."""
        edges = np.linspace(0, len(self.all.steps), self._blocks + 1).round().astype(int)
        return [slice(start, end) for start, end in itertools.pairwise(edges)]

    def _relative(self, lengths: np.ndarray) -> np.ndarray:
        """Return lengths over the median of the tasks, geometric mean over the steps, [T], from [N, T]."""
        with np.errstate(divide="ignore"):
            logs = np.where(self.analysed.present & (lengths > 0), np.log(lengths), np.nan)
        return np.exp(nan_safe(np.nanmean, logs - nan_safe(np.nanmedian, logs, 1)[:, None]))


def _of_others(values: np.ndarray) -> np.ndarray:
    """Return for each task the mean over the others, [N, T], from [N, T]."""
    tasks = range(values.shape[1])
    return np.stack([nan_safe(np.nanmean, np.delete(values, task, axis=1), 1) for task in tasks], axis=1)


def nan_safe(function: Callable[..., np.ndarray], values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return a mean or median over an axis. It is NaN, without a warning, if there are no values.

    Args:
        function: `numpy.nanmean` or `numpy.nanmedian`.
        values: The values.
        axis: The axis.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(values, axis=axis)
