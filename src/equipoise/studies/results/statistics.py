"""Statistics over seeds: bootstrap intervals, mean ranks and their critical difference, agreement of orders."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, cast

import numpy as np
from scipy import stats

_EXACT = 6
"""Up to this many values the bootstrap uses all resamples; with more values it draws 9999."""


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Attributes:
        mean: Mean of the values.
        low: Lower end; NaN for a single value, which has no spread.
        high: Upper end; NaN for a single value.
        count: Number of values.
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
    """Return the mean of values and its bootstrap interval (Efron's percentile method).

    The interval holds the middle `confidence` of the means of all resamples with repetition. It is too narrow for few
    values: with three, it contains the true mean of normal values in about three of four cases, not in 95 of 100.

    Args:
        values: One or more numbers.
        confidence: A number in (0, 1).

    Raises:
        ValueError: There is no value, or `confidence` is out of range.

    Example:
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
    if count <= _EXACT:
        choices = np.array(list(itertools.product(range(count), repeat=count)))
    else:
        choices = np.random.default_rng(0).integers(count, size=(9999, count))
    means = array[choices].mean(axis=1)
    tail = (1 - confidence) / 2
    # The ends are means that occur. With three values, an interpolated end would lie between two of 27 means.
    low = np.quantile(means, tail, method="inverted_cdf")
    high = np.quantile(means, 1 - tail, method="inverted_cdf")
    return Interval(float(array.mean()), float(low), float(high), count)


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of methods; 1 is the best.

    Attributes:
        mean: Mean rank by name.
        critical_difference: Two mean ranks that are farther apart than this differ at the 5 % level (Nemenyi's test, as
            in Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006).
        blocks: Number of comparisons.
    """

    mean: Mapping[str, float]
    critical_difference: float
    blocks: int


def mean_ranks(blocks: Sequence[Mapping[str, float]]) -> Ranks:
    """Rank methods in several comparisons, and return their mean ranks.

    Tied methods share the mean of their ranks. The critical difference is

    $$q \\sqrt{k (k + 1) / (6 n)}$$

    with k methods and n comparisons; q is the studentised range of k and infinity at 5 %, divided by the root of two.
    It assumes independent comparisons, which the tasks of one network are not quite.

    Args:
        blocks: A score by method for every comparison; higher is better. All have the same methods.

    Raises:
        ValueError: There is no comparison, methods differ between comparisons, or there are fewer than two methods.

    Example:
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
    """Return Kendall's tau-b of two scores: 1 for the same order, -1 for the reverse order.

    Args:
        first: A score by name.
        second: Another score by name. Names that only one of them has are left out.

    Returns:
        NaN if they share fewer than two names.

    Example:
        >>> order_agreement({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 10.0, "b": 30.0, "c": 20.0})  # doctest: +ELLIPSIS
        0.333...
    """
    names = [name for name in first if name in second]
    if len(names) < 2:
        return math.nan
    # SciPy's type stubs do not declare the fields of the result.
    found = cast(Any, stats.kendalltau([first[name] for name in names], [second[name] for name in names]))
    return float(found.statistic)
