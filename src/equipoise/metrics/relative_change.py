"""Comparison of methods over all tasks: delta_m, the relative change against single-task networks, and mean rank."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import rankdata


def delta_m(measured: Mapping[str, float], single: Mapping[str, float], higher_is_better: Mapping[str, bool]) -> float:
    """Return the mean over metrics of the signed relative change against the single-task networks, in percent.

    Guo et al. (2025), equation 5:

    `delta_m = 100 / T * sum_i s_i (M_i - S_i) / S_i`, with `s_i = 1` if a higher value of metric `i` is better and
    `-1` if a lower one is. Positive means better than single-task. Units cancel, so mIoU may be in percent or a
    fraction.

    Other definitions have the same name. That of the Nash-MTL family has the opposite sign and uses nine metrics of
    three tasks, so that normals get five ninths of the weight. `delta_m_within_tasks` averages within a task first.
    Pass one metric per task for the definition of Guo et al.

    Args:
        measured: Values of the multi-task network by metric name.
        single: Values of the single-task networks under the same names.
        higher_is_better: Whether higher values are better, under the same names.

    Returns:
        The mean relative change in percent.

    Raises:
        ValueError: The three do not hold the same names or hold none; a value is not finite (a run that diverged has no
            delta_m); or a single-task value is not above 0 (no change is relative to it).

    Example:
        >>> single = {"miou": 40.0, "rmse": 0.60}
        >>> round(delta_m({"miou": 42.0, "rmse": 0.60}, single, {"miou": True, "rmse": False}), 6)
        2.5
        >>> round(delta_m({"miou": 42.0, "rmse": 0.57}, single, {"miou": True, "rmse": False}), 6)
        5.0
    """
    return _mean(list(_changes(measured, single, higher_is_better).values()))


def delta_m_within_tasks(
    measured: Mapping[str, float], single: Mapping[str, float], higher_is_better: Mapping[str, bool]
) -> float:
    """Return delta_m with metrics averaged within each task first, in percent (Gama & Grassi (2025), section 5).

    This is the mean over tasks of the mean over a task's metrics of the signed relative change. A task with two metrics
    counts as much as a task with one. With one metric per task, the result is that of `delta_m`.

    Args:
        measured: Values of the multi-task network by `task.metric`; the task is the part before the first dot.
        single: Values of the single-task networks under the same names.
        higher_is_better: Whether higher values are better, under the same names.

    Returns:
        The mean relative change in percent; positive means better than single-task.

    Raises:
        ValueError: As `delta_m` does.

    Example:
        >>> directions = {"seg.miou": True, "disparity.abs": False, "disparity.rel": False}
        >>> single = {"seg.miou": 50.0, "disparity.abs": 0.02, "disparity.rel": 0.10}
        >>> measured = {"seg.miou": 49.0, "disparity.abs": 0.018, "disparity.rel": 0.11}
        >>> round(delta_m_within_tasks(measured, single, directions), 6)  # -2 %; +10 % and -10 %
        -1.0
    """
    return mean_within_tasks(_changes(measured, single, higher_is_better))


def mean_within_tasks(values: Mapping[str, float]) -> float:
    """Return the mean over tasks of the mean over a task's values: a task with two counts as much as one with one.

    Args:
        values: Values by `task.metric`; the task is the part before the first dot.

    Example:
        >>> mean_within_tasks({"seg.miou": -2.0, "disparity.abs": 10.0, "disparity.rel": -6.0})
        0.0
    """
    tasks: dict[str, list[float]] = {}
    for name, value in values.items():
        tasks.setdefault(name.partition(".")[0], []).append(float(value))
    return _mean([_mean(of_task) for of_task in tasks.values()])


def mean_rank(measured: Mapping[str, Mapping[str, float]], higher_is_better: Mapping[str, bool]) -> dict[str, float]:
    """Return the mean rank of each method among all methods (Gama & Grassi (2025), section 5).

    Ranks are averaged over the metrics of a task, then over tasks. Rank 1 is the best; methods with equal values share
    the mean of their ranks. Gama & Grassi rank the means over seeds.

    Args:
        measured: For each method, values by `task.metric`; the task is the part before the first dot.
        higher_is_better: Whether higher values are better, under the same names.

    Returns:
        The mean rank of each method; lower is better.

    Raises:
        ValueError: The methods and directions do not hold the same names or hold none, or a value is not finite.

    Example:
        >>> directions = {"seg.miou": True, "depth.rmse": False}
        >>> mean_rank({"a": {"seg.miou": 40, "depth.rmse": 0.6}, "b": {"seg.miou": 41, "depth.rmse": 0.6}}, directions)
        {'a': 1.75, 'b': 1.25}
    """
    for method, values in measured.items():
        _check_names(values, {f"measured[{method!r}]": values, "higher_is_better": higher_is_better})
        for name, value in values.items():
            _check_finite(f"measured[{method!r}]", name, value)
    # `rankdata` gives the smallest value rank 1.
    ranks = {
        name: rankdata([-values[name] if higher else values[name] for values in measured.values()])
        for name, higher in higher_is_better.items()
    }
    return {method: mean_within_tasks({name: ranks[name][k] for name in ranks}) for k, method in enumerate(measured)}


def _changes(
    measured: Mapping[str, float], single: Mapping[str, float], higher_is_better: Mapping[str, bool]
) -> dict[str, float]:
    """Return the signed relative changes in percent."""
    _check_names(measured, {"measured": measured, "single": single, "higher_is_better": higher_is_better})
    changes = {}
    for name, value in measured.items():
        value, base = float(value), float(single[name])
        _check_finite("measured", name, value)
        if not math.isfinite(base) or base <= 0:
            raise ValueError(f"`single` should be finite and above 0. Found `single[{name!r}] = {base}`.")
        sign = 1 if higher_is_better[name] else -1
        changes[name] = 100 * sign * (value - base) / base
    return changes


def _check_names(measured: Mapping[str, float], mappings: Mapping[str, Mapping[str, Any]]) -> None:
    if not measured:
        raise ValueError("`measured` should hold at least one metric. Found none.")
    for name, mapping in mappings.items():
        if missing := measured.keys() - mapping.keys():
            raise ValueError(f"`{name}` should hold every metric of `measured`. Missing: {sorted(missing)}.")
        if unknown := mapping.keys() - measured.keys():
            raise ValueError(f"`measured` should hold every metric of `{name}`. Missing: {sorted(unknown)}.")


def _check_finite(owner: str, name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"`measured` should be finite. Found `{owner}[{name!r}] = {value}`: leave this run out.")


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
