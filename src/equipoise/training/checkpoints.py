"""What an interrupted run needs to end as if it had never stopped."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from equipoise.training.files import is_whole, write_tensors
from equipoise.training.setup import Session

CHECKPOINT = "checkpoint.pt"
"""In the directory of a run that is not finished: all that it has reached."""


@dataclass
class Progress:
    """What besides weights a checkpoint must hold for a resumed run to end as if it had never stopped.

    `criterion` is what scores are; others cannot be compared with them. `further` has the best value of every metric
    that has a best evaluation of its own, see `Selection.further`.
    """

    criterion: str
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    probed: int = 0
    sampled: dict[str, Tensor] = field(default_factory=dict)
    best_score: float = float("-inf")
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_losses: dict[str, float] = field(default_factory=dict)
    first_losses: dict[str, float] = field(default_factory=dict)
    further: dict[str, float] = field(default_factory=dict)
    weight_sums: dict[str, float] = field(default_factory=dict)
    weight_counts: dict[str, int] = field(default_factory=dict)


def save_checkpoint(session: Session, progress: Progress, directory: Path) -> None:
    """Write down all that a run has reached."""
    state = {
        "model": session.model.state_dict(),
        "optimizer": session.optimizer.state_dict(),
        "schedule": session.schedule.state_dict(),
        "balancer": session.balancer.state_dict(),
        "progress": vars(progress),
    }
    if session.distance is not None:
        state["distance"] = session.distance.state_dict()
    write_tensors(directory / CHECKPOINT, state)


def load_checkpoint(session: Session, directory: Path, criterion: str) -> Progress:
    """Bring a run to where it was stopped; to its beginning if there is no checkpoint that will do.

    Args:
        session: Of the run, as it is prepared.
        directory: The run's own.
        criterion: What its checkpoints are chosen by, see `Selection.criterion`.
    """
    path = directory / CHECKPOINT
    if not path.exists():
        return Progress(criterion)
    if not is_whole(path):
        warnings.warn(
            f"{path} is damaged, as after a loss of power: the run begins anew, with the same result.", stacklevel=2
        )
        return Progress(criterion)
    state = torch.load(path, map_location=session.fabric.device, weights_only=True)
    if state["progress"].get("criterion") != criterion:
        # It was begun without single-task networks to compare with: its best epoch may not be what is now asked for.
        return Progress(criterion)
    session.model.load_state_dict(state["model"])
    session.optimizer.load_state_dict(state["optimizer"])
    session.schedule.load_state_dict(state["schedule"])
    session.balancer.load_state_dict(state["balancer"])
    progress = Progress(**state["progress"])
    if session.probe is not None:
        with _losing_records():
            session.probe.resume(progress.probed, progress.sampled)
    if session.distance is not None and "distance" in state:
        with _losing_records():
            session.distance.load_state_dict(state["distance"])
    return progress


@contextmanager
def _losing_records() -> Iterator[None]:
    """What only looks on must not end a training: where its file is damaged it goes on without what that held."""
    try:
        yield
    except ValueError as error:
        warnings.warn(f"what was recorded before is lost: {error}", stacklevel=4)
