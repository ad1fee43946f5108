"""Looking at the task gradients of a step: for the method that decides on it, and for a probe."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from equipoise.balancing import processes
from equipoise.balancing.measurement import Measurement, measure
from equipoise.balancing.rows import Rows
from equipoise.balancing.source import Source
from equipoise.balancing.step import Step


def observe(
    step: Step,
    source: Source,
    features: Sequence[Tensor],
    last_layer: nn.Module | Tensor | Sequence[Tensor] | None,
    scale: float,
    who: str,
) -> Rows | None:
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
    if source is Source.LAST_LAYER:
        if last_layer is None:
            raise ValueError(
                f"`last_layer` should be given: {who} looks at the gradients there. Found none. Pass the last "
                "layer that all tasks share, such as `encoder.layer4[-1].conv2` of a ResNet-18."
            )
        return step.last_layer_rows(_layer_parameters(last_layer), scale)
    if source is Source.FEATURES:
        if not step.features:
            raise ValueError(
                "`features` should hold tensors that require a gradient, none computed from another, and all "
                f"that the heads read of the trunk: {who} looks at the gradients there. Found {len(features)} "
                "that will not do."
            )
        return step.feature_rows(scale)
    if source is Source.SHARED:
        if not step.shared:
            raise ValueError(
                f"`features` or `shared` should lead to shared parameters that require a gradient: {who} "
                "looks at theirs. Found none. Unfreeze the trunk, or use `uniform` or `fixed`."
            )
        return step.shared_rows(scale)
    return None


def observe_products(
    step: Step,
    source: Source,
    features: Sequence[Tensor],
    last_layer: nn.Module | Tensor | Sequence[Tensor] | None,
    scale: float,
    who: str,
) -> Rows | None:
    """As `observe`, for who needs the inner products above all, and single entries before the step is finished."""
    if source is Source.LAST_LAYER and last_layer is not None:
        return step.last_layer_products(_layer_parameters(last_layer), scale)
    return observe(step, source, features, last_layer, scale, who)


def testify(
    tasks: Sequence[str],
    losses: Tensor,
    place: Source,
    looked: Rows | None,
    rows: Rows | None,
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
        if place is Source.FEATURES:
            processes.sum_(products)
    if place is not Source.FEATURES:
        return measure(tasks, losses, seen, products, weights, gradients)
    if looked is not None or direction is None:
        return measure(tasks, losses, seen, products, weights, None)
    # The method gave the features a direction of its own; each process has the part of its batch.
    directed = dict(zip(seen.like, seen.split(direction), strict=True))
    found = measure(tasks, losses, seen, products, weights, directed)
    processes.sum_(found.with_update)
    processes.sum_(found.update_square)
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
