"""The head for a task with one answer for the whole image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise.models.decoder import Decoder


class Pooled(Decoder):
    """The mean of every feature over its positions, side by side, then a linear layer.

    The usual head of a network for classification. A network gives it to tasks that are not dense.

    Args:
        channels: Channels of each feature.
        outputs: Width of the prediction.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__(channels, outputs)
        self.linear = nn.Linear(sum(channels), outputs)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features [B, C_i, h_i, w_i] to [B, outputs]."""
        return self.linear(torch.cat([feature.mean(dim=(-2, -1)) for feature in features], dim=1))
