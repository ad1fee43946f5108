"""Layers that several decoders and architectures use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet

from equipoise.tasks import Output


def resize(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize maps [B, C, h, w] to `size = (H, W)`, bilinearly, corners not aligned."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def conv_bn_relu(inputs: int, outputs: int, kernel: int, *, dilation: int = 1) -> nn.Sequential:
    """Return a convolution without bias that keeps the size of the map, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def require_dense(outputs: Mapping[str, Output]) -> None:
    """Check that every task predicts a value for every pixel.

    Raises:
        ValueError: One does not.
    """
    for task, output in outputs.items():
        if not output.dense:
            raise ValueError(
                f"`tasks[{task!r}]` should have a label for every pixel in this architecture. Found one for the whole "
                "input. Use `shared` with a decoder for such tasks."
            )


def basic_block(inputs: int, outputs: int) -> nn.Module:
    """Return two 3x3 convolutions and a skip (He et al., "Deep Residual Learning", CVPR 2016, figure 5 left).

    The skip is the input, or a 1x1 convolution with batch normalisation where the number of channels changes.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
    """
    return resnet.BasicBlock(inputs, outputs, downsample=_skip(inputs, outputs))


def bottleneck(inputs: int, outputs: int) -> nn.Module:
    """Return a 1x1, a 3x3 and a 1x1 convolution and a skip (He et al., figure 5 right).

    Between the first and the last convolution there are a quarter of the outputs' channels.

    The skip is the input, or a 1x1 convolution with batch normalisation where the number of channels changes.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.

    Raises:
        ValueError: `outputs` is no multiple of 4.
    """
    expansion = resnet.Bottleneck.expansion
    if outputs % expansion:
        raise ValueError(f"The width of a bottleneck should be a multiple of {expansion}. Found {outputs}.")
    return resnet.Bottleneck(inputs, outputs // expansion, downsample=_skip(inputs, outputs))


def _skip(inputs: int, outputs: int) -> nn.Module | None:
    if inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def concatenate(features: Sequence[Tensor]) -> Tensor:
    """Concatenate features [B, C_i, h_i, w_i], from fine to coarse, to [B, sum of C_i, h_0, w_0], the finest size.

    HRNet's heads read its branches so (Wang et al., "Deep High-Resolution Representation Learning for Visual
    Recognition", arXiv 1908.07919, figure 4b). Features are resized to a size, not by a factor, so images of any size
    are possible.
    """
    finest = features[0].shape[-2:]
    return torch.cat([features[0], *(resize(feature, finest) for feature in features[1:])], dim=1)
