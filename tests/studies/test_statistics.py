import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from equipoise.studies.results.statistics import bootstrap, mean_ranks, order_agreement

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=4)


@given(numbers)
def test_an_interval_holds_the_mean_and_lies_among_the_values(values):
    interval = bootstrap(values)
    assert min(values) - 1e-9 <= interval.low <= interval.mean + 1e-9
    assert interval.mean - 1e-9 <= interval.high <= max(values) + 1e-9


@given(numbers, st.floats(0.1, 10), st.floats(-10, 10))
def test_an_interval_moves_with_its_values(values, factor, shift):
    before, after = bootstrap(values), bootstrap([factor * value + shift for value in values])
    assert after.low == pytest.approx(factor * before.low + shift, abs=1e-6)
    assert after.high == pytest.approx(factor * before.high + shift, abs=1e-6)


@pytest.mark.parametrize("count", [5, 9])
def test_intervals_agree_with_scipy(count):
    values = np.random.default_rng(count).normal(size=count)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20000, rng=1).confidence_interval
    ours = bootstrap(list(values))
    spread = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * spread)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * spread)


def test_one_value_has_no_interval():
    interval = bootstrap([3.0])
    assert interval.mean == 3.0
    assert math.isnan(interval.low)
    assert not interval.known


@pytest.mark.parametrize(("values", "confidence"), [([], 0.95), ([1.0], 0.0), ([1.0], 1.5)])
def test_what_cannot_be_is_refused(values, confidence):
    with pytest.raises(ValueError, match="Found"):
        bootstrap(values, confidence)


def test_the_critical_difference_is_that_of_the_tables():
    # Demsar, JMLR 2006, section 3.2.2: four classifiers on 14 data sets differ from 1.25 on at 5 %.
    blocks = [{name: float(place) for place, name in enumerate("abcd")}] * 14
    ranks = mean_ranks(blocks)
    assert ranks.critical_difference == pytest.approx(1.25, abs=0.005)
    assert dict(ranks.mean) == {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}


@pytest.mark.parametrize("blocks", [[], [{"a": 1.0}], [{"a": 1.0, "b": 2.0}, {"a": 1.0, "c": 2.0}]])
def test_blocks_of_other_methods_are_refused(blocks):
    with pytest.raises(ValueError, match="blocks"):
        mean_ranks(blocks)


def test_order_agreement_leaves_out_what_one_side_lacks():
    assert order_agreement({"a": 1.0, "b": 2.0, "x": 9.0}, {"a": 5.0, "b": 6.0, "y": 0.0}) == 1.0
    assert order_agreement({"a": 1.0, "b": 2.0}, {"a": 6.0, "b": 5.0}) == -1.0
    assert math.isnan(order_agreement({"a": 1.0}, {"a": 1.0}))
