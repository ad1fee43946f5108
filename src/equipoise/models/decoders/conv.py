"""A light head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from equipoise.models.decoder import Decoder
from equipoise.models.layers import conv_bn_relu


class Conv(Decoder):
    """3x3 convolution, batch normalisation, ReLU, 1x1 convolution, on the last feature.

    It is ours, from no paper: small enough that a miniature spends its time in the trunk, where tasks meet.

    Args:
        channels: Channels of the feature, one number.
        outputs: Channels of the prediction.
        width: Channels in between.
    """

    def __init__(self, channels: Sequence[int], outputs: int, *, width: int = 64) -> None:
        super().__init__(channels, outputs)
        (inputs,) = channels
        self.layers = nn.Sequential(conv_bn_relu(inputs, width, 3), nn.Conv2d(width, outputs, 1))

    def forward(self, features: list[Tensor]) -> Tensor:
        """One feature [B, C, h, w] to [B, outputs, h, w]."""
        (feature,) = features
        return self.layers(feature)
