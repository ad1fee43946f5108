"""Decoders on the last feature, and the one for tasks that are not dense."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.decoders import Decoder
from equipoise.models.layers import conv_bn_relu


@register("conv")
class Conv(Decoder):
    """3x3 convolution, batch normalisation, ReLU, 1x1 convolution, on the last feature.

    It is from no paper. It is so small that a miniature network spends its time in the trunk, where tasks meet.

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


@register("plain")
class Plain(Decoder):
    """3x3 convolution that keeps the channels, batch normalisation, GELU, 1x1 convolution, on the last feature.

    The head of the vanilla multi-task ViT. Guo et al. (2025) do not describe theirs. This is the head that TaskPrompter
    (Ye and Xu, ICLR 2023) puts on its features: the 3x3 convolution has a bias and starts from a truncated normal
    distribution (0.02). It has a quarter of the cost of the head on four depths (`depths`).

    Args:
        channels: Channels of the feature, one number.
        outputs: Channels of the prediction.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__(channels, outputs)
        (width,) = channels
        convolution = nn.Conv2d(width, width, 3, padding=1)
        nn.init.trunc_normal_(convolution.weight, std=0.02)
        self.layers = nn.Sequential(convolution, nn.BatchNorm2d(width), nn.GELU(), nn.Conv2d(width, outputs, 1))

    def forward(self, features: list[Tensor]) -> Tensor:
        """One feature [B, C, h, w] to [B, outputs, h, w]."""
        (feature,) = features
        return self.layers(feature)


@register("pooled")
class Pooled(Decoder):
    """The mean of every feature over its positions, side by side, then a linear layer.

    The usual head of a classification network. Architectures give it to tasks that are not dense.

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
