"""The verdict: which tasks are starved, which dominate, since when, why, and what to do about it."""

from equipoise.diagnosis.verdict.judge import judge
from equipoise.diagnosis.verdict.schema import Cause, Finding, TaskEvidence, Verdict

__all__ = ["Cause", "Finding", "TaskEvidence", "Verdict", "judge"]
