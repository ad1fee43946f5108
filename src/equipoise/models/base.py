"""What every multi-task network is: images in, one dense map a task out, parameters that know whose they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from equipoise.tasks import Output

Adapt = Callable[[str, Sequence[Tensor]], Sequence[Tensor]]
"""What a task reads in place of the shared features: from its name and the features to tensors of the same shapes."""


def as_they_are(task: str, features: Sequence[Tensor]) -> Sequence[Tensor]:
    """The features themselves, whatever the task."""
    return features


@dataclass
class Outputs:
    """What a forward pass gives.

    Attributes:
        predictions: Task name to its raw prediction, [B, channels, H, W] at the size of the images, or [B, channels]
            for a task that is not dense. Under autocast they have autocast's type.
        shared: The tensors where the trunk ends, as the tasks read them, before `adapt`. None of them is an ancestor of
            another one in the autograd graph, so `torch.autograd.grad(loss, shared)` counts everything that a task asks
            of the trunk once.
        auxiliary: Task name to predictions made on the way (deep supervision), [B, channels, H, W] at the size of the
            images; each is given the task's loss. A task without any has no entry.
        categorical: Task name to logits made on the way, [B, categories, H, W] at the size of the images, of the
            categories that the task sorts its labels into (see `equipoise.tasks.Task.categorise`); each is given the
            cross entropy. A task without any has no entry.
    """

    predictions: dict[str, Tensor]
    shared: list[Tensor]
    auxiliary: dict[str, list[Tensor]] = field(default_factory=dict)
    categorical: dict[str, list[Tensor]] = field(default_factory=dict)


class MultiTaskModel(nn.Module, ABC):
    """Base of the architectures.

    A subclass takes `(tasks, backbone, pretrained=False, *, ...options)`, builds its modules, puts one decoder a task
    into `decoders`, and writes `forward` and `last_shared_layer`. Where a task owns more than its decoder (an attention
    module, a prompt), it also overrides `task_modules`; whatever no task owns is shared.

    A subclass with a trunk of its own sets `default_backbone = None` and takes `(tasks, *, ...options)`.

    Args:
        tasks: Task name to what the network puts out for it; a number is that of the channels of a dense map. The
            order is kept: some architectures lay out channels by it.

    Attributes:
        tasks: Task name to the number of channels of its prediction.
        outputs: Task name to all that is known of its prediction.

    Raises:
        ValueError: If there is no task, a name cannot name a module or a number of channels is not positive.
    """

    default_backbone: ClassVar[str | None] = "resnet18"
    """The backbone that it is built on where none is named; none if it has a trunk of its own."""

    examples: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """The networks that `equipoise models` lists, those of its papers first of all: arguments of
    `equipoise.models.create` beside architecture and tasks. None if what it reads are no images."""

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
    def forward(self, images: Tensor, adapt: Adapt = as_they_are) -> Outputs:
        """Predict every task.

        Args:
            images: [B, 3, H, W], normalised as the backbone expects.
            adapt: Called once a task with all of `Outputs.shared`; what it returns is what the task's modules read.
        """

    @abstractmethod
    def last_shared_layer(self) -> nn.Module:
        """The last layer that all tasks go through: where last-layer balancing methods look at gradients."""

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """The modules that only this task uses."""
        return [self.decoders[task]]

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        """The parameters that only this task uses.

        Raises:
            ValueError: If the network has no such task.
        """
        if task not in self.tasks:
            raise ValueError(f"`task` should be one of {list(self.tasks)}. Found `task = {task!r}`.")
        for module in self.task_modules(task):
            yield from module.parameters()

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that no single task owns."""
        owned = {id(parameter) for task in self.tasks for parameter in self.task_parameters(task)}
        return (parameter for parameter in self.parameters() if id(parameter) not in owned)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile in place (`torch.compile`'s arguments), each part by itself.

        A network compiled as a whole is one node of the autograd graph: `Outputs.shared` would no longer lie between
        trunk and decoders, and no gradient with respect to it could be taken.
        """
        for child in self.children():
            parts = child.children() if isinstance(child, nn.ModuleDict | nn.ModuleList) else [child]
            for part in parts:
                part.compile(*args, **kwargs)

    # `nn.Module` types its call as Any; a type here lets editors and pyright see through `model(images).predictions`.
    __call__: Callable[..., Outputs]
