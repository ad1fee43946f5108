"""What a task takes over from the features of other tasks, at the same pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Gate = Literal["source", "target"]
"""Which feature decides how much of a message passes."""


class Distillation(nn.Module):
    r"""Multi-modal distillation: gated messages from the features of other tasks, added to those of one.

    With F the features and sigma the logistic function, the task k becomes

    .. math:: F'_k = F_k + \sum_{l \ne k} \sigma(W_{kl} * F_l) \odot (V_{kl} * F_l)

    for ``gate = "source"`` (Vandenhende et al., "MTI-Net", ECCV 2020, arXiv 2001.06902, section 3.2), or

    .. math:: F'_k = F_k + \sigma(W_k * F_k) \odot \sum_{l \ne k} V_{kl} * F_l

    for ``gate = "target"``, one gate for all messages (Xu et al., "PAD-Net", CVPR 2018, arXiv 1805.04409, distillation
    module C, section 3.4). W and V are 3x3 convolutions without bias or normalisation. The public PAD-Net has the first
    form.

    A task without others takes over from itself ("self-distillation", the single-task counterpart of paper one, figure
    4): the sum then has the one term l = k. The public code fails there.

    Args:
        channels: Channels of every feature.
        sources: How many other tasks there are.
        gate: Which feature decides how much of a message passes.

    Raises:
        ValueError: If there is no such gate.
    """

    def __init__(self, channels: int, sources: int, gate: Gate = "source") -> None:
        super().__init__()
        if gate not in get_args(Gate):
            raise ValueError(f"`gate` should be 'source' or 'target'. Found `gate = {gate!r}`.")
        self.gate = gate
        messages = max(1, sources)
        gates = messages if gate == "source" else 1
        self.gates = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(gates))
        self.messages = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(messages))

    def forward(self, target: Tensor, sources: Sequence[Tensor]) -> Tensor:
        """The features of the task and of all others, in an order that stays, [B, C, h, w] each, to its new ones."""
        sources = sources or [target]
        messages = [layer(source) for layer, source in zip(self.messages, sources, strict=True)]
        if self.gate == "target":
            return target + self.gates[0](target).sigmoid() * torch.stack(messages).sum(dim=0)
        for layer, source, message in zip(self.gates, sources, messages, strict=True):
            target = target + layer(source).sigmoid() * message
        return target
