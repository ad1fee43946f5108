"""The decoder of TaskPrompter: features and prediction of a task, read from patches and prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise.models.architectures.taskprompter.transformer import Tap
from equipoise.models.layers import resize


class PromptDecoder(nn.Module):
    """A task's features at one depth.

    The dense spatial-channel prompt decoding of TaskPrompter (Ye and Xu, ICLR 2023). The patches are weighted twice: by
    the task's spatial scores (each head's scores weigh the head's share of the channels) and by its channel scores
    (each window's scores weigh the patches in it). The patches themselves are added to both, and each goes through a
    1x1 convolution of its own. Concatenated, they go through a 1x1 convolution, a 3x3 convolution with batch
    normalisation and GELU, and a 1x1 convolution.

    Args:
        channels: Channels of the patches.
        embed_dim: Channels after the first convolutions.
        feature_dim: Channels of the features.
    """

    def __init__(self, channels: int, embed_dim: int, feature_dim: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, embed_dim, 1)
        self.channel = nn.Conv2d(channels, embed_dim, 1)
        self.fuse = nn.Sequential(
            nn.Conv2d(2 * embed_dim, feature_dim, 1),
            nn.Conv2d(feature_dim, feature_dim, 3, padding=1),
            nn.BatchNorm2d(feature_dim),
            nn.GELU(),
            nn.Conv2d(feature_dim, feature_dim, 1),
        )

    def forward(self, patches: Tensor, spatial: Tensor, channel: Tensor) -> Tensor:
        """Return the features of the task.

        Args:
            patches: [B, C, h, w].
            spatial: The task's spatial scores, [B, heads, h, w].
            channel: The task's channel scores, [B, C, windows, windows].

        Returns:
            [B, feature_dim, h, w].
        """
        height, width = patches.shape[-2:]
        by_head = patches.unflatten(1, (spatial.shape[1], -1)) * (1 + spatial).unsqueeze(2)
        rows, columns = channel.shape[-2:]
        per_patch = channel.repeat_interleave(height // rows, 2).repeat_interleave(width // columns, 3)
        by_channel = patches * (1 + per_patch)
        return self.fuse(torch.cat([self.spatial(by_head.flatten(1, 2)), self.channel(by_channel)], 1))


class PromptReader(nn.Module):
    """A task's features at all depths, from one `PromptDecoder` per depth.

    Args:
        number: The number of the task, from 0.
        tasks: Number of tasks.
        levels: Number of depths.
        channels: Channels of the patches.
        embed_dim: See `PromptDecoder`.
        feature_dim: See `PromptDecoder`.
    """

    def __init__(self, number: int, tasks: int, levels: int, channels: int, embed_dim: int, feature_dim: int) -> None:
        super().__init__()
        self.number, self.tasks = number, tasks
        self.decoders = nn.ModuleList(PromptDecoder(channels, embed_dim, feature_dim) for _ in range(levels))

    def forward(self, taps: Sequence[Tap]) -> list[Tensor]:
        """Return one map of features [B, feature_dim, h, w] for each tap."""
        return [
            decoder(tap.patches, self._own(tap.spatial), self._own(tap.channel))
            for decoder, tap in zip(self.decoders, taps, strict=True)
        ]

    def _own(self, scores: Tensor) -> Tensor:
        return scores.unflatten(2, (self.tasks, -1))[:, :, self.number]


class CrossTaskReweighting(nn.Module):
    """A task's features at all depths, mixed from those of all tasks.

    The cross-task reweighting of TaskPrompter (ICLR 2023): at each depth, the weighted sum of all tasks' features. Two
    1x1 convolutions with GELU in between compute each weight from the scores, one per head, of the task's prompt and
    the other task's.

    Args:
        number: The number of the task, from 0.
        levels: Number of depths.
        heads: Heads of the backbone's attention.
    """

    def __init__(self, number: int, levels: int, heads: int) -> None:
        super().__init__()
        self.number = number
        self.weigh = nn.ModuleList(
            nn.Sequential(nn.Conv2d(heads, heads, 1), nn.GELU(), nn.Conv2d(heads, 1, 1)) for _ in range(levels)
        )

    def forward(self, features: Sequence[Sequence[Tensor]], pairs: Sequence[Tensor]) -> list[Tensor]:
        """Return the mixed features of the task.

        Args:
            features: The features of each task at each depth, [B, feature_dim, h, w].
            pairs: `Tap.pairs` at each depth.

        Returns:
            Features at each depth, [B, feature_dim, h, w].
        """
        mixed = []
        for weigh, scores, of_tasks in zip(self.weigh, pairs, zip(*features, strict=True), strict=True):
            weights = weigh(scores[:, :, self.number : self.number + 1]).unsqueeze(-1).unbind(3)
            mixed.append(_sum([weight * feature for weight, feature in zip(weights, of_tasks, strict=True)]))
        return mixed


class PromptedHead(nn.Module):
    """A prediction from a task's features at all depths.

    The features are summed and resized to four times the grid of patches. A 3x3 convolution with batch normalisation
    and GELU and a 1x1 convolution follow.

    Args:
        feature_dim: Channels of the features.
        outputs: Channels of the prediction.
    """

    def __init__(self, feature_dim: int, outputs: int) -> None:
        super().__init__()
        join = nn.Conv2d(feature_dim, feature_dim, 3, padding=1)
        nn.init.trunc_normal_(join.weight, std=0.02)
        self.layers = nn.Sequential(join, nn.BatchNorm2d(feature_dim), nn.GELU(), nn.Conv2d(feature_dim, outputs, 1))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Predict [B, outputs, 4 h, 4 w] from the features [B, feature_dim, h, w] of each depth."""
        total = _sum(features)
        return self.layers(resize(total, (4 * total.shape[-2], 4 * total.shape[-1])))


def _sum(maps: Sequence[Tensor]) -> Tensor:
    """The sum of maps of one shape."""
    total, *others = maps
    for other in others:
        total = total + other
    return total
