"""Looking at the task gradients of a step: for the method that decides on it, and for a probe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.step import Step
from equipoise.balancing.engine.task_gradients import TaskGradients
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
    """Who looks at the steps of a balancer."""

    at: Place
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


def observe(
    step: Step,
    source: Place,
    features: Sequence[Tensor],
    last_layer: nn.Module | Tensor | Sequence[Tensor] | None,
    scale: float,
    who: str,
) -> TaskGradients | None:
    """The task gradients at a place.

    Args:
        step: The step.
        source: Where to look.
        features: What was given as features.
        last_layer: What was given as the last layer.
        scale: What the gradients are multiplied by.
        who: Who wants to see them, for messages.

    Returns:
        None if nothing but the losses is to be seen.

    Raises:
        ValueError: What was given does not lead there.
    """
    if source is Place.LAST_LAYER:
        if last_layer is None:
            raise ValueError(
                f"`last_layer` should be given: {who} looks at the gradients there. Found none. Pass the last "
                "layer that all tasks share, such as `encoder.layer4[-1].conv2` of a ResNet-18."
            )
        return step.last_layer_rows(_layer_parameters(last_layer), scale)
    if source is Place.FEATURES:
        if not step.features:
            raise ValueError(
                "`features` should hold tensors that require a gradient, none computed from another, and all "
                f"that the heads read of the trunk: {who} looks at the gradients there. Found {len(features)} "
                "that will not do."
            )
        return step.feature_rows(scale)
    if source is Place.SHARED:
        if not step.shared:
            raise ValueError(
                f"`features` or `shared` should lead to shared parameters that require a gradient: {who} "
                "looks at theirs. Found none. Unfreeze the trunk, or use `uniform` or `fixed`."
            )
        return step.shared_rows(scale)
    return None


def observe_gram(
    step: Step,
    source: Place,
    features: Sequence[Tensor],
    last_layer: nn.Module | Tensor | Sequence[Tensor] | None,
    scale: float,
    who: str,
) -> TaskGradients | None:
    """As `observe`, for who needs the inner products above all, and single entries before the step is finished."""
    if source is Place.LAST_LAYER and last_layer is not None:
        return step.last_layer_products(_layer_parameters(last_layer), scale)
    return observe(step, source, features, last_layer, scale, who)


def measure_step(
    tasks: Sequence[str],
    losses: Tensor,
    place: Place,
    looked: TaskGradients | None,
    rows: TaskGradients | None,
    gram: Tensor | None,
    weights: Tensor | None,
    direction: Tensor | None,
    gradients: Mapping[Tensor, Tensor],
) -> Measurement:
    """What a probe is told of a step.

    Args:
        tasks: The T tasks.
        losses: [T].
        place: Where it looks.
        looked: The task gradients there, if the method looked elsewhere.
        rows: Those that the method saw.
        gram: Their inner products.
        weights: [T], what each loss was multiplied by, if the update is a weighted sum.
        direction: [P], what the features or the shared parameters received, if it is not.
        gradients: What every leaf is about to receive.
    """
    seen = looked if looked is not None else rows
    assert seen is not None
    products = gram
    if looked is not None or products is None:
        products = seen.gram().to(losses.device)
        if place is Place.FEATURES:
            distributed.sum_(products)
    if place is not Place.FEATURES:
        return measure(tasks, losses, seen, products, weights, gradients)
    if looked is not None or direction is None:
        return measure(tasks, losses, seen, products, weights, None)
    # The method gave the features a direction of its own; each process has the part of its batch.
    directed = dict(zip(seen.like, seen.split(direction), strict=True))
    found = measure(tasks, losses, seen, products, weights, directed)
    distributed.sum_(found.with_update)
    distributed.sum_(found.update_square)
    return found


def _layer_parameters(layer: nn.Module | Tensor | Sequence[Tensor]) -> list[Tensor]:
    """The trainable parameters of what the caller named as last shared layer.

    Raises:
        ValueError: It has none.
    """
    if isinstance(layer, nn.Module):
        parameters: list[Tensor] = list(layer.parameters())
    else:
        parameters = [layer] if isinstance(layer, Tensor) else list(layer)
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if not trainable:
        raise ValueError(
            "`last_layer` should hold parameters that require a gradient. Found none: name a layer of the trunk that "
            "is not frozen, or use a method that sees losses alone, such as `uniform` or `fixed`."
        )
    return trainable
