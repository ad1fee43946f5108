"""Means over steps, and how sure they are when steps that follow each other resemble each other."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from equipoise.diagnosis.verdict.shares import quotient
from equipoise.diagnosis.verdict.thresholds import BLOCKS


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
