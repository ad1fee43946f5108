"""Finished single-task networks, as teachers of a multi-task network."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from equipoise.models import MultiTaskModel
from equipoise.training.result import read_result
from equipoise.training.trained import load_trained


def load_teachers(
    directories: Mapping[str, Path], tasks: Iterable[str], device: torch.device
) -> dict[str, MultiTaskModel]:
    """The best networks of finished single-task runs, frozen and in evaluation mode.

    Args:
        directories: The directory of a run by task.
        tasks: The tasks that need a teacher.
        device: Where the networks are to be.

    Raises:
        ValueError: A task has no finished run, or its checkpoint cannot be loaded.
    """
    found = {}
    for task in tasks:
        if task not in directories or read_result(directories[task]) is None:
            raise ValueError(
                f"`teachers` should have the directory of a finished single-task run for `{task}`. Found "
                f"{directories.get(task, 'none')}. Train the single-task networks first: `equipoise bench` does."
            )
        found[task], _ = load_trained(directories[task], device)
    return found
