"""The mean over tasks."""

from collections.abc import Mapping
from statistics import fmean


def over_tasks(changes: Mapping[str, float]) -> float:
    """delta_m from changes by `task.metric`: the mean over tasks of the mean over a task's metrics (P2, section 5).

    >>> over_tasks({"seg.miou": -2.0, "disparity.abs": 10.0, "disparity.rel": -6.0})
    0.0
    """
    tasks: dict[str, list[float]] = {}
    for metric, change in changes.items():
        tasks.setdefault(metric.split(".")[0], []).append(change)
    return fmean(fmean(of_task) for of_task in tasks.values())
