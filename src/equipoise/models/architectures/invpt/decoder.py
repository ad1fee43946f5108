"""The decoder of InvPT: stages in which the maps of all tasks attend to each other and become finer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise.models.layers import conv_bn_relu, resize


class CrossTaskAttention(nn.Module):
    """Attention of every task to every position of every task.

    The self-attention of the UP-Transformer block with "attention message passing" (Ye and Xu, "Inverted Pyramid
    Multi-task Transformer for Dense Scene Understanding", ECCV 2022, arXiv 2203.07997). From each task's map, a
    depthwise 3x3 convolution of stride 2 with batch normalisation computes the queries. Keys and values are computed
    from means over a coarse grid, the same at all stages. With the tokens of all tasks concatenated,

    $$S = Q K^\\top / \\sqrt{C}, \\qquad
    S' = W [S; \\operatorname{up}(M)], \\qquad O = \\operatorname{softmax}(S') V$$

    where C is the width of all heads together (not of one head, as is usual) and the message M holds the scores S' of
    the stage before. The message is resized along the positions of the queries; W is a 1x1 convolution over the heads.
    The output is projected and resized to the size of the input.

    In the public code the first stage, which receives no message, has a mixing convolution too, which it never uses.

    Args:
        tasks: The names of the tasks.
        width: Channels C.
        heads: Number of heads.
        message: Whether it receives the scores of the stage before.
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
            message: The scores of the stage before, or none if it was built without.

        Returns:
            The output of the attention, in the shape of the maps; and the scores before the softmax,
            [B, heads, T * rows * columns, T * ceil(H / 2), ceil(W / 2)]: for each key a map over the positions of the
            queries, one task below the other.
        """
        batch, tasks, width, height, across = maps.shape
        asked = torch.stack([query(maps[:, i]) for i, query in enumerate(self.queries.values())], 1)
        rows, columns = asked.shape[-2:]
        means = F.adaptive_avg_pool2d(maps.flatten(0, 1), grid).unflatten(0, (batch, tasks))
        queries = self._split(self.query(_tokens(asked)))
        keys, values = (self._split(linear(_tokens(means))) for linear in (self.key, self.value))
        # Keys before queries, so that the positions of the queries come last and can be resized as a map.
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


class PyramidStage(nn.Module):
    """A UP-Transformer block (Ye and Xu, ECCV 2022, arXiv 2203.07997).

    From the second stage on, the maps are first made larger and narrower: a bilinear resize and two dilated 3x3
    convolutions per task, then the backbone's feature of this size is added. Then all tasks attend to each other
    (`CrossTaskAttention`) and every token goes through an MLP, both with layer normalisation before and the input added
    after.

    Args:
        tasks: The names of the tasks.
        inputs: Channels of the input maps.
        width: Channels of the output maps; at the first stage the same.
        heads: Heads of the attention.
        first: Whether it is the first stage, which neither resizes nor receives scores.
    """

    def __init__(self, tasks: Sequence[str], inputs: int, width: int, heads: int, *, first: bool) -> None:
        super().__init__()
        self.enlarge = None if first else nn.ModuleDict({task: _enlarge(inputs, width) for task in tasks})
        self.norm = nn.LayerNorm(width)
        self.attention = CrossTaskAttention(tasks, width, heads, message=not first)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(
        self,
        maps: Mapping[str, Tensor],
        skips: Mapping[str, Tensor],
        grid: tuple[int, int],
        message: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Run the stage.

        Args:
            maps: The map of each task, [B, inputs, h, w].
            skips: The backbone's feature for each task, [B, width, H, W]; empty at the first stage.
            grid: Rows and columns of the positions that are attended to, for each task.
            message: The scores of the stage before; none at the first stage.

        Returns:
            The map of each task, [B, width, H, W], and the scores.
        """
        if self.enlarge is not None:
            maps = {
                task: enlarge(resize(maps[task], skips[task].shape[-2:])) + skips[task]
                for task, enlarge in self.enlarge.items()
            }
        stacked = torch.stack(list(maps.values()), 1)
        gathered, scores = self.attention(_over_channels(self.norm, stacked), grid, message)
        stacked = stacked + gathered
        stacked = stacked + _over_channels(self.mlp, stacked)
        return dict(zip(maps, stacked.unbind(1), strict=True)), scores


class JointNorm(nn.Module):
    """Layer normalisation of a stage's maps over the channels of all tasks together, at each position.

    The public code of arXiv 2203.07997 does this before `PyramidHead` reads a stage. Each task's prediction thereby
    depends on the other tasks' last maps too.

    Args:
        tasks: Number of tasks.
        width: Channels of a map.
    """

    def __init__(self, tasks: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(tasks * width)

    def forward(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the normalised map of each task, [B, width, h, w]."""
        together = torch.cat(list(maps.values()), 1).movedim(1, -1)
        return dict(zip(maps, self.norm(together).movedim(-1, 1).chunk(len(maps), 1), strict=True))


class PyramidHead(nn.Module):
    """The prediction of a task from its maps of all stages.

    The "multi-scale feature aggregation" of arXiv 2203.07997: a 1x1 convolution brings each stage's map to the width of
    the first stage; all are resized to twice the size of the last stage and summed; a 3x3 convolution with batch
    normalisation and ReLU and a 1x1 convolution compute the prediction. The first stage's map has that width already;
    the public code has a 1x1 convolution for it that it never uses.

    Args:
        widths: Channels of the stages' maps.
        outputs: Channels of the prediction.
    """

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        width = widths[0]
        self.reduce = nn.ModuleList([nn.Identity(), *(nn.Conv2d(inputs, width, 1) for inputs in widths[1:])])
        join = nn.Conv2d(width, width, 3, padding=1)
        nn.init.trunc_normal_(join.weight, std=0.02)
        self.predict = nn.Sequential(join, nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, outputs, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Predict [B, outputs, 2 h_n, 2 w_n] from the maps [B, widths[i], h_i, w_i] of the stages 1 to n."""
        height, width = maps[-1].shape[-2:]
        total, *others = (
            resize(reduce(stage), (2 * height, 2 * width)) for reduce, stage in zip(self.reduce, maps, strict=True)
        )
        for other in others:
            total = total + other
        return self.predict(total)


def _enlarge(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv_bn_relu(inputs, outputs, 3, dilation=2), conv_bn_relu(outputs, outputs, 3, dilation=2))


def _over_channels(module: nn.Module, maps: Tensor) -> Tensor:
    # [B, T, C, H, W], through a module that works on the last axis
    return module(maps.movedim(2, -1)).movedim(-1, 2)
