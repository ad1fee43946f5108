"""What can be told of one step from its task gradients and the update that was made of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from equipoise.balancing.rows import Rows
from equipoise.balancing.source import Source

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


class Witness(Protocol):
    """Who looks at the steps of a balancer."""

    at: Source
    """Where: at the last layer, at the features or at all shared parameters."""

    def due(self) -> bool:
        """Count a step, and say whether it is to be measured."""
        ...

    def record(self, measurement: Measurement) -> None:
        """Take note of a measured step."""
        ...


def measure(
    tasks: Sequence[str],
    losses: Tensor,
    rows: Rows,
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
    total = Rows(rows.like, [[update.get(tensor) for tensor in rows.like]], rows.scale)
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
