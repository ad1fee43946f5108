"""NDDR-CNN: a trunk per task, mixed by 1x1 convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.architectures.cross_stitch import FusedTrunks


@register("nddr")
class NDDR(FusedTrunks):
    """NDDR-CNN: after every stage, a task continues from all tasks' maps, reduced to its width by a 1x1 convolution.

    Gao et al., "NDDR-CNN: Layerwise Feature Fusing in Multi-Task CNNs by Neural Discriminative Dimensionality
    Reduction", CVPR 2019, figure 1: concatenation, 1x1 convolution without bias, batch normalisation (momentum 0.05),
    ReLU. The convolution starts as `alpha` times a task's own maps plus equal shares of the others' (1 - alpha
    together). On a ResNet the stages are the stem with its pooling and layers 1 to 4. The convolution of the
    concatenation is computed as a sum of one convolution per task, which gives the same and needs no memory for the
    concatenation. The paper's variant with shortcuts to the last stage is left out.

    The cost grows with the square of the number of tasks and of the channels.

    See `equipoise.models.architectures.cross_stitch` for the arguments and for what is shared.
    """

    examples = ({"backbone": "resnet18"}, {"backbone": "resnet50"})
    fused = slice(None)

    def fusion(self, channels: int, shares: Sequence[float]) -> nn.Module:
        """Return the layer of dimensionality reduction."""
        return _Reduction(channels, shares)


class _Reduction(nn.Module):
    def __init__(self, channels: int, shares: Sequence[float]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in shares)
        for convolution, share in zip(self.convolutions, shares, strict=True):
            weight = convolution.get_parameter("weight")
            with torch.no_grad():
                weight.copy_(share * torch.eye(channels)[:, :, None, None])
        self.activate = nn.Sequential(nn.BatchNorm2d(channels, momentum=0.05), nn.ReLU(inplace=True))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        reduced = (convolution(map_) for convolution, map_ in zip(self.convolutions, maps, strict=True))
        total = next(reduced)
        for more in reduced:
            total = total + more
        return self.activate(total)
