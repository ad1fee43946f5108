"""Training one network: the loop, its checkpoints, its logs, and the choice of the best checkpoint."""

from equipoise.training.loop import Status, train
from equipoise.training.result import RunResult, read_result
from equipoise.training.setup import prepare

__all__ = ["RunResult", "Status", "prepare", "read_result", "train"]
