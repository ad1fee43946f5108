"""Mixtures of experts on vectors: several small networks side by side, and gates that choose among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

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
