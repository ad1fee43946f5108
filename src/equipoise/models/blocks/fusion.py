"""Features of several sizes as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equipoise.models.layers import resize


def side_by_side(features: Sequence[Tensor]) -> Tensor:
    """Features [B, C_i, h_i, w_i], from fine to coarse, in one map of the finest's size, [B, sum of C_i, h_0, w_0].

    How HRNet's heads read its branches (Wang et al., "Deep High-Resolution Representation Learning for Visual
    Recognition", arXiv 1908.07919, figure 4b). Resizing goes by size, not by factor, so that no size is excluded.
    """
    finest = features[0].shape[-2:]
    return torch.cat([features[0], *(resize(feature, finest) for feature in features[1:])], dim=1)
