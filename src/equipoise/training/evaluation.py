"""Task losses of a batch, and the evaluation of a network on a split."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from equipoise.metrics import collect
from equipoise.models import Outputs
from equipoise.tasks import Task
from equipoise.tasks.base import UNLABELLED
from equipoise.training.loading import Batch
from equipoise.training.session import Session


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation on one split. A task without a label in the split has NaN.

    Attributes:
        metrics: Metrics by `task.metric`.
        losses: Mean loss by task. Every labelled sample has the same weight, whatever the size of its batch.
    """

    metrics: dict[str, float]
    losses: dict[str, float]


def task_losses(outputs: Outputs, batch: Mapping[str, Tensor], tasks: Mapping[str, Task]) -> dict[str, Tensor]:
    """Return the loss of every task that has labels in the batch, a scalar each.

    Auxiliary predictions add their losses with the same weight as the final one, as in the public code of MTI-Net and
    InvPT.

    Args:
        outputs: The outputs of the network.
        batch: The batch with the labels.
        tasks: The tasks of the network by name.
    """
    losses = {}
    for name, task in tasks.items():
        if name in batch:
            predictions = [outputs.predictions[name], *outputs.auxiliary.get(name, [])]
            parts = [task.loss(prediction, batch[name]) for prediction in predictions]
            if logits := outputs.categorical.get(name):
                categories = task.categorise(batch[name])
                parts += [_cross_entropy(one, categories) for one in logits]
            losses[name] = torch.stack(parts).sum()
    return losses


def _cross_entropy(logits: Tensor, categories: Tensor) -> Tensor:
    total = functional.cross_entropy(logits.float(), categories, ignore_index=UNLABELLED, reduction="sum")
    return total / (categories != UNLABELLED).sum().clamp(min=1)


@torch.no_grad()
def evaluate(
    session: Session, tasks: Mapping[str, Task], batches: Iterable[Batch], after_batch: Callable[[], None]
) -> Evaluation:
    """Evaluate the network of a session. The network is left in the mode it was in.

    Args:
        session: The session of the run.
        tasks: The tasks to evaluate.
        batches: The batches of a split.
        after_batch: Called after each batch, to show progress.
    """
    model, fabric = session.model, session.fabric
    was_training = model.training
    model.eval()
    by_task = {name: task.metrics() for name, task in tasks.items()}
    collections = {name: collect(metrics).to(fabric.device) for name, metrics in by_task.items()}
    sums = {name: torch.zeros((), device=fabric.device) for name in tasks}
    counts = dict.fromkeys(tasks, 0)
    for batch in batches:
        batch = fabric.to_device(batch)
        with fabric.autocast():
            outputs = model(batch[session.input], session.balancer.adapt)
            losses = task_losses(outputs, batch, tasks)
        for name, loss in losses.items():
            sums[name] += loss.float() * len(batch[name])
            counts[name] += len(batch[name])
            collections[name].update(tasks[name].activate(outputs.predictions[name].float()), batch[name])
        after_batch()
    model.train(was_training)
    values = {name: metrics.compute() if counts[name] else {} for name, metrics in collections.items()}
    return Evaluation(
        metrics={
            f"{name}.{metric}": float(values[name].get(metric, math.nan))
            for name, metrics in by_task.items()
            for metric in metrics
        },
        losses={name: float(sums[name]) / counts[name] if counts[name] else math.nan for name in tasks},
    )
