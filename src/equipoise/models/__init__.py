"""Multi-task networks: a timm backbone that the tasks share, and modules of each task's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from equipoise._core.options import check_options, check_required, option_types
from equipoise._core.registry import Registry
from equipoise.models.backbone import Backbone
from equipoise.models.base import MultiTaskModel, Outputs
from equipoise.tasks import Output

__all__ = [
    "Backbone",
    "MultiTaskModel",
    "Outputs",
    "architecture_class",
    "available",
    "create",
    "default_backbone",
    "examples",
    "options",
]


# Not `architectures`: the package of that name becomes an attribute of this one when it is imported.
_registry: Registry[MultiTaskModel] = Registry(
    "architecture", MultiTaskModel, package="equipoise.models.architectures", group="equipoise.architectures"
)


def available() -> list[str]:
    """Return the names of the architectures.

    Example:
        >>> "shared" in available()
        True
    """
    return list(_registry)


def architecture_class(architecture: str) -> type[MultiTaskModel]:
    """Return the class of an architecture.

    Raises:
        ValueError: There is no such architecture.
    """
    return _registry[architecture]


def options(architecture: str) -> dict[str, Any]:
    """Return the types of an architecture's own options by their names.

    Options are the keyword-only arguments of its class.

    Raises:
        ValueError: There is no such architecture.

    Example:
        >>> "decoder" in options("shared")
        True
    """
    return option_types(_registry[architecture])


def create(
    architecture: str,
    *,
    tasks: Mapping[str, int | Output],
    backbone: str | None = None,
    pretrained: bool | str | Path = False,
    **options: Any,
) -> MultiTaskModel:
    """Build a multi-task network, or with one task its single-task counterpart.

    Args:
        architecture: One of `available()`, or `module:Class`.
        tasks: For each task its output, in the order that the network keeps. A number stands for a dense map with so
            many channels.
        backbone: Name of a timm model; the architecture's own default if left out.
        pretrained: False: random weights and no network traffic. True: timm's weights. A path: weights from that file.
        options: The architecture's own options, the keyword-only arguments of its class.

    Raises:
        ValueError: A name or an option is unknown, or weights are not available or do not fit.

    Example:
        >>> import torch
        >>> tasks = {"seg": 13, "depth": 1}
        >>> model = create("shared", tasks=tasks, backbone="test_resnet", decoder="conv")
        >>> outputs = model(torch.rand(2, 3, 50, 70))
        >>> {task: tuple(prediction.shape) for task, prediction in outputs.predictions.items()}
        {'seg': (2, 13, 50, 70), 'depth': (2, 1, 50, 70)}
    """
    network = _registry[architecture]
    check_options(f"Architecture `{architecture}`", option_types(network), options)
    check_required(f"Architecture `{architecture}`", network, options)
    # The type of an architecture's constructor is not known here; it takes more than that of the base.
    build = cast(Callable[..., MultiTaskModel], network)
    if network.default_backbone is None:
        if backbone is not None or pretrained is not False:
            raise ValueError(
                f"Architecture `{architecture}` has a trunk of its own: leave `backbone` and `pretrained` out. "
                f"Found `backbone = {backbone!r}`, `pretrained = {pretrained!r}`."
            )
        return build(tasks, **options)
    return build(tasks, backbone or network.default_backbone, pretrained, **options)


def default_backbone(architecture: str) -> str | None:
    """Return the backbone that an architecture has by default; none if it has a trunk of its own.

    Raises:
        ValueError: There is no such architecture.

    Example:
        >>> default_backbone("shared")
        'resnet18'
    """
    return _registry[architecture].default_backbone


def examples() -> list[dict[str, Any]]:
    """Return networks of every architecture that reads images, as arguments of `create` without the tasks.

    Example:
        >>> {"architecture": "shared", "backbone": "resnet50"} in examples()
        True
    """
    return [{"architecture": name, **example} for name, network in _registry.items() for example in network.examples]
