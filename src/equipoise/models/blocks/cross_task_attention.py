"""Attention among the tokens of all tasks, with the scores of the stage before as a message."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise.models.layers import resize


class CrossTaskAttention(nn.Module):
    """Every task attends to every position of every task.

    The self-attention of the UP-Transformer block with "attention message passing" (Ye and Xu, "Inverted Pyramid
    Multi-task Transformer for Dense Scene Understanding", ECCV 2022, arXiv 2203.07997). Of each task's map, a depthwise
    3x3 convolution of stride 2 with batch normalisation makes the queries, and the means over a coarse grid, the same
    at all stages, are what keys and values are made of. With the tokens of all tasks side by side,

    .. math:: S = Q K^\\top / \\sqrt{C}, \\qquad
        S' = W [S; \\operatorname{up}(M)], \\qquad O = \\operatorname{softmax}(S') V

    where C is the width of all heads together, not of one as is usual, and M, the message, are the scores S' of the
    stage before, resized along the positions of the queries and mixed with S over the heads by a 1x1 convolution. The
    output is projected and resized to the size of the input.

    The public code gives the first stage, which receives no message, a mixing convolution too, which it never uses.

    Args:
        tasks: The names of the tasks.
        width: Channels C.
        heads: Number of heads.
        message: Whether it receives the scores of a stage before.
    """

    def __init__(self, tasks: Sequence[str], width: int, heads: int, *, message: bool) -> None:
        super().__init__()
        self.heads, self.scale = heads, width**-0.5
        self.queries = nn.ModuleDict(
            {
                task: nn.Sequential(
                    nn.Conv2d(width, width, 3, stride=2, padding=1, groups=width, bias=False), nn.BatchNorm2d(width)
                )
                for task in tasks
            }
        )
        self.query, self.key, self.value, self.project = (nn.Linear(width, width) for _ in range(4))
        self.mix = nn.Conv2d(2 * heads, heads, 1) if message else None

    def forward(self, maps: Tensor, grid: tuple[int, int], message: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            maps: [B, T, C, H, W], tasks in the order of their names.
            grid: Rows and columns of the positions that keys and values have for each task.
            message: The scores that the stage before gave, or none if it was built without.

        Returns:
            What was gathered, of the shape of the maps; and the scores before the softmax,
            [B, heads, T * rows * columns, T * ceil(H / 2), ceil(W / 2)]: a map over the positions of the queries,
            tasks one below the other, for each key.
        """
        batch, tasks, width, height, across = maps.shape
        asked = torch.stack([query(maps[:, i]) for i, query in enumerate(self.queries.values())], 1)
        rows, columns = asked.shape[-2:]
        means = F.adaptive_avg_pool2d(maps.flatten(0, 1), grid).unflatten(0, (batch, tasks))
        queries = self._split(self.query(_tokens(asked)))
        keys, values = (self._split(linear(_tokens(means))) for linear in (self.key, self.value))
        # Keys before queries, so that the positions of the queries come last and can be resized as they lie.
        scores = keys @ queries.transpose(-1, -2) * self.scale
        if self.mix is not None:
            assert message is not None
            received = message.unflatten(3, (tasks, -1)).flatten(0, 3)[None]
            received = resize(received, (rows, columns)).reshape(scores.shape)
            scores = self.mix(torch.cat([scores, received], 1))
        gathered = scores.softmax(-2).transpose(-1, -2) @ values
        gathered = self.project(gathered.transpose(1, 2).flatten(2))
        gathered = gathered.transpose(1, 2).reshape(batch, width, tasks * rows, columns)
        gathered = gathered.unflatten(2, (tasks, rows)).transpose(1, 2).flatten(0, 1)
        resized = resize(gathered, (height, across)).unflatten(0, (batch, tasks))
        return resized, scores.unflatten(-1, (tasks * rows, columns))

    def _split(self, tokens: Tensor) -> Tensor:
        # [B, N, C] to [B, heads, N, C / heads]
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _tokens(maps: Tensor) -> Tensor:
    # [B, T, C, h, w] to [B, T * h * w, C]
    return maps.transpose(1, 2).flatten(2).transpose(1, 2)
