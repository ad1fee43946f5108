"""The base class of multi-task networks, and their outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from equipoise.tasks import Output

Adapt = Callable[[str, Sequence[Tensor]], Sequence[Tensor]]
"""From the name of a task and the shared features to the tensors that the task reads, of the same shapes."""


def unchanged(task: str, features: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the shared features: every task reads the same."""
    return features


@dataclass
class Outputs:
    """The outputs of a forward pass.

    Attributes:
        predictions: The raw prediction of each task, [B, channels, H, W] at the size of the images, or [B, channels]
            for a task that is not dense. Under autocast they have autocast's type.
        shared: The tensors where the trunk ends, as the tasks read them, before `adapt`. None of them is an ancestor of
            another in the autograd graph, so `torch.autograd.grad(loss, shared)` counts each part of a task's gradient
            once.
        auxiliary: Intermediate predictions of each task (deep supervision), [B, channels, H, W] at the size of the
            images; the task's loss is applied to each. A task without any has no entry.
        categorical: Intermediate logits of each task, [B, categories, H, W] at the size of the images, for the
            categories into which the task sorts its labels (see `equipoise.tasks.Task.categorise`); the cross entropy
            is applied to each. A task without any has no entry.
    """

    predictions: dict[str, Tensor]
    shared: list[Tensor]
    auxiliary: dict[str, list[Tensor]] = field(default_factory=dict)
    categorical: dict[str, list[Tensor]] = field(default_factory=dict)


class MultiTaskModel(nn.Module, ABC):
    """Base class of the architectures.

    A subclass takes `(tasks, backbone, pretrained=False, *, ...options)`, builds its modules, puts one decoder per task
    into `decoders`, and defines `forward` and `last_shared_layer`. If a task owns more than its decoder (an attention
    module, a prompt), the subclass also overrides `task_modules`. A module that no task owns is shared.

    A subclass with a trunk of its own sets `default_backbone = None` and takes `(tasks, *, ...options)`.

    Args:
        tasks: The output of each task; a number stands for a dense map with so many channels. The order is kept, since
            some architectures lay out channels by it.

    Attributes:
        tasks: The number of channels of each task's prediction.
        outputs: The output of each task.

    Raises:
        ValueError: There is no task, a name cannot name a module, or a number of channels is not positive.
    """

    default_backbone: ClassVar[str | None] = "resnet18"
    """The backbone to build on where none is named; none if the network has a trunk of its own."""

    examples: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """The networks that `equipoise models` lists, those of the papers first: arguments of `equipoise.models.create`
    without architecture and tasks. Empty if the network does not read images."""

    def __init__(self, tasks: Mapping[str, int | Output]) -> None:
        super().__init__()
        if not tasks:
            raise ValueError(f"`tasks` should name at least one task. Found `tasks = {dict(tasks)}`.")
        outputs: dict[str, Output] = {}
        for name, output in tasks.items():
            if not name or "." in name or hasattr(nn.ModuleDict, name):
                raise ValueError(
                    "The names in `tasks` should have no dot and be no attribute of `torch.nn.ModuleDict`. "
                    f"Found {name!r}."
                )
            if isinstance(output, int) and output < 1:
                raise ValueError(f"The channels in `tasks` should be 1 or more. Found `tasks[{name!r}] = {output}`.")
            outputs[name] = Output(output) if isinstance(output, int) else output
        self.outputs = outputs
        self.tasks = {name: output.channels for name, output in outputs.items()}
        self.decoders = nn.ModuleDict()

    @abstractmethod
    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task.

        Args:
            images: [B, 3, H, W], normalised as the backbone expects.
            adapt: Called once per task with all of `Outputs.shared`; the task's modules read the result.
        """

    @abstractmethod
    def last_shared_layer(self) -> nn.Module:
        """Return the last layer that all tasks share. Last-layer balancing methods measure gradients there."""

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """Return the modules that only this task uses."""
        return [self.decoders[task]]

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        """Return the parameters that only this task uses.

        Raises:
            ValueError: The network has no such task.
        """
        if task not in self.tasks:
            raise ValueError(f"`task` should be one of {list(self.tasks)}. Found `task = {task!r}`.")
        for module in self.task_modules(task):
            yield from module.parameters()

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters that no task owns."""
        owned = {id(parameter) for task in self.tasks for parameter in self.task_parameters(task)}
        return (parameter for parameter in self.parameters() if id(parameter) not in owned)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile each part in place; the arguments are those of `torch.compile`.

        A network that is compiled as a whole is one node of the autograd graph. `Outputs.shared` would then no longer
        lie between trunk and decoders, and gradients with respect to it could not be computed.
        """
        for child in self.children():
            parts = child.children() if isinstance(child, nn.ModuleDict | nn.ModuleList) else [child]
            for part in parts:
                part.compile(*args, **kwargs)

    # `nn.Module` types its call as Any; a type here lets editors and pyright see through `model(images).predictions`.
    __call__: Callable[..., Outputs]
