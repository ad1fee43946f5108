"""Finished single-task networks, as teachers of a multi-task network."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch

from equipoise.models import MultiTaskModel
from equipoise.training.result import read_result
from equipoise.training.setup import BEST, build_network


def load_teachers(
    directories: Mapping[str, Path], tasks: Mapping[str, object], device: torch.device
) -> dict[str, MultiTaskModel]:
    """The best networks of finished single-task runs, frozen and in evaluation mode.

    Args:
        directories: The directory of a run by task.
        tasks: The tasks that need a teacher.
        device: Where the networks are to be.

    Raises:
        ValueError: A task has no finished run.
    """
    found = {}
    for task in tasks:
        result = read_result(directories[task]) if task in directories else None
        if result is None:
            raise ValueError(
                f"`teachers` should have the directory of a finished single-task run for `{task}`. Found "
                f"{directories.get(task, 'none')}. Train the single-task networks first: `equipoise bench` does."
            )
        model = build_network(result.config, pretrained=False)
        model.load_state_dict(safetensors.torch.load_file(directories[task] / BEST))
        found[task] = model.to(device).eval().requires_grad_(False)
    return found
