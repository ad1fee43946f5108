"""Decoders on several features, which see details."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.decoders import Decoder
from equipoise.models.layers import conv_bn_relu, resize


@register("pyramid")
class Pyramid(Decoder):
    """Every feature but the first: 1x1 convolution, resized to the finest, summed; then 3x3 and 1x1 convolution.

    The semantic head of a feature pyramid (Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019, figure 3),
    with one convolution after the sum where the paper has several before it. On a ResNet it works at stride 4, which
    edges need: at stride 16, small images have lost theirs.

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


@register("concat")
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


@register("depths")
class Depths(Decoder):
    """Every feature reduced, enlarged four times and joined; then 3x3 convolution, normalisation, GELU, 1x1.

    The head of SAK (Lu, Cao and Wang, "Swiss Army Knife: Synergizing Biases in Knowledge from Vision Foundation Models
    for Multi-Task Learning", ICLR 2025) on the tokens after a quarter, a half, three quarters and all of the blocks.
    A linear layer reduces each to its share of the channels; together they have as many channels as the tokens, at a
    quarter of the image's size. At stride 4 the head costs several times as much as the head on the last tokens
    (`plain`): it makes up more than three quarters of a four-task ViT-B.

    Args:
        channels: Channels of each feature, one number several times; the features have one size.
        outputs: Channels of the prediction.
    """

    levels = slice(None)

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__(channels, outputs)
        if len(set(channels)) > 1 or channels[0] % len(channels):
            raise ValueError(
                "Decoder `depths` reads features of equal channels, a multiple of their number, such as the tokens of "
                f"a ViT at four depths. Found features of {list(channels)} channels."
            )
        width = channels[0]
        # On maps a linear layer is a 1x1 convolution.
        self.reductions = nn.ModuleList(nn.Conv2d(width, width // len(channels), 1) for _ in channels)
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.GELU(), nn.Conv2d(width, outputs, 1)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features [B, C, h, w] to [B, outputs, 4 h, 4 w]."""
        height, width = features[0].shape[-2:]
        reduced = [reduction(feature) for reduction, feature in zip(self.reductions, features, strict=True)]
        return self.layers(resize(torch.cat(reduced, dim=1), (4 * height, 4 * width)))
