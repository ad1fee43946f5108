"""Checks of the arguments of a step."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from equipoise._core.errors import require

Layer = nn.Module | Tensor | Sequence[Tensor]
"""The last shared layer, as a module or by its parameters."""


def loss_values(losses: Mapping[str, Tensor]) -> Tensor:
    """Check the losses of a step, and return their values, [T], at least float32 and without a graph.

    Raises:
        ValueError: There are none, or one is no scalar or has no graph.
    """
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


def layer_parameters(layer: Layer) -> list[Tensor]:
    """Return the trainable parameters of the last shared layer.

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
            "is not frozen, or use a method that needs the losses alone, such as `uniform` or `fixed`."
        )
    return trainable
