"""Measuring a network on a split."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor

from equipoise.models import MultiTaskModel, Outputs
from equipoise.models.base import Adapt
from equipoise.tasks import Task


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
            losses[name] = torch.stack([task.loss(prediction, batch[name]) for prediction in predictions]).sum()
    return losses


@torch.no_grad()
def evaluate(
    fabric: Fabric,
    model: MultiTaskModel,
    adapt: Adapt,
    tasks: Mapping[str, Task],
    batches: Iterable[dict[str, Tensor]],
    after_batch: Callable[[], None],
) -> Evaluation:
    """Measure every task over a whole split.

    Args:
        fabric: Says device and precision.
        model: The network; left in the mode it was in.
        adapt: What it does to the shared features for each task.
        tasks: What to measure.
        batches: The split.
        after_batch: Called after each batch, to show progress.
    """
    was_training = model.training
    model.eval()
    metrics = {name: task.metrics() for name, task in tasks.items()}
    for metric in (metric for of_task in metrics.values() for metric in of_task.values()):
        metric.to(fabric.device)
    sums = {name: torch.zeros((), device=fabric.device) for name in tasks}
    counts = dict.fromkeys(tasks, 0)
    for batch in batches:
        batch = fabric.to_device(batch)
        with fabric.autocast():
            outputs = model(batch["image"], adapt)
            losses = task_losses(outputs, batch, tasks)
        for name, loss in losses.items():
            sums[name] += loss.float() * len(batch["image"])
            counts[name] += len(batch["image"])
            prediction = tasks[name].activate(outputs.predictions[name].float())
            for metric in metrics[name].values():
                metric.update(prediction, batch[name])
        after_batch()
    model.train(was_training)
    return Evaluation(
        metrics={
            f"{name}.{key}": float(metric.compute()) if counts[name] else math.nan
            for name, of_task in metrics.items()
            for key, metric in of_task.items()
        },
        losses={name: float(sums[name]) / counts[name] if counts[name] else math.nan for name in tasks},
    )
