"""MMoE: experts for all tasks, and a gate per task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.tasks import Output


class ExpertLinear(nn.Module):
    """A linear layer for each of several experts, computed at once and initialised as `nn.Linear`.

    Args:
        experts: Number of experts.
        inputs: Length of the vector that each expert reads.
        outputs: Length of the vector that each expert returns.
    """

    def __init__(self, experts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(experts, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(experts, outputs).uniform_(-bound, bound))

    def forward(self, features: Tensor) -> Tensor:
        """Map [B, experts, inputs] to [B, experts, outputs]."""
        return torch.einsum("bei,eio->beo", features, self.weight) + self.bias


class Experts(nn.Module):
    """Several networks of linear layers with ReLU that read the same vector.

    Args:
        experts: Number of networks.
        inputs: Length of the vector.
        widths: Width of each layer; the last one is the length of the result.
    """

    def __init__(self, experts: int, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.experts = experts
        self.layers = nn.ModuleList(ExpertLinear(experts, *pair) for pair in pairwise((inputs, *widths)))

    def forward(self, vectors: Tensor) -> Tensor:
        """Map [B, inputs] to [B, experts, widths[-1]]."""
        features = vectors[:, None].expand(-1, self.experts, -1)
        for layer in self.layers:
            features = layer(features).relu()
        return features


class Gate(nn.Module):
    """A gate that mixes experts; its weights are the softmax of a linear layer on a vector.

    Args:
        inputs: Length of the vector.
        experts: Number of experts to mix.
    """

    def __init__(self, inputs: int, experts: int) -> None:
        super().__init__()
        self.score = nn.Linear(inputs, experts)

    def forward(self, vectors: Tensor, experts: Tensor) -> Tensor:
        """Return mixtures [B, d] of the experts' results [B, experts, d], with weights from vectors [B, inputs]."""
        return torch.einsum("be,bed->bd", self.score(vectors).softmax(dim=1), experts)


def tower(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers from each width to the next, with a ReLU between two."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def check_widths(outputs: Mapping[str, Output], inputs: int, widths: Sequence[int], **counts: int) -> None:
    """Check the options of a mixture of experts.

    Args:
        outputs: The output of each task.
        inputs: The option of that name.
        widths: The option `expert_widths`.
        counts: Options that must be positive, by name.

    Raises:
        ValueError: A task is dense, there are no widths, or a number is not positive.
    """
    for task, output in outputs.items():
        if output.dense:
            raise ValueError(
                f"`tasks` should have one prediction for the whole input. Found the dense task `{task}`: an "
                "architecture on vectors has no place for every pixel."
            )
    if not widths:
        raise ValueError("`expert_widths` should hold a width at least. Found `expert_widths = ()`.")
    for name, value in {"inputs": inputs, **counts}.items():
        if value < 1:
            raise ValueError(f"`{name}` should be 1 or more. Found `{name} = {value}`.")


def flattened(inputs: Tensor, width: int) -> Tensor:
    """Flatten inputs [B, ...] to vectors [B, width].

    Raises:
        ValueError: The vectors have another length.
    """
    vectors = inputs.flatten(1)
    if vectors.shape[1] != width:
        raise ValueError(
            f"The architecture's `inputs` should be {vectors.shape[1]}, the number of values of its input (shape "
            f"{list(inputs.shape)}). Found `inputs = {width}`."
        )
    return vectors


@register("mmoe")
class Mmoe(MultiTaskModel):
    """Multi-gate mixture of experts, for vectors and (flattened) small images.

    Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD 2018, figure
    1c and equations 5 to 7. Experts are networks of linear layers with ReLU that read the input. The gate of every
    task, a softmax of a linear layer on the same input, mixes them for the task's tower. The trunk ends with the
    experts' results, [B, experts, width]; a gate mixes the output of `adapt`. Each task owns its gate and its tower.

    Args:
        tasks: The output of each task, not dense.
        inputs: Length of the vectors, or number of values of an image.
        experts: Number of experts.
        expert_widths: Width of each layer of an expert.
        tower_widths: Widths of a tower's hidden layers; with none, a tower is one linear layer.

    Raises:
        ValueError: A task is dense, or a number is not positive.
    """

    default_backbone = None

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        *,
        inputs: int,
        experts: int = 4,
        expert_widths: Sequence[int] = (64, 64),
        tower_widths: Sequence[int] = (),
    ) -> None:
        super().__init__(tasks)
        check_widths(self.outputs, inputs, expert_widths, experts=experts)
        self.inputs = inputs
        self.experts = Experts(experts, inputs, expert_widths)
        self.gates = nn.ModuleDict({task: Gate(inputs, experts) for task in self.tasks})
        for task, outputs in self.tasks.items():
            self.decoders[task] = tower((expert_widths[-1], *tower_widths, outputs))

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task from [B, inputs], or [B, ...] with as many values."""
        vectors = flattened(images, self.inputs)
        shared = [self.experts(vectors)]
        predictions = {}
        for task, decoder in self.decoders.items():
            (experts,) = adapt(task, shared)
            predictions[task] = decoder(self.gates[task](vectors, experts))
        return Outputs(predictions, shared)

    def last_shared_layer(self) -> nn.Module:
        """Return the last layer of the experts."""
        return self.experts.layers[-1]

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """Return the task's gate and tower."""
        return [self.gates[task], self.decoders[task]]
