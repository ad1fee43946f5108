"""Checkpoints: the state of an unfinished run, and the best weights of a run."""

import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from equipoise import balancing
from equipoise._core.files import replace
from equipoise.balancing import Balancer, Need
from equipoise.models import MultiTaskModel
from equipoise.models.base import Adapt
from equipoise.training.selection import read_result
from equipoise.training.session import Session, build_network

CHECKPOINT = "checkpoint.pt"
"""File in the directory of an unfinished run: its state after the last epoch."""
BEST = "best.safetensors"
"""File in the directory of a run: the weights of the network at the best evaluation."""
BEST_BALANCER = "best_balancer.pt"
"""File in the directory of a run: the balancer at the best evaluation, if the balancer is a part of the network."""


@dataclass
class TrainingProgress:
    """Training progress stored in a checkpoint, besides weights and states.

    Attributes:
        criterion: The criterion of the scores, see `Selection.criterion`. Scores by another one cannot be compared.
        epoch: Epochs done.
        step: Training steps done.
        seconds: Time of training and evaluation so far.
        best_score: The highest score so far.
        best_epoch: Its epoch; 0 before the first evaluation.
        best_metrics: Its metrics by `task.metric`.
        best_losses: Its losses by task.
        first_losses: The losses of the first evaluation by task.
        further: The best value of every metric in `Selection.further`.
        weight_sums: Sums of the loss weights over all steps, by task.
        weight_counts: The number of steps in those sums, by task.
    """

    criterion: str
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_score: float = float("-inf")
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_losses: dict[str, float] = field(default_factory=dict)
    first_losses: dict[str, float] = field(default_factory=dict)
    further: dict[str, float] = field(default_factory=dict)
    weight_sums: dict[str, float] = field(default_factory=dict)
    weight_counts: dict[str, int] = field(default_factory=dict)

    def mean_weights(self) -> dict[str, float]:
        """Return the mean loss weight of every task over all steps in which it had labels."""
        return {task: total / self.weight_counts[task] for task, total in self.weight_sums.items()}


def save_checkpoint(session: Session, progress: TrainingProgress, directory: Path) -> None:
    """Write the checkpoint of a run, and the records of its probe and its feature distance.

    Args:
        session: The session of the run.
        progress: The progress of the run.
        directory: The directory of the run.
    """
    state = {name: part.state_dict() for name, part in _parts(session).items()}
    for name, recorder in _recorders(session).items():
        recorder.flush()
        state[name] = recorder.state_dict()
    write_tensors(directory / CHECKPOINT, state | {"progress": vars(progress)})


def load_checkpoint(session: Session, directory: Path, criterion: str) -> TrainingProgress:
    """Restore a run from its checkpoint.

    Args:
        session: The session of the run, as prepared.
        directory: The directory of the run.
        criterion: The criterion that the best checkpoint is chosen by, see `Selection.criterion`.

    Returns:
        The progress of the run; no progress if there is no checkpoint, if it is damaged, or if its best epoch was
        chosen by another criterion.
    """
    path = directory / CHECKPOINT
    if not path.exists():
        return TrainingProgress(criterion)
    if not is_intact(path):
        warnings.warn(
            f"The checkpoint {path} is damaged, as after a loss of power. The run begins anew, with the same result.",
            stacklevel=2,
        )
        return TrainingProgress(criterion)
    state = torch.load(path, map_location=session.fabric.device, weights_only=True)
    if state["progress"].get("criterion") != criterion:
        # The single-task results were missing when the run began, so that its best epoch may be another one now.
        return TrainingProgress(criterion)
    for name, part in _parts(session).items():
        part.load_state_dict(state[name])
    for name, recorder in _recorders(session).items():
        if name in state:
            try:
                recorder.load_state_dict(state[name])
            except ValueError as error:
                warnings.warn(f"The run continues without its earlier records. {error}", stacklevel=2)
    return TrainingProgress(**state["progress"])


def _parts(session: Session) -> dict[str, Any]:
    return {
        "model": session.model,
        "optimizer": session.optimizer,
        "schedule": session.schedule,
        "balancer": session.balancer,
    }


def _recorders(session: Session) -> dict[str, Any]:
    recorders = {"probe": session.probe, "feature_distance": session.feature_distance}
    return {name: recorder for name, recorder in recorders.items() if recorder is not None}


def save_weights(directory: Path, model: MultiTaskModel, balancer: Balancer) -> None:
    """Write the weights of a network as `best.safetensors`, and those of a balancer that is a part of it.

    Args:
        directory: The directory to write into.
        model: The network.
        balancer: The balancing method.
    """
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    replace(directory / BEST, lambda beside: safetensors.torch.save_file(weights, beside))
    if Need.ADAPT in balancer.needs:
        write_tensors(directory / BEST_BALANCER, balancer.state_dict())


def load_weights(directory: Path, model: MultiTaskModel, balancer: Balancer, device: torch.device) -> None:
    """Load weights from `save_weights` into a network of the same architecture.

    Args:
        directory: The directory that holds the weights.
        model: The network.
        balancer: The balancing method.
        device: The device of both.

    Raises:
        OSError: A file is missing.
        RuntimeError: The network has another architecture, or a file is damaged.
        SafetensorError: A file is damaged.
    """
    model.load_state_dict(safetensors.torch.load_file(directory / BEST, device=str(device)))
    if Need.ADAPT in balancer.needs:
        balancer.load_state_dict(torch.load(directory / BEST_BALANCER, map_location=device, weights_only=True))


def load_network(directory: Path, device: torch.device | None = None) -> tuple[MultiTaskModel, Adapt]:
    """Load the best network of a finished run, frozen and in evaluation mode.

    Args:
        directory: The directory of the run.
        device: The device of the network; the CPU by default.

    Returns:
        The network, and the `adapt` function of its balancer, to be passed to `forward`: it adapts the shared features
        to each task.

    Raises:
        ValueError: The run is not finished, or its checkpoint does not fit the network in its configuration.
    """
    result = read_result(directory)
    if result is None:
        raise ValueError(f"`directory` should be that of a finished run. Found {str(directory)!r}.")
    device = device or torch.device("cpu")
    model = build_network(result.config, pretrained=False).to(device)
    balancer = balancing.create(result.config.balancer.name, **result.config.balancer.options).to(device)
    try:
        load_weights(directory, model, balancer, device)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"The best checkpoint in {str(directory)!r} cannot be loaded: {error}") from error
    return model.eval().requires_grad_(False), balancer.adapt


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Replace a file of nested dictionaries of tensors and plain values.

    Args:
        path: The file.
        content: Its new content.
    """
    replace(path, lambda beside: torch.save(content, beside))


def is_intact(path: Path) -> bool:
    """Return whether a file of `write_tensors` is undamaged. `torch.load` reads some damage as numbers.

    Args:
        path: The file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
