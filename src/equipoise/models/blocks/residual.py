"""Residual blocks of stride 1 that may change the number of channels."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet


def basic_block(inputs: int, outputs: int) -> nn.Module:
    """Two 3x3 convolutions and a skip (He et al., "Deep Residual Learning", CVPR 2016, figure 5 left).

    The skip is the input, or where the channels change a 1x1 convolution with batch normalisation.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
    """
    return resnet.BasicBlock(inputs, outputs, downsample=_skip(inputs, outputs))


def bottleneck(inputs: int, outputs: int) -> nn.Module:
    """1x1, 3x3 and 1x1 convolution, a quarter of the outputs wide in between, and a skip (He et al., figure 5 right).

    The skip is the input, or where the channels change a 1x1 convolution with batch normalisation.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.

    Raises:
        ValueError: If the outputs are no multiple of 4.
    """
    expansion = resnet.Bottleneck.expansion
    if outputs % expansion:
        raise ValueError(f"The width of a bottleneck should be a multiple of {expansion}. Found {outputs}.")
    return resnet.Bottleneck(inputs, outputs // expansion, downsample=_skip(inputs, outputs))


def _skip(inputs: int, outputs: int) -> nn.Module | None:
    if inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
