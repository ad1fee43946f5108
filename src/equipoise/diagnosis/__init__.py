"""Why a multi-task network trains out of balance: probes that record task gradients, and a verdict on them.

Importing this package needs torch alone, so that `equipoise.Probe` can always be imported. Everything but the probe
is loaded when it is first used, and needs the laboratory.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from equipoise.diagnosis.probe import Probe, ProbedStep

if TYPE_CHECKING:
    from equipoise.diagnosis.feature_distance import FeatureDistance, read_distances
    from equipoise.diagnosis.frames import by_pair, by_step, by_task
    from equipoise.diagnosis.store import read
    from equipoise.diagnosis.verdict import Cause, Finding, TaskStatistics, Verdict, judge

__all__ = [
    "Cause",
    "FeatureDistance",
    "Finding",
    "Probe",
    "ProbedStep",
    "TaskStatistics",
    "Verdict",
    "by_pair",
    "by_step",
    "by_task",
    "judge",
    "read",
    "read_distances",
]

_LABORATORY = ("feature_distance", "frames", "store", "verdict")
"""The modules that define the other names."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _LABORATORY:
            found = vars(import_module(f"{__name__}.{module}")).get(name)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
