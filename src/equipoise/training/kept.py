"""The network of the best evaluation, on the disk."""

from pathlib import Path

import safetensors.torch
import torch

from equipoise.balancing import Balancer, Need
from equipoise.models import MultiTaskModel
from equipoise.training.files import replace, write_tensors

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
