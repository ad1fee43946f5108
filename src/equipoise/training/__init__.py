"""Training one network: the loop, its checkpoints, its logs, and the choice of the best checkpoint."""

from equipoise.training.loop import Abandoned, Reached, Status, train
from equipoise.training.result import RunResult, read_result
from equipoise.training.setup import prepare

__all__ = ["Abandoned", "Reached", "RunResult", "Status", "prepare", "read_result", "train"]
