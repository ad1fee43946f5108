"""The cost of a network: parameters and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from equipoise.models.base import MultiTaskModel


@dataclass(frozen=True)
class Cost:
    """The size of a network.

    Attributes:
        parameters: The number of parameters; batch statistics are not counted.
        shared: The number of parameters that no task owns.
        tasks: The number of parameters that each task owns.
        macs: The number of multiply-accumulates in the prediction of one image.
    """

    parameters: int
    shared: int
    tasks: dict[str, int]
    macs: int


def cost(model: MultiTaskModel, size: tuple[int, int]) -> Cost:
    """Count parameters and multiply-accumulates.

    Multiply-accumulates are half the operations that PyTorch's own counter finds in a forward pass. It counts
    convolutions and matrix products, also those of attention.

    Args:
        model: A network that reads images. If it is built under `torch.device("meta")`, counting needs no memory and
            computes nothing.
        size: (H, W) of the image.

    Example:
        >>> from equipoise import models
        >>> with torch.device("meta"):
        ...     model = models.create("shared", tasks={"depth": 1}, backbone="resnet18")
        >>> found = cost(model, (448, 576))
        >>> found.parameters, round(found.macs / 1e9, 1)
        (15898945, 65.9)
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, *size, device=device))
    model.train(was_training)
    return Cost(
        parameters=_count(model.parameters()),
        shared=_count(model.shared_parameters()),
        tasks={task: _count(model.task_parameters(task)) for task in model.tasks},
        macs=counter.get_total_flops() // 2,
    )


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
