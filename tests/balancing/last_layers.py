"""Trunks that end in many kinds of layers, for tests of measuring at the last shared layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import equipoise
from equipoise.balancing import Balance

TASKS = ("a", "b", "c")


class WeightGradients(TorchDispatchMode):
    """Counter of how often the gradient at a layer's weight is formed."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.shapes, self.found = (weight.shape, weight.shape[::-1]), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.convolution_backward):
            made = [out] if isinstance(out, Tensor) else out
            self.found += any(tensor is not None and tensor.shape in self.shapes for tensor in made)
        return out


class Trunk(nn.Module):
    """A first layer that makes a graph, the last layer, and what comes after it."""

    def __init__(self, first: nn.Module, last: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.last, self.after = first, last, after or nn.Tanh()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.after(self.last(self.first(inputs)))


class Heads(nn.Module):
    """A linear map of all features for each task. The losses differ in scale by a factor of a hundred."""

    def __init__(self, features: int, tasks: Sequence[str] = TASKS) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({task: nn.Linear(features, 2) for task in tasks})

    def forward(self, features: Tensor, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        read = features.flatten(1)
        return {
            task: (head(read) - number).square().mean() * 10.0 ** (number - 1)
            for number, (task, head) in enumerate(self.heads.items())
            if tasks is None or task in tasks
        }


@dataclass
class Case:
    """A trunk and a batch.

    Attributes:
        trunk: Module that computes the features.
        inputs: The batch.
        named: Argument for `last_layer`, if not the parameters of `trunk.last`.
        heads: Modules that read the features.
    """

    trunk: nn.Module
    inputs: Tensor
    named: list[Tensor] | None = None
    heads: Heads = field(init=False)

    def __post_init__(self) -> None:
        with torch.no_grad():
            self.heads = Heads(self.trunk(self.inputs).flatten(1).shape[1]).to(self.inputs.dtype)

    @property
    def layer(self) -> list[Tensor]:
        return self.named or list(self.trunk.last.parameters())

    @property
    def weight(self) -> Tensor:
        return max(self.layer, key=Tensor.numel)

    def modules(self) -> nn.ModuleList:
        return nn.ModuleList([self.trunk, self.heads])

    def losses(self, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        return self.heads(self.trunk(self.inputs), tasks)

    def step(self, balancer: equipoise.Balancer, tasks: Sequence[str] | None = None, **options: Any) -> Balance:
        features = self.trunk(self.inputs)
        losses = self.heads(features, tasks)
        options = {"features": features, "last_layer": self.layer} | options
        return balancer.backward(losses, **options)

    def formed_in(self, balancer: equipoise.Balancer, **options: Any) -> int:
        with WeightGradients(self.weight) as counted:
            self.step(balancer, **options)
        return counted.found


def conv(*channels: int, **options: Any) -> Callable[[], Case]:
    def make() -> Case:
        torch.manual_seed(0)
        last = nn.Conv2d(*channels, **{"kernel_size": 3} | options)
        return Case(Trunk(nn.Conv2d(3, channels[0], 1), last), torch.randn(2, 3, 5, 4))

    return make


def linear(*features: int, shape: Sequence[int] = (4,), **options: Any) -> Callable[[], Case]:
    def make() -> Case:
        torch.manual_seed(0)
        last = nn.Linear(*features, **options)
        return Case(Trunk(nn.Linear(3, features[0]), last), torch.randn(*shape, 3))

    return make


class Residual(nn.Module):
    """The end of a ResNet: normalisation, residual sum and ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU())
        self.last, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, inputs: Tensor) -> Tensor:
        early = self.first(inputs)
        return (early + self.norm(self.last(early))).relu()


def the_end_of_a_resnet() -> Case:
    torch.manual_seed(0)
    return Case(Residual(24), torch.randn(3, 3, 3, 3))


def a_convolution_in_one_dimension() -> Case:
    torch.manual_seed(0)
    return Case(Trunk(nn.Conv1d(3, 24, 1), nn.Conv1d(24, 16, 3, padding=1)), torch.randn(2, 3, 6))


def a_convolution_in_three_dimensions() -> Case:
    torch.manual_seed(0)
    return Case(Trunk(nn.Conv3d(3, 16, 1), nn.Conv3d(16, 16, 3, padding=1)), torch.randn(1, 3, 3, 2, 4))


def nothing_after_it() -> Case:
    case = conv(32, 24, padding=1)()
    case.trunk.after = nn.Identity()
    return case


def a_layer_that_is_only_a_weight() -> Case:
    case = conv(32, 24, padding=1)()
    return Case(case.trunk, case.inputs, [case.trunk.last.weight])


def a_frozen_bias() -> Case:
    case = conv(32, 24, padding=1)()
    case.trunk.last.bias.requires_grad_(False)
    return Case(case.trunk, case.inputs, [case.trunk.last.weight])


def a_frozen_beginning() -> Case:
    case = conv(32, 24, padding=1)()
    case.trunk.first.requires_grad_(False)
    return case


def activation_checkpointing() -> Case:
    case = conv(32, 24, padding=1)()
    trunk = case.trunk

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last, self.after = trunk.first, trunk.last, trunk.after

        def forward(self, inputs: Tensor) -> Tensor:
            return checkpoint(lambda x: self.after(self.last(x)), self.first(inputs), use_reentrant=False)

    return Case(Checkpointed(), case.inputs)


SHORT: dict[str, Callable[[], Case]] = {
    "plain": conv(32, 24),
    "padded": conv(32, 24, padding=1),
    "without bias": conv(32, 24, padding=1, bias=False),
    "strided": conv(48, 16, stride=2, padding=1),
    "dilated beyond the map": conv(32, 16, padding=6, dilation=6),
    "dilated and strided": conv(48, 24, padding=(3, 2), dilation=(3, 2), stride=(1, 2)),
    "same": conv(48, 32, padding="same", dilation=(2, 1)),
    "reflected": conv(48, 32, padding=1, padding_mode="reflect"),
    "linear": linear(40, 30),
    "linear without bias": linear(40, 30, bias=False),
    "linear over tokens": linear(64, 50, shape=(2, 5)),
    "linear over tokens without bias": linear(64, 50, shape=(2, 5), bias=False),
    "ResNet": the_end_of_a_resnet,
    "one dimension": a_convolution_in_one_dimension,
    "three dimensions": a_convolution_in_three_dimensions,
    "nothing after it": nothing_after_it,
    "only a weight": a_layer_that_is_only_a_weight,
    "frozen bias": a_frozen_bias,
    "frozen beginning": a_frozen_beginning,
    "checkpointed": activation_checkpointing,
}


class Called(nn.Module):
    """A trunk that uses the last layer in its own way."""

    def __init__(self, last: nn.Module, forward: Callable[[nn.Module, Tensor], Tensor], width: int = 24) -> None:
        super().__init__()
        self.first, self.last, self.how = nn.Conv2d(3, width, 1), last, forward

    def forward(self, inputs: Tensor) -> Tensor:
        return self.how(self.last, self.first(inputs)).tanh()


def called(last: Callable[[], nn.Module], forward: Callable[[Any, Tensor], Tensor]) -> Callable[[], Case]:
    def make() -> Case:
        torch.manual_seed(0)
        return Case(Called(last(), forward), torch.randn(2, 3, 5, 4))

    return make


def parts_of_two_layers() -> Case:
    case = conv(32, 24, padding=1)()
    return Case(case.trunk, case.inputs, [case.trunk.last.weight, case.trunk.first.bias])


def only_a_bias() -> Case:
    case = conv(32, 24, padding=1)()
    return Case(case.trunk, case.inputs, [case.trunk.last.bias])


def in_double_precision() -> Case:
    case = conv(32, 24, padding=1)()
    return Case(case.trunk.double(), case.inputs.double())


def square() -> nn.Module:
    return nn.Conv2d(24, 24, 3, padding=1)


def matrix() -> nn.Module:
    return nn.Linear(24, 24)


FORMED: dict[str, Callable[[], Case]] = {
    "a large map": lambda: Case(Trunk(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3)), torch.randn(2, 3, 8, 8)),
    "many rows": linear(8, 8, shape=(64,)),
    "most of the input is not read": conv(64, 16, kernel_size=1, stride=3),
    "groups": conv(24, 16, groups=2),
    "transposed": called(lambda: nn.ConvTranspose2d(24, 16, 3), lambda last, x: last(x)),
    "called twice": called(square, lambda last, x: last(last(x).tanh())),
    "called side by side": called(square, lambda last, x: torch.cat([last(x), last(x.flip(0))])),
    "a matrix called twice": called(matrix, lambda last, x: last(last(x.movedim(1, -1)).tanh())),
    "its weight is penalised": called(square, lambda last, x: last(x) + last.weight.square().mean()),
    "its bias is used again": called(square, lambda last, x: last(x) + last.bias[:, None, None].exp()),
    "scaled products": called(
        matrix, lambda last, x: torch.addmm(last.bias, x.movedim(1, -1).reshape(-1, 24), last.weight, alpha=3.0)
    ),
    "a bias for every row": called(
        lambda: nn.ParameterList([torch.randn(40, 24), torch.randn(24, 24)]),
        lambda last, x: torch.addmm(last[0], x.movedim(1, -1).reshape(-1, 24), last[1]),
    ),
    "a weight that is multiplied by itself": called(
        lambda: nn.ParameterList([torch.randn(24, 24)]), lambda last, x: x.movedim(1, -1) @ (last[0] @ last[0])
    ),
    "two layers": called(lambda: nn.Sequential(square(), nn.Tanh(), square()), lambda last, x: last(x)),
    "with its normalisation": called(lambda: nn.Sequential(square(), nn.BatchNorm2d(24)), lambda last, x: last(x)),
    "a weight that is computed": called(
        lambda: nn.utils.parametrizations.weight_norm(square()), lambda last, x: last(x)
    ),
    "sparse input": called(matrix, lambda last, x: torch.mm(x.movedim(1, -1).reshape(-1, 24).to_sparse(), last.weight)),
    "of another kind": called(lambda: nn.LSTM(24, 8), lambda last, x: last(x.flatten(2).movedim(1, -1))[0]),
    "parts of two layers": parts_of_two_layers,
    "only a bias": only_a_bias,
    "double precision": in_double_precision,
}
