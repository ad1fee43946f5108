"""The kinds of context, and the module that joins the contexts of a task."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise.models.layers import conv_bn_relu
from equipoise.tasks.base import at_least_float32

WINDOW = 9
"""Side of the neighbourhood of a local context, in pixels of the feature."""

SMALLEST = 1e-12
"""Lower bound of sums of weights, so that a mean without weights is 0."""


class Context(nn.Module, ABC):
    """A context of a source task for a target task.

    Brüggemann et al., "Exploring Relational Context for Multi-Task Dense Prediction", ICCV 2021, arXiv 2104.13874,
    section 3.2 and figure 3. Queries are computed from the target's features, keys and values from the source's, each
    by 1x1 convolutions with batch normalisation (queries and keys two, values one), whose weights start Xavier-uniform.

    Args:
        channels: Channels of the features of every task.
        width: Channels of queries, keys and values.
        scaled: Whether the normalisation of the values has a weight and a bias. In a search it has none, so that all
            kinds of context have the same scale.
    """

    reads_labels_of: ClassVar[Literal["target", "source"] | None] = None
    """The task of the pair whose label map it needs, if any."""

    def __init__(self, channels: int, width: int, *, scaled: bool = True) -> None:
        super().__init__()
        self.query = nn.Sequential(_project(channels, width), nn.ReLU(inplace=True), _project(width, width))
        self.key = nn.Sequential(_project(channels, width), nn.ReLU(inplace=True), _project(width, width))
        self.value = nn.Sequential(_project(channels, width, scaled=scaled), nn.ReLU(inplace=True))

    @abstractmethod
    def forward(
        self, target: Tensor, source: Tensor, target_labels: Tensor | None, source_labels: Tensor | None
    ) -> Tensor:
        """Attend to the source from every pixel of the target.

        Args:
            target: Features of the target task, [B, C, h, w].
            source: Features of the source task, [B, C, h, w].
            target_labels: For each category of the target task, the weight of each pixel in the category's mean,
                [B, n, h * w], with sums of 1.
            source_labels: The same for the source task.

        Returns:
            [B, width, h, w].
        """


class GlobalContext(Context):
    r"""Global context: attention over all pixels of the source, linear in their number.

    With softplus(query) = q and softplus(key) = k, the pixel p becomes

    $$\frac{\sum_s v_s \, (k_s \cdot q_p)}{\sum_s k_s \cdot q_p}$$

    It is computed for each channel d of the keys, as a mean of the means of v weighted with k_d. No number is then as
    large as a sum over all pixels, which half precision cannot hold.
    """

    def forward(
        self, target: Tensor, source: Tensor, target_labels: Tensor | None, source_labels: Tensor | None
    ) -> Tensor:
        """See `Context.forward`; needs no labels."""
        query, key = (F.softplus(at_least_float32(maps)).flatten(2) for maps in (self.query(target), self.key(source)))
        value = self.value(source).flatten(2)
        total = key.sum(dim=2, keepdim=True).clamp(min=SMALLEST)
        means = value @ (key / total).to(value.dtype).transpose(1, 2)
        weights = query * total
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=SMALLEST)
        return (means @ weights.to(value.dtype)).unflatten(2, target.shape[-2:])


class LocalContext(Context):
    r"""Local context: attention over the 9x9 pixels around each, softmax(q k / sqrt(width)).

    Pixels outside of the image get no weight. (In the public code, a CUDA kernel, they take part with a score and a
    value of 0, which pulls the border towards 0; its published configurations have no local context.) The window is
    processed row by row over views of the map. The backward pass then keeps no copy of the map: 81 numbers per pixel,
    not 81 vectors.
    """

    def forward(
        self, target: Tensor, source: Tensor, target_labels: Tensor | None, source_labels: Tensor | None
    ) -> Tensor:
        """See `Context.forward`; needs no labels."""
        query = F.relu(self.query(target)).contiguous()
        key, value = _rows(F.relu(self.key(source))), _rows(self.value(source))
        query = query.unsqueeze(-1) / math.sqrt(query.shape[1])
        scores = torch.cat([(query * row).sum(dim=1) for row in key], dim=-1)
        inside = torch.cat(_rows(source.new_ones(1, 1, *source.shape[-2:])), dim=-1).squeeze(1)
        weights = scores.masked_fill(inside == 0, -math.inf).softmax(dim=-1)
        parts = weights.unsqueeze(1).split(WINDOW, dim=-1)
        return torch.stack([(part * row).sum(dim=-1) for part, row in zip(parts, value, strict=True)]).sum(dim=0)


class _LabelContext(Context):
    """Context by labels: attention over the mean feature of each category, softmax(q k / sqrt(width))."""

    def _attend(self, target: Tensor, source: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise ValueError(f"A {type(self).__name__} needs the label map of the {self.reads_labels_of}. Found none.")
        centres = (source.flatten(2) @ labels.transpose(1, 2)).unsqueeze(3)
        query = F.relu(self.query(target)).flatten(2).transpose(1, 2)
        key, value = F.relu(self.key(centres)).flatten(2), self.value(centres).flatten(2)
        weights = (query @ key / math.sqrt(key.shape[1])).softmax(dim=-1)
        return (weights @ value.transpose(1, 2)).transpose(1, 2).unflatten(2, target.shape[-2:])


class TargetLabelContext(_LabelContext):
    """T-label context: the means of the source's features over the categories of the target task."""

    reads_labels_of = "target"

    def forward(
        self, target: Tensor, source: Tensor, target_labels: Tensor | None, source_labels: Tensor | None
    ) -> Tensor:
        """See `Context.forward`; needs the labels of the target."""
        return self._attend(target, source, target_labels)


class SourceLabelContext(_LabelContext):
    """S-label context: the means of the source's features over the categories of the source task."""

    reads_labels_of = "source"

    def forward(
        self, target: Tensor, source: Tensor, target_labels: Tensor | None, source_labels: Tensor | None
    ) -> Tensor:
        """See `Context.forward`; needs the labels of the source."""
        return self._attend(target, source, source_labels)


def _project(inputs: int, outputs: int, *, scaled: bool = True) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 1, bias=False)
    nn.init.xavier_uniform_(convolution.weight)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs, affine=scaled))


def _rows(maps: Tensor) -> list[Tensor]:
    # Views [B, C, h, w, 9], one for each row of the window, with the neighbours of each pixel in that row.
    height, reach = maps.shape[-2], WINDOW // 2
    # Windows along rows that are not contiguous in memory, as with channels last, take twice the time.
    padded = F.pad(maps.contiguous(), (reach, reach, reach, reach))
    return [padded[:, :, row : row + height].unfold(3, WINDOW, 1) for row in range(WINDOW)]


CONTEXTS: dict[str, type[Context]] = {
    "global": GlobalContext,
    "local": LocalContext,
    "target_label": TargetLabelContext,
    "source_label": SourceLabelContext,
}
"""The kinds of context by their names in a table of relations, in the order of the public code."""


class Refinement(nn.Module):
    """A row of the adaptive task-relational context module: one target task with all of its sources.

    Brüggemann et al., ICCV 2021, arXiv 2104.13874, figure 2. The concatenated contexts go through a 1x1 convolution
    with batch normalisation. Together with the task's own features, they go through another 1x1 convolution with batch
    normalisation, ReLU and channel dropout. As in the public code, the first normalisation starts with weight 0, so
    training starts from a network without contexts. Without sources, the second convolution reads the task's own
    features alone.

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
        """Return the refined features of the task.

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
