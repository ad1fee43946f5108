"""What a balancing method may ask of the trainer beyond the losses of one batch."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from equipoise.balancing import Context, Forward, undisturbed
from equipoise.models import MultiTaskModel
from equipoise.training.checkpoints import load_trained
from equipoise.training.evaluation import task_losses
from equipoise.training.selection import read_result
from equipoise.training.session import Session


def forward(session: Session, batch: dict[str, Tensor]) -> Forward:
    """The losses and shared features of a batch, as the network is now."""
    with session.fabric.autocast():
        outputs = session.model(batch[session.input], session.balancer.adapt)
        return Forward(task_losses(outputs, batch, session.tasks), outputs.shared)


def context_of(session: Session, batch: dict[str, Tensor], further: Iterator[dict[str, Any]]) -> Context:
    """The context of a step.

    Args:
        session: Of the run.
        batch: What the step is made on.
        further: Batches that are independent of it; also given to methods that ask for a validation batch, because
            validation data choose the checkpoint and must not take part in the training.
    """

    def silently(batch_of: Callable[[], dict[str, Tensor]]) -> Callable[[], Forward]:
        def run() -> Forward:
            with undisturbed(session.model):
                return forward(session, batch_of())

        return run

    other = silently(lambda: session.fabric.to_device(next(further)))
    return Context(
        again=silently(lambda: batch),
        further=other,
        validation=other,
        teachers=lambda: taught(session, batch),
        optimizer=session.optimizer,
    )


@torch.no_grad()
def taught(session: Session, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The last shared features of every teacher."""
    with session.fabric.autocast():
        return {task: teacher(batch[session.input]).shared[-1] for task, teacher in session.teachers.items()}


def endless(session: Session, seed: int) -> Iterator[dict[str, Any]]:
    """Training batches in an order of their own; nothing is loaded until the first is asked for."""
    return session.further_loader.stream(count(seed + 2**48, 2**48))


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
