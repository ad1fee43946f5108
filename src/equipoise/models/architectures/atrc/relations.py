"""Which context each task has of each other one: given, or still to be found."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise._core.text import choose, unknown
from equipoise.tasks import Output
from equipoise.tasks.base import at_least_float32

WINDOW = 9
"""Side of the neighbourhood of a local context, in pixels of the feature."""

SMALLEST = 1e-12
"""What sums of weights are at least, so that a mean of nothing is 0."""


class Context(nn.Module, ABC):
    """A context of a source task for a target task.

    Brüggemann et al., "Exploring Relational Context for Multi-Task Dense Prediction", ICCV 2021, arXiv 2104.13874,
    section 3.2 and figure 3. Queries are made of the target's features, keys and values of the source's, each by 1x1
    convolutions with batch normalisation (queries and keys two, values one), whose weights start Xavier-uniform.

    Args:
        channels: Channels of the features of every task.
        width: Channels of queries, keys and values.
        scaled: Whether the normalisation of the values has a weight and a bias; in a search it has none, so that no
            kind of context can make itself heard by being loud.
    """

    reads_labels_of: ClassVar[Literal["target", "source"] | None] = None
    """Whose label map it needs, if any."""

    def __init__(self, channels: int, width: int, *, scaled: bool = True) -> None:
        super().__init__()
        self.query = nn.Sequential(_project(channels, width), nn.ReLU(inplace=True), _project(width, width))
        self.key = nn.Sequential(_project(channels, width), nn.ReLU(inplace=True), _project(width, width))
        self.value = nn.Sequential(_project(channels, width, scaled=scaled), nn.ReLU(inplace=True))

    @abstractmethod
    def forward(
        self, target: Tensor, source: Tensor, target_labels: Tensor | None, source_labels: Tensor | None
    ) -> Tensor:
        """Look at the source from every pixel of the target.

        Args:
            target: Features of the target task, [B, C, h, w].
            source: Features of the source task, [B, C, h, w].
            target_labels: For each category of the target task how much each pixel belongs to its centre,
                [B, n, h * w], sums of 1.
            source_labels: The same for the source task.

        Returns:
            [B, width, h, w].
        """


class GlobalContext(Context):
    r"""The source everywhere: attention over all pixels, linear in their number.

    With softplus(query) = q and softplus(key) = k, the pixel p becomes

    .. math:: \frac{\sum_s v_s \, (k_s \cdot q_p)}{\sum_s k_s \cdot q_p}

    It is computed channel by channel d of the keys, as a mean of the means of v weighted with k_d, so that nothing is
    as large as a sum over all pixels, which half precision cannot hold.
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
    r"""The source nearby: attention over the 9x9 pixels around each, softmax(q k / sqrt(width)).

    Pixels outside of the image get no weight. (The public code, a CUDA kernel, lets them take part with a score and a
    value of 0, which pulls the border towards 0; its published configurations have no local context.) The window is
    walked row by row over views of the map, so that no copy of it is kept for the backward pass: what is kept are 81
    numbers a pixel, not 81 vectors.
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
    """The source by categories: attention over the mean feature of each, softmax(q k / sqrt(width))."""

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
    # Views [B, C, h, w, 9], one for each row of the window: what lies left and right of each pixel in that row.
    height, reach = maps.shape[-2], WINDOW // 2
    # Windows along rows that do not lie together in memory, as where channels come last, take twice the time.
    padded = F.pad(maps.contiguous(), (reach, reach, reach, reach))
    return [padded[:, :, row : row + height].unfold(3, WINDOW, 1) for row in range(WINDOW)]


CONTEXTS: dict[str, type[Context]] = {
    "global": GlobalContext,
    "local": LocalContext,
    "target_label": TargetLabelContext,
    "source_label": SourceLabelContext,
}
"""The kinds of contexts by the names that a table of relations has for them, in the order of the public code."""

NONE = "none"
"""The relation of tasks that have nothing to do with each other."""

LABEL, SEARCH = "label", "search"
"""Rules that fill a table: by labels where there are categories, or everything that is possible."""

Relations = str | Mapping[str, Mapping[str, str]]
"""A rule, a kind for all pairs, or a table: target task to source task to kind."""

Candidates = dict[str, dict[str, tuple[str, ...]]]
"""Target task to source task to the kinds in question; none at all where the tasks are unrelated."""


def candidates(relations: Relations, outputs: Mapping[str, Output]) -> Candidates:
    """Work out which kinds of context are in question for each pair of tasks.

    Args:
        relations: "label": the categories of the source, or of the target where the source has none, or the global
            context where both have none. "search": all kinds that the pair can have; a pair of a task with itself has
            the two label contexts in common. The name of a kind: that one for all pairs. A table: as it says, and
            nothing where it says nothing.
        outputs: The tasks, in the order of the network.

    Raises:
        ValueError: If a name is not known, or a task lacks the categories that a context needs.
    """
    found: Candidates = {}
    if isinstance(relations, str):
        rule = choose("relations", relations, _RULES)
        found = {target: {source: rule(target, source, outputs) for source in outputs} for target in outputs}
    else:
        for target in relations:
            if target not in outputs:
                raise unknown("relations", target, outputs)
            for source, kind in relations[target].items():
                if source not in outputs:
                    raise unknown(f"relations[{target!r}]", source, outputs)
                if kind not in (NONE, *CONTEXTS):
                    raise unknown(f"relations[{target!r}][{source!r}]", kind, (NONE, *CONTEXTS))
        for target in outputs:
            row = relations.get(target, {})
            found[target] = {s: () if (kind := row.get(s, NONE)) == NONE else (kind,) for s in outputs}
    for target, row in found.items():
        for source, kinds in row.items():
            for kind in kinds:
                _require_categories(kind, target, source, outputs)
    return found


def reads_labels(kind: str, target: str, source: str) -> str | None:
    """The task whose label map a context of this kind needs, if it needs one."""
    return {None: None, "target": target, "source": source}[CONTEXTS[kind].reads_labels_of]


def _require_categories(kind: str, target: str, source: str, outputs: Mapping[str, Output]) -> None:
    task = reads_labels(kind, target, source)
    if task is not None and outputs[task].categories is None:
        raise ValueError(
            f"`relations` should need no categories of `{task}`, whose labels do not fall into any. Found {kind!r} for "
            f"the target `{target}` and the source `{source}`. Use 'global', 'local' or 'none' there."
        )


def _possible(target: str, source: str, outputs: Mapping[str, Output]) -> tuple[str, ...]:
    kinds = [kind for kind in CONTEXTS if target != source or kind != "source_label"]
    needed = {kind: reads_labels(kind, target, source) for kind in kinds}
    return tuple(kind for kind, task in needed.items() if task is None or outputs[task].categories is not None)


def _by_label(target: str, source: str, outputs: Mapping[str, Output]) -> tuple[str, ...]:
    possible = _possible(target, source, outputs)
    return (next(kind for kind in ("source_label", "target_label", "global") if kind in possible),)


def _always(kind: str) -> Callable[[str, str, Mapping[str, Output]], tuple[str, ...]]:
    return lambda target, source, outputs: (kind,)


_RULES: dict[str, Callable[[str, str, Mapping[str, Output]], tuple[str, ...]]] = {
    LABEL: _by_label,
    SEARCH: _possible,
    **{kind: _always(kind) for kind in CONTEXTS},
}
