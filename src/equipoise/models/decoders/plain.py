"""The plain convolutional head on the tokens of a vision transformer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from equipoise.models.decoder import Decoder


class Plain(Decoder):
    """3x3 convolution that keeps the channels, batch normalisation, GELU, 1x1 convolution, on the last feature.

    The head of the vanilla multi-task ViT. Paper one does not describe its own; this is the one that TaskPrompter (Ye
    and Xu, ICLR 2023) puts on its features, whose 3x3 convolution has a bias and starts from a truncated normal
    distribution (0.02), and it has a quarter of the cost of the head on four depths (`depths`).

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
