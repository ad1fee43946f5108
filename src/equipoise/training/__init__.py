"""Training of one network: the loop, its checkpoints and logs, and the choice of the best checkpoint."""

from equipoise.training.checkpoints import load_network
from equipoise.training.logs import Abandoned, EpochEnd, Status
from equipoise.training.loop import train
from equipoise.training.selection import RunResult, Selection, main_metrics, read_result
from equipoise.training.session import prepare
from equipoise.training.step import training_step

__all__ = [
    "Abandoned",
    "EpochEnd",
    "RunResult",
    "Selection",
    "Status",
    "load_network",
    "main_metrics",
    "prepare",
    "read_result",
    "train",
    "training_step",
]
