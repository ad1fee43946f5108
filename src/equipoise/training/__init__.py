"""Training one network: the loop, its checkpoints, its logs, and the choice of the best checkpoint."""

from equipoise.training.logs import Abandoned, EpochEnd, Status
from equipoise.training.loop import train
from equipoise.training.selection import RunResult, read_result
from equipoise.training.session import prepare

__all__ = ["Abandoned", "EpochEnd", "RunResult", "Status", "prepare", "read_result", "train"]
