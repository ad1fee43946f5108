"""Measuring a network on a split."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from equipoise.metrics import collect
from equipoise.models import MultiTaskModel, Outputs
from equipoise.models.base import Adapt
from equipoise.tasks import Task

UNLABELLED = 255
"""The category of a pixel without a label."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics by `task.metric` and mean loss by task on one split; NaN for a task without a label there."""

    metrics: dict[str, float]
    losses: dict[str, float]


def task_losses(outputs: Outputs, batch: Mapping[str, Tensor], tasks: Mapping[str, Task]) -> dict[str, Tensor]:
    """The loss of every task that has labels in the batch; predictions on the way count as the final one (P1, A7)."""
    losses = {}
    for name, task in tasks.items():
        if name in batch:
            predictions = [outputs.predictions[name], *outputs.auxiliary.get(name, [])]
            found = [task.loss(prediction, batch[name]) for prediction in predictions]
            if logits := outputs.categorical.get(name):
                categories = task.categorise(batch[name])
                found += [_cross_entropy(one, categories) for one in logits]
            losses[name] = torch.stack(found).sum()
    return losses


def _cross_entropy(logits: Tensor, categories: Tensor) -> Tensor:
    total = functional.cross_entropy(logits.float(), categories, ignore_index=UNLABELLED, reduction="sum")
    return total / (categories != UNLABELLED).sum().clamp(min=1)


@torch.no_grad()
def evaluate(
    fabric: Fabric,
    model: MultiTaskModel,
    adapt: Adapt,
    tasks: Mapping[str, Task],
    batches: Iterable[dict[str, Tensor]],
    input: str,
    after_batch: Callable[[], None],
) -> Evaluation:
    """Measure every task over a whole split.

    Args:
        fabric: Says device and precision.
        model: The network; left in the mode it was in.
        adapt: What it does to the shared features for each task.
        tasks: What to measure.
        batches: The split.
        input: What the network reads: its key in a batch.
        after_batch: Called after each batch, to show progress.
    """
    was_training = model.training
    model.eval()
    of_tasks = {name: task.metrics() for name, task in tasks.items()}
    metrics = {name: collect(of_task).to(fabric.device) for name, of_task in of_tasks.items()}
    sums = {name: torch.zeros((), device=fabric.device) for name in tasks}
    counts = dict.fromkeys(tasks, 0)
    for batch in batches:
        batch = fabric.to_device(batch)
        with fabric.autocast():
            outputs = model(batch[input], adapt)
            losses = task_losses(outputs, batch, tasks)
        for name, loss in losses.items():
            sums[name] += loss.float() * len(batch[name])
            counts[name] += len(batch[name])
            metrics[name].update(tasks[name].activate(outputs.predictions[name].float()), batch[name])
        after_batch()
    model.train(was_training)
    found = {name: of_task.compute() if counts[name] else {} for name, of_task in metrics.items()}
    return Evaluation(
        metrics={
            f"{name}.{key}": float(found[name].get(key, math.nan))
            for name, of_task in of_tasks.items()
            for key in of_task
        },
        losses={name: float(sums[name]) / counts[name] if counts[name] else math.nan for name in tasks},
    )
