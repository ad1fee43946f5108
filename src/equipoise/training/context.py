"""Extra inputs of balancing methods: further forward passes, further batches, single-task networks as teachers."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from equipoise.balancing import Context, Forward, undisturbed
from equipoise.models import MultiTaskModel
from equipoise.training.checkpoints import load_network
from equipoise.training.evaluation import task_losses
from equipoise.training.loading import Batch
from equipoise.training.selection import read_result
from equipoise.training.session import Session


def forward(session: Session, batch: Batch) -> Forward:
    """Return the losses and the shared features of a batch at the current weights.

    Args:
        session: The session of the run.
        batch: A batch on the device.
    """
    with session.fabric.autocast():
        outputs = session.model(batch[session.input], session.balancer.adapt)
        return Forward(task_losses(outputs, batch, session.tasks), outputs.shared)


def step_context(session: Session, batch: Batch, further: Iterator[Batch]) -> Context:
    """Return the context of a step: everything that a method may need besides the losses of the batch.

    Args:
        session: The session of the run.
        batch: The batch of the step.
        further: Training batches that are independent of it. Methods that ask for a validation batch get these, too:
            validation data choose the checkpoint, so the training must not use them.
    """

    def run_undisturbed(batch_of: Callable[[], Batch]) -> Callable[[], Forward]:
        def run() -> Forward:
            with undisturbed(session.model):
                return forward(session, batch_of())

        return run

    further_pass = run_undisturbed(lambda: session.fabric.to_device(next(further)))
    return Context(
        again=run_undisturbed(lambda: batch),
        further=further_pass,
        validation=further_pass,
        teachers=lambda: teacher_features(session, batch),
        optimizer=session.optimizer,
    )


def further_batches(session: Session, seed: int) -> Iterator[Batch]:
    """Yield training batches without end, in an order of their own. Loading starts with the first request.

    Args:
        session: The session of the run.
        seed: The seed of the epoch that needs them.
    """
    return session.further_loader.stream(_random_seeds(seed))


def _random_seeds(seed: int) -> Iterator[int]:
    # PyTorch's generator on the CPU reads the lower 32 bits of a seed alone: no constant offset above them would do.
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield int(torch.randint(2**62, (), generator=generator))


@torch.no_grad()
def teacher_features(session: Session, batch: Batch) -> dict[str, Tensor]:
    """Return the last trunk features of every teacher for a batch, by task.

    Args:
        session: The session of the run.
        batch: A batch on the device.
    """
    with session.fabric.autocast():
        return {task: teacher(batch[session.input]).shared[-1] for task, teacher in session.teachers.items()}


def load_teachers(
    directories: Mapping[str, Path], tasks: Iterable[str], device: torch.device
) -> dict[str, MultiTaskModel]:
    """Load the best networks of finished single-task runs, frozen and in evaluation mode.

    Args:
        directories: The directory of a single-task run by task.
        tasks: The tasks that need a teacher.
        device: The device of the networks.

    Raises:
        ValueError: A task has no finished run, or its checkpoint cannot be loaded.
    """
    networks = {}
    for task in tasks:
        if task not in directories or read_result(directories[task]) is None:
            raise ValueError(
                f"`teachers` should have the directory of a finished single-task run for `{task}`. Found "
                f"{directories.get(task, 'none')}. Train the single-task networks first: `equipoise bench` does."
            )
        networks[task], _ = load_network(directories[task], device)
    return networks
