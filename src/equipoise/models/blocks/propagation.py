"""What a scale tells the next finer one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from equipoise.models.blocks.residual import basic_block

Softmax = Literal["task", "upstream"]
"""Over which channels the attention of a `FeaturePropagation` is normalised."""

REDUCTION = 16
"""How many times narrower the squeeze-and-excitation blocks are inside (Hu et al., CVPR 2018)."""


class FeaturePropagation(nn.Module):
    """Feature propagation module (Vandenhende et al., "MTI-Net", arXiv 2001.06902, section 3.3, figure 3).

    The features of the N tasks side by side, N x C channels, go through a function f: two residual blocks of a quarter
    of the channels and a 1x1 convolution back. A softmax over the tasks, for each channel and pixel, makes that an
    attention mask ("task": the paper). What it lets pass goes through a residual block to C channels, which all tasks
    share. Each task weighs those channels by squeeze-and-excitation and adds its own features.

    The public code means the same but groups other channels ("upstream", what the published numbers were made with):
    with the channels of the first task first, those of the second next and so on, each N consecutive channels are one
    group, which are mostly channels of one and the same task.

    With one task there is nothing to compare: the softmax of one number is 1, and f could not receive a gradient. It is
    left out there, and what remains is residual block, squeeze-and-excitation and the addition.

    Squeeze-and-excitation is 16 times narrower inside, which leaves two channels for an HRNet-W18's 36. With PyTorch's
    initial weights one task in four would start with both where ReLU has no gradient. Here they start at 1 for every
    input (weights 0, bias 1), and learn from the first step on.

    Args:
        tasks: The number N of tasks.
        channels: Channels C of each task's features.
        softmax: Over which channels the mask is normalised.

    Raises:
        ValueError: If there is no such softmax.
    """

    def __init__(self, tasks: int, channels: int, softmax: Softmax = "task") -> None:
        super().__init__()
        if softmax not in get_args(Softmax):
            raise ValueError(f"`fpm_softmax` should be 'task' or 'upstream'. Found `fpm_softmax = {softmax!r}`.")
        self.softmax = softmax
        together = tasks * channels
        inner = max(1, together // 4)
        self.compare = (
            nn.Sequential(basic_block(together, inner), basic_block(inner, inner), nn.Conv2d(inner, together, 1))
            if tasks > 1
            else None
        )
        self.share = basic_block(together, channels)
        self.weigh = nn.ModuleList(_squeeze_excitation(channels) for _ in range(tasks))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The features of every task, [B, C, h, w], to what every task hands on, of the same shape and order."""
        together = torch.cat(list(features), dim=1)
        if self.compare is not None:
            together = together * self.mask(self.compare(together), len(features))
        shared = self.share(together)
        return [feature + weigh(shared) for feature, weigh in zip(features, self.weigh, strict=True)]

    def mask(self, scores: Tensor, tasks: int) -> Tensor:
        """Scores [B, N * C, h, w], the channels of the first task first, to the attention mask of the same shape."""
        if self.softmax == "task":
            return scores.unflatten(1, (tasks, -1)).softmax(dim=1).flatten(1, 2)
        return scores.unflatten(1, (-1, tasks)).softmax(dim=2).flatten(1, 2)


def _squeeze_excitation(channels: int) -> SqueezeExcitation:
    block = SqueezeExcitation(channels, max(1, channels // REDUCTION))
    weight, bias = block.fc1.parameters()
    nn.init.zeros_(weight)
    nn.init.ones_(bias)
    return block
