"""The verdict: which tasks are starved or dominate, since when, why, and which weights to try.

`measures` turns the records of a probe into numbers, `findings` decides what is out of balance and why, `thresholds`
has every line that is drawn, `words` the sentences, and `judge` puts the verdict together.
"""

from equipoise.diagnosis.verdict.judge import judge
from equipoise.diagnosis.verdict.schema import Cause, Finding, TaskStatistics, Verdict

__all__ = ["Cause", "Finding", "TaskStatistics", "Verdict", "judge"]
