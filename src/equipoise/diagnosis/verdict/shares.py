"""Which task owns how much of the update: under the weights of the run, and under others, without training again."""

from dataclasses import dataclass

import numpy as np

from equipoise.diagnosis.verdict.evidence import Evidence


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


def actual(evidence: Evidence) -> Shares:
    """Of the update that was made; of a method without weights, of what of it is a weighted sum of the gradients."""
    weights = np.nan_to_num(evidence.weights)
    pull = (np.abs(weights) * evidence.norms).sum(axis=1)
    owned = weights * np.nan_to_num(evidence.with_update)
    return _shares(owned, evidence.update_square if evidence.weighted else owned.sum(axis=1), pull, evidence.present)


def under(evidence: Evidence, weights: np.ndarray, orthogonal: bool = False) -> Shares:
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


def equal_norms(evidence: Evidence) -> np.ndarray:
    """Weights 1 / |g_i|, [N, T]: up to the length of the update, those of AvgNorm (P1, equation 6)."""
    return np.where(evidence.present, quotient(np.ones_like(evidence.norms), evidence.norms), 0.0)


def avgnorm_weights(evidence: Evidence) -> np.ndarray:
    """The weights of AvgNorm, |sum_j g_j| / |g_i|, mean over the steps in which the task is present, [T]."""
    sums = np.sqrt(np.clip(evidence.gram.sum(axis=(1, 2)), 0, None))
    return quotient((sums[:, None] * equal_norms(evidence)).sum(axis=0), evidence.present.sum(axis=0))


def static_weights(evidence: Evidence) -> np.ndarray:
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
