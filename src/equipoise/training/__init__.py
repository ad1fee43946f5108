"""Training one network: the loop, its checkpoints, its logs, and the choice of the best checkpoint."""

from equipoise.training.loop import train
from equipoise.training.result import RunResult, read_result
from equipoise.training.setup import prepare
from equipoise.training.status import Abandoned, Reached, Status

__all__ = ["Abandoned", "Reached", "RunResult", "Status", "prepare", "read_result", "train"]
