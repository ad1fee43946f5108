"""What a probe is told of a step: inner products of the task gradients, and of the update with them."""

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
"""How many entries of a gradient are remembered: enough for a cosine to some thousandths, a quarter of a megabyte."""


@dataclass(frozen=True)
class Measurement:
    """Inner products of the T task gradients of one step at some place of the network, and of the update there.

    All norms, cosines, shares and singular values follow from them. Tensors are on the device of the gradients, so that
    measuring does not wait for it.

    Attributes:
        tasks: The tasks, in the order of all that follows.
        losses: [T].
        weights: [T], what each task's loss was multiplied by; none for methods whose update is no weighted sum.
        gram: Inner products of the unweighted task gradients, [T, T], float64.
        with_update: Their inner products with the update, [T], float64.
        update_square: The squared norm of the update, [], float64.
        sample: Evenly spaced entries of the unweighted task gradients up to a factor, [T, at most about `SAMPLE`], the
            same ones in every step: for comparing the gradients of a task over time.
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
    """Where it measures: at the last layer, at the features or at all shared parameters."""

    def due(self) -> bool:
        """Count a step, and say whether it is to be measured."""
        ...

    def write(self, measurement: Measurement) -> None:
        """Keep the measurement of a step."""
        ...


def measure(
    tasks: Sequence[str],
    losses: Tensor,
    rows: TaskGradients,
    gram: Tensor,
    weights: Tensor | None,
    update: Mapping[Tensor, Tensor] | None,
) -> Measurement:
    """Measure a step.

    Args:
        tasks: The tasks.
        losses: [T].
        rows: The task gradients at the place that is looked at.
        gram: Their inner products, [T, T], over all processes.
        weights: [T], what each task's loss was multiplied by, or none.
        update: What the tensors of that place received, by tensor, multiplied like the rows by the gradient scaler's
            factor. None where it was not computed: then it is the weighted sum of the task gradients.
    """
    if update is None:
        factors = torch.ones_like(gram[0]) if weights is None else weights.to(gram)
        with_update = gram @ factors
        return Measurement(tuple(tasks), losses, weights, gram, with_update, factors @ with_update, rows.sample(SAMPLE))
    total = TaskGradients(rows.like, [[update.get(tensor) for tensor in rows.like]], rows.scale)
    with_update = rows.cross(total)[:, 0].to(gram.device)
    square = total.gram()[0, 0].to(gram.device)
    return Measurement(tuple(tasks), losses, weights, gram, with_update, square, rows.sample(SAMPLE))


Difference = Callable[[], dict[Tensor, Tensor]]


def gradient_difference(tensors: Sequence[Tensor]) -> Difference:
    """Remember the `.grad` of some tensors; the function that is returned tells what has been added since."""
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
        observed: The task gradients there, if the method measured elsewhere.
        weights: [T], the factor of each loss, if the update is a weighted sum.
        direction: [P], the gradient that features or shared parameters received, if it is not.
        received: What every leaf is about to receive.
    """
    tasks, losses = inputs.tasks, inputs.losses
    seen = observed if observed is not None else inputs.gradients
    assert seen is not None
    gram = inputs.gram
    if observed is not None or gram is None:
        gram = seen.gram().to(losses.device)
        if place is Place.FEATURES:
            distributed.sum_(gram)
    if place is not Place.FEATURES:
        return measure(tasks, losses, seen, gram, weights, received)
    if observed is not None or direction is None:
        return measure(tasks, losses, seen, gram, weights, None)
    # The method gave the features a direction of its own; each process has the part of its batch.
    directed = dict(zip(seen.like, seen.split(direction), strict=True))
    found = measure(tasks, losses, seen, gram, weights, directed)
    distributed.sum_(found.with_update)
    distributed.sum_(found.update_square)
    return found
