"""How a task joins the contexts that it has of all tasks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from equipoise.models.layers import conv_bn_relu


class Refinement(nn.Module):
    """A row of the adaptive task-relational context module: one target task, all of its sources.

    Brüggemann et al., ICCV 2021, arXiv 2104.13874, figure 2: the contexts side by side go through a 1x1 convolution
    with batch normalisation; beside the task's own features, another 1x1 convolution with batch normalisation, ReLU and
    channel dropout makes the refined ones. As in the public code, the first normalisation starts with weight 0, so that
    training starts from a network without contexts. Where there is no source, the second convolution reads the task's
    own features alone.

    Args:
        target: The name of the task.
        contexts: A context for each of its sources.
        channels: Channels of the features of every task.
        width: Channels of the contexts.
        dropout: Probability of dropping a channel.
    """

    def __init__(
        self, target: str, contexts: Mapping[str, nn.Module], channels: int, width: int, dropout: float = 0.05
    ) -> None:
        super().__init__()
        self.target = target
        self.contexts = nn.ModuleDict(dict(contexts))
        self.project = None
        if contexts:
            normalise = nn.BatchNorm2d(channels)
            nn.init.zeros_(normalise.weight)
            self.project = nn.Sequential(nn.Conv2d(width * len(contexts), channels, 1, bias=False), normalise)
        inputs = channels if self.project is None else 2 * channels
        self.join = nn.Sequential(conv_bn_relu(inputs, channels, 1), nn.Dropout2d(dropout))

    def forward(self, features: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> Tensor:
        """Refine.

        Args:
            features: The features of every task, [B, C, h, w].
            labels: The label maps of the tasks that have one, [B, n, h * w]; see `Context.forward`.

        Returns:
            [B, C, h, w].
        """
        own = features[self.target]
        if self.project is None:
            return self.join(own)
        contexts = [
            context(own, features[source], labels.get(self.target), labels.get(source))
            for source, context in self.contexts.items()
        ]
        return self.join(torch.cat([own, self.project(torch.cat(contexts, dim=1))], dim=1))
