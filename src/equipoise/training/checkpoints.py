"""What an interrupted run needs to end as if it had never stopped."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from equipoise import balancing
from equipoise._core.files import replace
from equipoise.balancing import Balancer, Need
from equipoise.models import MultiTaskModel
from equipoise.models.base import Adapt
from equipoise.training.selection import read_result
from equipoise.training.session import Session, build_network

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


BEST = "best.safetensors"
"""In the directory of a run: the weights of the network at the best evaluation."""
BEST_BALANCER = "best_balancer.pt"
"""In the directory of a run: the state of the balancer then, where it is a part of the network."""


def keep(directory: Path, model: MultiTaskModel, balancer: Balancer) -> None:
    """Write the network as it is now."""
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    replace(directory / BEST, lambda beside: safetensors.torch.save_file(weights, beside))
    if Need.ADAPT in balancer.needs:
        write_tensors(directory / BEST_BALANCER, balancer.state_dict())


def load_kept(directory: Path, model: MultiTaskModel, balancer: Balancer, device: torch.device) -> None:
    """Read into a network what `keep` has written of one like it.

    Raises:
        OSError: A file is missing.
        RuntimeError: The network is another one, or a file is damaged.
        SafetensorError: A file is damaged.
    """
    model.load_state_dict(safetensors.torch.load_file(directory / BEST, device=str(device)))
    if Need.ADAPT in balancer.needs:
        balancer.load_state_dict(torch.load(directory / BEST_BALANCER, map_location=device, weights_only=True))


def load_trained(directory: Path, device: torch.device | None = None) -> tuple[MultiTaskModel, Adapt]:
    """The network of the best checkpoint, frozen and in evaluation mode, and what adapts its features for each task.

    Args:
        directory: Of a finished run.
        device: Where the network is to be; the processor by default.

    Raises:
        ValueError: The run is not finished, or its checkpoint does not fit the network that its configuration means.
    """
    result = read_result(directory)
    if result is None:
        raise ValueError(f"`directory` should be that of a finished run. Found {str(directory)!r}.")
    device = device or torch.device("cpu")
    model = build_network(result.config, pretrained=False).to(device)
    balancer = balancing.create(result.config.balancer.name, **result.config.balancer.options).to(device)
    try:
        load_kept(directory, model, balancer, device)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"The best checkpoint in {str(directory)!r} cannot be loaded: {error}") from error
    return model.eval().requires_grad_(False), balancer.adapt


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Replace a file of nested dictionaries of tensors and plain values."""
    replace(path, lambda beside: torch.save(content, beside))


def is_whole(path: Path) -> bool:
    """Whether a file of `write_tensors` is as it was written; `torch.load` takes some damage for numbers."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
