"""A trunk for each task, mixed channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise.models.fused_trunks import FusedTrunks


class CrossStitch(FusedTrunks):
    """Cross-stitch networks: after each of the last four stages, a task goes on from a weighted sum of all tasks' maps.

    Misra et al., "Cross-stitch Networks for Multi-task Learning", CVPR 2016, equation 1 and figure 3, with one weight
    for each channel and ordered pair of tasks, as public dense networks have it (the paper also has one a pair); no
    bias, nothing non-linear. LibMTL has one weight a pair, starts all of them at 1 and leaves the last stage out.

    The authors of dense benchmarks start from `alpha` 0.9 (NYU-v2, two tasks) or 0.8 (PASCAL, five) and mean the
    weights to learn a hundred times faster than the trunks, but their code loses that after the first epoch; here all
    parameters have one rate.

    See `equipoise.models.fused_trunks` for the arguments and for what is shared.
    """

    examples = ({"backbone": "resnet18"}, {"backbone": "resnet50"})
    fused = slice(-4, None)

    def fusion(self, channels: int, shares: Sequence[float]) -> nn.Module:
        """A weighted sum."""
        return _Stitch(channels, shares)


class _Stitch(nn.Module):
    def __init__(self, channels: int, shares: Sequence[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(shares)[:, None, None, None].repeat(1, channels, 1, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        # Under autocast the maps are in half precision, in which they should stay.
        weights = self.weight.to(maps[0].dtype)
        total = weights[0] * maps[0]
        for weight, others in zip(weights[1:], maps[1:], strict=True):
            total = torch.addcmul(total, weight, others)
        return total
