"""The DeepLab-v3 head: atrous spatial pyramid pooling, then two convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.decoders import Decoder
from equipoise.models.layers import conv_bn_relu, resize


@register("deeplab")
class DeepLab(Decoder):
    """DeepLab-v3 head on the last feature.

    Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv 1706.05587. Five branches of
    `width` channels (1x1, three dilated 3x3, the image's mean) are joined by a 1x1 convolution and dropout; a 3x3 and a
    1x1 convolution follow. Every convolution but the last has batch normalisation and ReLU. The weights have PyTorch's
    initialisation. On small images the dilations exceed the map; the dilated convolutions then see little but their
    centre. Some implementations have no dropout (`dropout=0`) or align corners when they resize.

    Args:
        channels: Channels of the feature, one number.
        outputs: Channels of the prediction.
        width: Channels of each branch.
        dilations: Dilations of the 3x3 branches; the defaults suit output stride 8.
        dropout: Probability of dropping a value after the pyramid.
    """

    def __init__(
        self,
        channels: Sequence[int],
        outputs: int,
        *,
        width: int = 256,
        dilations: Sequence[int] = (12, 24, 36),
        dropout: float = 0.5,
    ) -> None:
        super().__init__(channels, outputs)
        (inputs,) = channels
        self.branches = nn.ModuleList(
            [
                conv_bn_relu(inputs, width, 1),
                *(conv_bn_relu(inputs, width, 3, dilation=dilation) for dilation in dilations),
            ]
        )
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn_relu(inputs, width, 1))
        self.join = nn.Sequential(conv_bn_relu((len(dilations) + 2) * width, width, 1), nn.Dropout(dropout))
        self.predict = nn.Sequential(conv_bn_relu(width, width, 3), nn.Conv2d(width, outputs, 1))

    def forward(self, features: list[Tensor]) -> Tensor:
        """One feature [B, C, h, w] to [B, outputs, h, w].

        Raises:
            ValueError: It trains on a batch of one image, whose mean has no variance to normalise by.
        """
        (feature,) = features
        if (
            self.training
            and len(feature) == 1
            and any(isinstance(m, nn.BatchNorm2d) for m in self.image_pool.modules())
        ):
            raise ValueError(
                "`images` should hold at least 2 images when a `deeplab` decoder trains: it normalises each image's "
                "mean over the batch. Found 1. Leave out the last, incomplete batch (`drop_last=True`), use a larger "
                "batch, or `torch.nn.SyncBatchNorm` over several processes."
            )
        pooled = resize(self.image_pool(feature), feature.shape[-2:])
        return self.predict(self.join(torch.cat([*(branch(feature) for branch in self.branches), pooled], dim=1)))
