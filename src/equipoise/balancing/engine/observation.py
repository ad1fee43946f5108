"""Measurements for a probe: inner products of the task gradients with each other and with the update."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.task_gradients import TaskGradients
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.info import Place

SAMPLE = 1 << 16
"""Entries of a gradient that a sample holds: a quarter of a megabyte, for cosines to some thousandths."""


@dataclass(frozen=True)
class Measurement:
    """Inner products of the T task gradients of one step and of the update, at one place of the network.

    All norms, cosines, shares and singular values follow from them. Tensors are on the device of the gradients, so that
    measuring does not wait for the device.

    Attributes:
        tasks: Tasks, in the order of the other attributes.
        losses: [T].
        weights: [T], factor of each task's loss. None for methods whose update is no weighted sum.
        gram: Inner products of the unweighted task gradients, [T, T], float64.
        with_update: Inner products of the unweighted task gradients with the update, [T], float64.
        update_square: Squared norm of the update, [], float64.
        sample: Evenly spaced entries of the unweighted task gradients, up to a common factor, [T, at most about
            `SAMPLE`]. They are the same entries in every step, to compare the gradients of a task over time.
    """

    tasks: tuple[str, ...]
    losses: Tensor
    weights: Tensor | None
    gram: Tensor
    with_update: Tensor
    update_square: Tensor
    sample: Tensor


class GradientObserver(Protocol):
    """An object that measures steps of a balancer, such as `equipoise.Probe`."""

    at: Place
    """Where to measure: at the last layer, at the features or at all shared parameters."""

    def due(self) -> bool:
        """Count a step, and return whether to measure it."""
        ...

    def write(self, measurement: Measurement) -> None:
        """Store the measurement of a step."""
        ...


def measure(
    tasks: Sequence[str],
    losses: Tensor,
    gradients: TaskGradients,
    gram: Tensor,
    weights: Tensor | None,
    update: Mapping[Tensor, Tensor] | None,
) -> Measurement:
    """Measure a step.

    Args:
        tasks: The tasks.
        losses: [T].
        gradients: Task gradients at the measured place.
        gram: Their inner products, [T, T], over all processes.
        weights: [T], factor of each task's loss, or None.
        update: Gradient that each tensor of that place received, by tensor. Like `gradients` it contains the factor of
            the gradient scaler. None for the weighted sum of the task gradients.
    """
    if update is None:
        factors = torch.ones_like(gram[0]) if weights is None else weights.to(gram)
        with_update = gram @ factors
        return Measurement(
            tuple(tasks), losses, weights, gram, with_update, factors @ with_update, gradients.sample(SAMPLE)
        )
    total = TaskGradients(gradients.like, [[update.get(tensor) for tensor in gradients.like]], gradients.scale)
    with_update = gradients.cross(total)[:, 0].to(gram.device)
    square = total.gram()[0, 0].to(gram.device)
    return Measurement(tuple(tasks), losses, weights, gram, with_update, square, gradients.sample(SAMPLE))


Difference = Callable[[], dict[Tensor, Tensor]]


def gradient_difference(tensors: Sequence[Tensor]) -> Difference:
    """Remember the `.grad` of some tensors. Return a function that returns what was added to them since."""
    before = {tensor: None if tensor.grad is None else tensor.grad.clone() for tensor in tensors}

    def added() -> dict[Tensor, Tensor]:
        found = {}
        for tensor, old in before.items():
            if tensor.grad is not None:
                found[tensor] = tensor.grad if old is None else tensor.grad - old
        return found

    return added


def measure_step(
    inputs: StepInputs,
    place: Place,
    observed: TaskGradients | None,
    weights: Tensor | None,
    direction: Tensor | None,
    received: Mapping[Tensor, Tensor],
) -> Measurement:
    """Measure a step of a balancer for a probe.

    Args:
        inputs: The method's inputs, with the gradients that it measured.
        place: Where the probe measures.
        observed: Task gradients there, if the method measured elsewhere.
        weights: [T], factor of each loss, if the update is a weighted sum.
        direction: [P], gradient that features or shared parameters receive, if the update is no weighted sum.
        received: Gradient that every leaf is about to receive.
    """
    tasks, losses = inputs.tasks, inputs.losses
    gradients = observed if observed is not None else inputs.gradients
    assert gradients is not None
    gram = inputs.gram
    if observed is not None or gram is None:
        gram = gradients.gram().to(losses.device)
        if place is Place.FEATURES:
            distributed.sum_(gram)
    if place is not Place.FEATURES:
        return measure(tasks, losses, gradients, gram, weights, received)
    if observed is not None or direction is None:
        return measure(tasks, losses, gradients, gram, weights, None)
    # The features received a direction of the method. Each process has its part of the batch.
    directed = dict(zip(gradients.like, gradients.split(direction), strict=True))
    found = measure(tasks, losses, gradients, gram, weights, directed)
    distributed.sum_(found.with_update)
    distributed.sum_(found.update_square)
    return found
