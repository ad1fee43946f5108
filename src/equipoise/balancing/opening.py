"""The beginning of a step: what was given is checked, and that all processes were given alike."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from zlib import crc32

import torch
from torch import Tensor

from equipoise.balancing import processes
from equipoise.balancing.checks import require
from equipoise.balancing.step import Step


def open_step(
    losses: Mapping[str, Tensor],
    features: Sequence[Tensor],
    shared: Iterable[Tensor],
    *,
    retain_graph: bool = False,
    scaler: torch.amp.GradScaler | None = None,
    summed: bool = False,
    objectives: Callable[[], Mapping[str, Tensor]] | None = None,
) -> tuple[Tensor, Step]:
    """Begin a step: check what was given, and that all processes were given alike.

    Args:
        losses: As for `Balancer.backward`, like the other arguments.
        features: The features.
        shared: The shared parameters.
        retain_graph: Whether to keep the graph.
        scaler: The gradient scaler.
        summed: Whether parameters that several tasks use behind the features receive the plain sum.
        objectives: Makes what is differentiated in place of the losses.

    Returns:
        The losses of this process, [T], and the step.

    Raises:
        ValueError: An argument is wrong, or the processes disagree.
    """
    # A process that refuses its losses must say so to the others, which would wait for it for ever.
    first = next((loss for loss in losses.values() if isinstance(loss, Tensor)), None)
    device = torch.device("cpu") if first is None else first.device
    try:
        values = _check(losses)
        total = losses if objectives is None else objectives()
        scaled = total if scaler is None else {task: scaler.scale(loss) for task, loss in total.items()}
        step = Step(scaled, features, shared, retain_graph, summed)
    except ValueError as error:
        processes.require_agreement(str(error), device)
        raise
    if processes.world_size() > 1:
        shapes = [[tuple(leaf.shape) for leaf in leaves] for leaves in (step.shared, *step.heads)]
        layout = f"{len(step.leaves())} parameters, layout {crc32(str(shapes).encode()):08x}"
        processes.require_agreement(f"{', '.join(losses)} ({layout})", device)
    return values, step


def _check(losses: Mapping[str, Tensor]) -> Tensor:
    require(len(losses) > 0, "losses", losses, "hold the loss of at least one task")
    for task, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"`losses[{task!r}]` should be a scalar tensor. Found `{found}`. Take its mean or sum.")
        if not loss.requires_grad:
            raise ValueError(
                f"`losses[{task!r}]` should depend on the model. Found a tensor without a graph: it was detached, "
                "computed under `no_grad`, or all that it depends on is frozen. Leave out tasks without labels in a "
                "batch."
            )
    device = next(iter(losses.values())).device
    values = [loss.detach().reshape(()).to(device) for loss in losses.values()]
    return torch.stack([value if value.dtype == torch.float64 else value.float() for value in values])
