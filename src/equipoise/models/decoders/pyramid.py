"""A light head that sees details: the features from the second on, summed at the finest of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from equipoise.models.decoder import Decoder
from equipoise.models.layers import conv_bn_relu, resize


class Pyramid(Decoder):
    """Every feature but the first: 1x1 convolution, resized to the finest, summed; then 3x3 and 1x1 convolution.

    The semantic head of a feature pyramid (Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019, figure 3),
    with one convolution after the sum where the paper has several before it. On a ResNet it works at stride 4, which
    edges need: small images have nothing left of them at stride 16.

    Args:
        channels: Channels of each feature, from fine to coarse.
        outputs: Channels of the prediction.
        width: Channels in between.
    """

    levels = slice(1, None)

    def __init__(self, channels: Sequence[int], outputs: int, *, width: int = 64) -> None:
        super().__init__(channels, outputs)
        self.laterals = nn.ModuleList(nn.Conv2d(inputs, width, 1) for inputs in channels)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), conv_bn_relu(width, width, 3), nn.Conv2d(width, outputs, 1)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features [B, C_i, h_i, w_i] to [B, outputs, h_0, w_0]."""
        total, *others = (lateral(feature) for lateral, feature in zip(self.laterals, features, strict=True))
        for other in others:
            total = total + resize(other, total.shape[-2:])
        return self.layers(total)
