"""The head on several depths of a vision transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise.models.decoder import Decoder
from equipoise.models.layers import resize


class Depths(Decoder):
    """Every feature reduced, enlarged four times and joined; then 3x3 convolution, normalisation, GELU, 1x1.

    The head of SAK (Lu, Cao and Wang, "Swiss Army Knife: Synergizing Biases in Knowledge from Vision Foundation Models
    for Multi-Task Learning", ICLR 2025) on the tokens after a quarter, a half, three quarters and all of the blocks.
    Each is reduced to its share of the channels by a linear layer; at a quarter of the image's size they make up as
    many channels as the tokens have. Being at stride 4, it costs several times what the head on the last tokens
    (`plain`) costs: it is more than three quarters of a four-task ViT-B.

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
