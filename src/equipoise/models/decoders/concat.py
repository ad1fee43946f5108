"""The HRNet head: all features side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise.models.decoder import Decoder
from equipoise.models.layers import resize


class Concat(Decoder):
    """All features at the size of the finest, concatenated; then 1x1 convolution, normalisation, ReLU, 1x1 convolution.

    The head of HRNet (Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", arXiv
    1908.07919): as many channels in between as the features have together.

    Args:
        channels: Channels of each feature, from fine to coarse.
        outputs: Channels of the prediction.
    """

    levels = slice(None)

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__(channels, outputs)
        width = sum(channels)
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, outputs, 1)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features [B, C_i, h_i, w_i] to [B, outputs, h_0, w_0]."""
        finest = features[0].shape[-2:]
        return self.layers(torch.cat([resize(feature, finest) for feature in features], dim=1))
