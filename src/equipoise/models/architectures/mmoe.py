"""Experts for all tasks, a gate for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, as_they_are
from equipoise.tasks import Output


class ExpertLinear(nn.Module):
    """A linear layer for each of several experts, computed at once; every expert starts as `nn.Linear` does.

    Args:
        experts: Number of experts.
        inputs: Width of what each reads.
        outputs: Width of what each puts out.
    """

    def __init__(self, experts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(experts, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(experts, outputs).uniform_(-bound, bound))

    def forward(self, features: Tensor) -> Tensor:
        """[B, experts, inputs] to [B, experts, outputs]."""
        return torch.einsum("bei,eio->beo", features, self.weight) + self.bias


class Experts(nn.Module):
    """Networks of linear layers, each with a ReLU, that read the same vector.

    Args:
        experts: Number of networks.
        inputs: Width of the vector.
        widths: Width after each layer; the last one is that of the result.
    """

    def __init__(self, experts: int, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.experts = experts
        self.layers = nn.ModuleList(ExpertLinear(experts, *pair) for pair in pairwise((inputs, *widths)))

    def forward(self, vectors: Tensor) -> Tensor:
        """[B, inputs] to [B, experts, widths[-1]]."""
        features = vectors[:, None].expand(-1, self.experts, -1)
        for layer in self.layers:
            features = layer(features).relu()
        return features


class Gate(nn.Module):
    """Mixes experts by weights that it computes from a vector: softmax of a linear layer.

    Args:
        inputs: Width of the vector.
        experts: Number of experts to mix.
    """

    def __init__(self, inputs: int, experts: int) -> None:
        super().__init__()
        self.score = nn.Linear(inputs, experts)

    def forward(self, vectors: Tensor, experts: Tensor) -> Tensor:
        """Vectors [B, inputs] and results of experts [B, experts, d] to mixtures [B, d]."""
        return torch.einsum("be,bed->bd", self.score(vectors).softmax(dim=1), experts)


def tower(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers from each width to the next, with a ReLU between two."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def check_widths(outputs: Mapping[str, Output], inputs: int, widths: Sequence[int], **counts: int) -> None:
    """See that a mixture of experts can be built.

    Args:
        outputs: What is predicted, by task.
        inputs: The option of that name.
        widths: The option `expert_widths`.
        counts: Options that must be positive, by name.

    Raises:
        ValueError: It cannot.
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
    """Inputs [B, ...] as vectors [B, width].

    Raises:
        ValueError: They have another width.
    """
    vectors = inputs.flatten(1)
    if vectors.shape[1] != width:
        raise ValueError(
            f"The architecture's `inputs` should be {vectors.shape[1]}, the width of what it is given (of the shape "
            f"{list(inputs.shape)}). Found `inputs = {width}`."
        )
    return vectors


@register("mmoe")
class Mmoe(MultiTaskModel):
    """Multi-gate mixture of experts (Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts", KDD 2018, figure 1c and equations 5 to 7), for vectors and, flattened, small images.

    Experts, networks of linear layers with ReLU, read the input; the gate of every task, a softmax of a linear layer on
    the same input, mixes them for the task's tower. The mixture is made of what `adapt` makes of the experts' results,
    [B, experts, width], which are where the trunk ends. Gates and towers belong to their tasks, experts to all.

    Args:
        tasks: Task name to what is predicted, not dense.
        inputs: Width of the vectors, or number of values of an image.
        experts: Number of experts.
        expert_widths: Width after each layer of an expert.
        tower_widths: Widths between an expert's and the prediction; with none a tower is one linear layer.

    Raises:
        ValueError: If a task is dense, or a number is not positive.
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

    def forward(self, images: Tensor, adapt: Adapt = as_they_are) -> Outputs:
        """Predict every task from [B, inputs], or [B, ...] with as many values."""
        vectors = flattened(images, self.inputs)
        shared = [self.experts(vectors)]
        predictions = {}
        for task, decoder in self.decoders.items():
            (experts,) = adapt(task, shared)
            predictions[task] = decoder(self.gates[task](vectors, experts))
        return Outputs(predictions, shared)

    def last_shared_layer(self) -> nn.Module:
        """The last layer of the experts."""
        return self.experts.layers[-1]

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """Gate and tower."""
        return [self.gates[task], self.decoders[task]]
