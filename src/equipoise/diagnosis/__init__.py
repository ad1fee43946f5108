"""Why a multi-task network trains out of balance: probes that look at gradients while it trains, and what they tell."""

from equipoise.diagnosis.frames import by_pair, by_step, by_task
from equipoise.diagnosis.probe import Probe, ProbedStep
from equipoise.diagnosis.store import read

__all__ = ["Probe", "ProbedStep", "by_pair", "by_step", "by_task", "read"]
