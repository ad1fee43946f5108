"""Pieces that several decoders and architectures are made of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def resize(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear resize of [B, C, h, w] to `size` = (H, W), corners not aligned."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def conv_bn_relu(inputs: int, outputs: int, kernel: int, *, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias that keeps the size of the map, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
