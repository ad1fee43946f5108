"""How sure a study can be: intervals over seeds, paired differences, ranks."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, cast

import numpy as np
from scipy import stats

EXACT = 6
"""Up to this many values all resamples of a bootstrap are gone through; beyond, 9999 are drawn."""


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie.

    Attributes:
        mean: Of the values.
        low: The lower end; NaN where there is one value alone, from which no spread can be told.
        high: The upper end, likewise.
        count: The number of values.
    """

    mean: float
    low: float
    high: float
    count: int

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.count > 1


def bootstrap(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of values and its bootstrap interval (Efron's percentile method).

    The interval holds the middle `confidence` of the means of all resamples with repetition. From few values it is too
    narrow: with three, it contains the true mean of normal values in about three of four cases, not in 95 of 100.

    Args:
        values: One or more numbers.
        confidence: In (0, 1).

    Raises:
        ValueError: If there is no value, or `confidence` is out of range.

    >>> bootstrap([1.0, 2.0, 3.0])
    Interval(mean=2.0, low=1.0, high=3.0, count=3)
    >>> bootstrap([1.0]).known
    False
    """
    if not values:
        raise ValueError("`values` should hold one number at least. Found `values = []`.")
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` should be in (0, 1). Found `confidence = {confidence}`.")
    count = len(values)
    if count == 1:
        return Interval(float(values[0]), math.nan, math.nan, 1)
    array = np.asarray(values, dtype=float)
    if count <= EXACT:
        choices = np.array(list(itertools.product(range(count), repeat=count)))
    else:
        choices = np.random.default_rng(0).integers(count, size=(9999, count))
    means = array[choices].mean(axis=1)
    tail = (1 - confidence) / 2
    # The ends are means that occur: with three values an interpolated end would lie between two of 27.
    low = np.quantile(means, tail, method="inverted_cdf")
    high = np.quantile(means, 1 - tail, method="inverted_cdf")
    return Interval(float(array.mean()), float(low), float(high), count)


@dataclass(frozen=True)
class Ranks:
    """Mean ranks, 1 being the best.

    Attributes:
        mean: The mean rank by name.
        critical_difference: Two mean ranks that are farther apart than this differ at the 5 % level (Nemenyi's test, as
            in Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006).
        blocks: The number of comparisons.
    """

    mean: Mapping[str, float]
    critical_difference: float
    blocks: int


def mean_ranks(blocks: Sequence[Mapping[str, float]]) -> Ranks:
    """Rank methods in several comparisons.

    Ties share the mean of their ranks. The critical difference is

    .. math:: q \\sqrt{k (k + 1) / (6 n)}

    with k methods, n comparisons and q the studentised range of k and infinity at 5 %, over the root of two. It takes
    comparisons for independent; those of tasks of one network are not quite.

    Args:
        blocks: For each comparison a score by method; higher is better. All have the same methods.

    Raises:
        ValueError: If there is no comparison, they have different methods, or there are fewer than two methods.

    >>> mean_ranks([{"a": 2.0, "b": 1.0}, {"a": 3.0, "b": 3.0}]).mean
    {'a': 1.25, 'b': 1.75}
    """
    methods = list(blocks[0]) if blocks else []
    if len(methods) < 2 or any(set(block) != set(methods) for block in blocks):
        raise ValueError(
            "`blocks` should hold one comparison at least, all of the same two methods or more. "
            f"Found `blocks = {[list(block) for block in blocks]}`."
        )
    ranks = [stats.rankdata([-block[method] for method in methods]) for block in blocks]
    mean = {method: fmean(float(rank[place]) for rank in ranks) for place, method in enumerate(methods)}
    k, n = len(methods), len(blocks)
    q = float(stats.studentized_range.ppf(0.95, k, np.inf)) / math.sqrt(2)
    return Ranks(mean, q * math.sqrt(k * (k + 1) / (6 * n)), n)


def order_agreement(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Kendall's tau-b of two scores of the same things: 1 for the same order, -1 for the reverse, NaN for fewer than 2.

    Args:
        first: A score by name.
        second: Another; names that only one of them has are left out.

    >>> order_agreement({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 10.0, "b": 30.0, "c": 20.0})  # doctest: +ELLIPSIS
    0.333...
    """
    names = [name for name in first if name in second]
    if len(names) < 2:
        return math.nan
    # SciPy's stubs do not know the fields of what its tests return.
    found = cast(Any, stats.kendalltau([first[name] for name in names], [second[name] for name in names]))
    return float(found.statistic)
