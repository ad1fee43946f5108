"""Why a multi-task network trains out of balance: probes that look at gradients while it trains, and what they tell."""

from equipoise.diagnosis.feature_distance import FeatureDistance, read_distances
from equipoise.diagnosis.frames import by_pair, by_step, by_task, read
from equipoise.diagnosis.probe import Probe, ProbedStep
from equipoise.diagnosis.verdict import Cause, Finding, TaskEvidence, Verdict, judge

__all__ = [
    "Cause",
    "FeatureDistance",
    "Finding",
    "Probe",
    "ProbedStep",
    "TaskEvidence",
    "Verdict",
    "by_pair",
    "by_step",
    "by_task",
    "judge",
    "read",
    "read_distances",
]
