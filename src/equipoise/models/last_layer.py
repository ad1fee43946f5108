"""Finding the layer that writes a network's last feature."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node


def last_layer(backbone: nn.Module, image_size: tuple[int, int]) -> nn.Module:
    """The layer that writes the last of the features that a network makes of images.

    It is found in the autograd graph: of the layers with a weight matrix or kernel whose output leads to the last
    feature and is at least as large (which leaves out gates computed from pooled features), the one with the most
    operations before it (which prefers a residual branch to the projection beside it).

    Args:
        backbone: From images [B, 3, H, W] to a list of features; the layer is one of its modules.
        image_size: (H, W), a size that it takes.
    """
    # A copy without data: nothing is computed, and batch statistics and training modes stay as they are.
    probe = copy.deepcopy(backbone).to("meta").eval().requires_grad_(True)
    written: dict[str, tuple[Node, int]] = {}

    def record(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.grad_fn is not None:
            written[name] = (output.grad_fn, output.numel())

    for name, module in probe.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim >= 2:
            module.register_forward_hook(lambda _module, _inputs, output, name=name: record(name, output))
    with torch.enable_grad():
        last = probe(torch.empty(1, 3, *image_size, device="meta"))[-1]
    upstream = _upstream(last.grad_fn)
    candidates = {name: node for name, (node, numel) in written.items() if node in upstream and numel >= last.numel()}
    return backbone.get_submodule(max(candidates, key=lambda name: len(_upstream(candidates[name]))))


def _upstream(start: Node | None) -> set[Node]:
    """The nodes of the autograd graph that lead to `start`, with itself."""
    found: set[Node] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting.extend(source for source, _ in node.next_functions)
    return found
