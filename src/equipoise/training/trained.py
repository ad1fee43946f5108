"""The network that a finished run has left behind."""

from pathlib import Path

import torch
from safetensors import SafetensorError

from equipoise import balancing
from equipoise.models import MultiTaskModel
from equipoise.models.base import Adapt
from equipoise.training.kept import load_kept
from equipoise.training.result import read_result
from equipoise.training.setup import build_network


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
