"""Inner products of task gradients at one layer, without the gradients.

The gradient of task s at the weight of a convolution or linear layer is a sum of outer products over the N places of
its output (batch times map). The factors are the task's gradient there, d_sn, and the patch of the input read there,
u_n. So the inner product of two task gradients is

    <g_s, g_t> = sum over n and m of <d_sn, d_tm> K_nm    with    K_nm = <u_n, u_m>,

and K is the same for all tasks. Patches overlap. K is a sum over the k entries of the kernel: of inner products between
the M places of the input, shifted by the entry. No patch is copied. A bias reads 1 everywhere.

With C channels read, O written, P = O C k weights and T tasks, this takes

    M^2 C + N^2 (k + T O) + T^2 N O    multiplications in float64,

and the gradients take T N P, plus T^2 P in float64 for their inner products. The first is less on small maps, such as
those at the end of a trunk.

The reason for float64: if all but a part c of a norm cancels, its relative error is 1e-16 / c^2 here, and 1e-7 / c if
the gradients are formed in float32. The second is larger as long as c is above 1e-7. Below, both are pure error, and
the gradient counts as zero. Gradients of a float64 layer would keep more digits, so they are formed.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from equipoise.balancing.engine.graph import edge, upstream
from equipoise.balancing.engine.task_gradients import TaskGradients

_DOUBLE_COST = {"cpu": 3}
"""Cost of a float64 multiplication, conversion included, in float32 multiplications."""
_DOUBLE_COST_ELSEWHERE = 64
"""The same on other devices. Most have few float64 units, and none reports how many."""

_SINGLE = (torch.float32, torch.float16, torch.bfloat16)

_ARGUMENTS = {
    "ConvolutionBackward0": ("_saved_input", 1, 2),
    "AddmmBackward0": ("_saved_mat1", 2, 0),
    "MmBackward0": ("_saved_self", 1, None),
}
"""By the name of a layer's node: attribute with the input, positions of weight and bias among its parents."""
_PASSED = ("TBackward0", "ToCopyBackward0")
"""Nodes that may lie between a parameter and the layer: a transposition, and a change of dtype under autocast."""


class Window(NamedTuple):
    """The geometry of a kernel along one dimension of a map."""

    kernel: int
    stride: int
    padding: int
    dilation: int

    def places(self, size: int) -> int:
        """Return the size of the output for an input of some size."""
        return (size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    def read(self, entry: int, size: int) -> tuple[slice, slice]:
        """Return the output places at which an entry of the kernel reads the input, and the input places it reads."""
        shift = entry * self.dilation - self.padding
        first = max(0, -(shift // self.stride))
        end = max(first, min(self.places(size), (size - 1 - shift) // self.stride + 1))
        start = first * self.stride + shift
        return slice(first, end), slice(start, start + (end - first) * self.stride, self.stride)


class LayerNode(NamedTuple):
    """A convolution or linear layer in the graph of a step.

    Attributes:
        output: Edge at which gradients arrive.
        read: Input, [batch, C, *map].
        written: Number of output channels.
        biased: Whether there is a bias.
        windows: One for each dimension of the map; none for a linear layer.
    """

    output: GradientEdge
    read: Tensor
    written: int
    biased: bool
    windows: Sequence[Window]

    def pays(self, tasks: int) -> bool:
        """Return whether the inner products cost less this way than by forming the gradients of so many tasks."""
        batch, channels, *size = self.read.shape
        entries = prod(window.kernel for window in self.windows)
        read, places = batch * prod(size), batch * prod(self._map())
        weights = self.written * channels * entries
        short = read**2 * channels + places**2 * (entries + tasks * self.written) + tasks**2 * places * self.written
        double = _DOUBLE_COST.get(self.read.device.type, _DOUBLE_COST_ELSEWHERE)
        return double * short < tasks * places * weights + double * tasks**2 * weights

    def gram(self, arrived: Sequence[Tensor]) -> Tensor:
        """Return inner products of the gradients at the parameters, [T, T], float64.

        Args:
            arrived: For each task the gradient at the output of the layer.
        """
        # One by one: permuting the whole stack takes many times longer.
        rows = torch.stack([piece.movedim(1, -1).flatten(0, -2).double() for piece in arrived])
        patches = self._products_of_patches()
        if self.biased:
            patches += 1
        gram = rows.flatten(1) @ (patches @ rows).flatten(1).T
        without_cancelling = (rows.norm(dim=2) @ patches.diagonal().sqrt()).square()
        vanished = gram.diagonal() < torch.finfo(torch.float32).eps ** 2 * without_cancelling
        return ((gram + gram.T) / 2).masked_fill(vanished | vanished[:, None], 0.0)

    def _map(self) -> list[int]:
        return [window.places(size) for window, size in zip(self.windows, self.read.shape[2:], strict=True)]

    def _products_of_patches(self) -> Tensor:
        batch, channels, *size = self.read.shape
        rows = self.read.movedim(1, -1).reshape(-1, channels).double()
        products = (rows @ rows.T).view(batch, *size, batch, *size)
        found = products.new_zeros(2 * [batch, *self._map()])
        for entry in product(*(range(window.kernel) for window in self.windows)):
            pairs = [window.read(*at) for window, *at in zip(self.windows, entry, size, strict=True)]
            at, of = ([slice(None), *(pair[side] for pair in pairs)] for side in (0, 1))
            found[(*at, *at)] += products[(*of, *of)]
        return found.flatten(0, len(size)).flatten(1)


class OuterProducts(TaskGradients):
    """Task gradients with known inner products. Their entries are formed on request.

    Args:
        like: Tensors at which the gradients are.
        gram: Inner products of the gradients with the scale, [T, T].
        form: Forms the gradients with the scale. It works until the graph is freed.
        scale: Factor of a gradient scaler contained in the gradients.
    """

    def __init__(
        self,
        like: Sequence[Tensor],
        gram: Tensor,
        form: Callable[[], Sequence[Sequence[Tensor | None]]],
        scale: float = 1.0,
    ) -> None:
        super().__init__(like, (), scale)
        self._gram, self._form = gram, form

    @property
    def pieces(self) -> Sequence[Sequence[Tensor | None]]:
        """The gradients with the scale, formed on first use."""
        if not self._pieces:
            self._pieces = self._form()
        return self._pieces

    def gram(self) -> Tensor:
        """Return the inner products, [T, T], float64."""
        return self._gram / self.scale**2


def find_layer(tensors: Sequence[Tensor], parameters: Sequence[Tensor]) -> LayerNode | None:
    """Find the layer that uses some parameters, in the graph of some tensors.

    Returns:
        The layer. None unless the parameters are the weight, or weight and bias, of one plain convolution or linear
        layer in single or half precision that occurs once in the graph.
    """
    users: dict[Any, list[tuple[Any, int]]] = {edge(tensor)[0]: [(None, 0)] for tensor in tensors}
    for node in upstream(tensors).nodes:
        for place, (parent, _) in enumerate(node.next_functions):
            users.setdefault(parent, []).append((node, place))
    found = [_user(parameter, users) for parameter in parameters]
    node = found[0][0]
    if any(other is not node for other, _ in found) or node is None or node.name() not in _ARGUMENTS:
        return None
    saved, *places = _ARGUMENTS[node.name()]
    named = {place: parameter for parameter, (_, place) in zip(parameters, found, strict=True)}
    weight, bias = (named.get(place) for place in places)
    if weight is None or len(parameters) != 1 + (bias is not None):
        return None
    # Only convolutions have the first two, only linear layers the others.
    plain = {"groups": 1, "transposed": False, "alpha": 1, "beta": 1}
    if any(getattr(node, f"_saved_{name}", value) != value for name, value in plain.items()):
        return None
    read: Tensor = getattr(node, saved).detach()
    if read.layout is not torch.strided or read.dtype not in _SINGLE:
        return None
    kernel = weight.shape[2:]
    written = weight.numel() // (read.shape[1] * prod(kernel))
    if bias is not None and bias.shape != (written,):
        return None
    steps = [getattr(node, f"_saved_{name}", ()) for name in ("stride", "padding", "dilation")]
    windows = [Window(*window) for window in zip(kernel, *steps, strict=True)]
    return LayerNode(GradientEdge(node, 0), read, written, bias is not None, windows)


def _user(parameter: Tensor, users: Mapping[Any, Sequence[tuple[Any, int]]]) -> tuple[Any, int]:
    # The only node that uses a parameter, and the parameter's position among its parents. None if several nodes do.
    node, place = edge(parameter)[0], 0
    while len(users.get(node, ())) == 1:
        node, place = users[node][0]
        if node is None or node.name() not in _PASSED:
            return node, place
    return None, 0
