"""PLE: experts for all tasks and experts for one, in several levels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.architectures.mmoe import Experts, Gate, check_widths, flattened, tower
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.tasks import Output


@register("ple")
class Ple(MultiTaskModel):
    """Progressive layered extraction, for vectors and (flattened) small images.

    Tang et al., "Progressive Layered Extraction: A Novel Multi-Task Learning Model for Personalized Recommendations",
    RecSys 2020, figure 5. Every level has experts for all tasks and experts for each task. A task's gate mixes its own
    experts and the common ones; on all levels but the last a common gate mixes all experts of all tasks (section 4.2).
    Experts and gate of a task read the task's mixture of the level before; common experts and common gate read the
    common mixture. At the first level all read the input. With one level it is customized gate control (section 4.1,
    figure 4).

    LibMTL's code has no common gate: there the common experts of a level read each task's own mixture in turn.

    Through the common gates the experts of a task reach all tasks, except those of the last level. A task therefore
    owns its tower, its experts of the last level, and its gates of the last two levels. The trunk ends with the results
    of the common experts of the last level, and with the tensors that the tasks' gates of the level before read.

    Args:
        tasks: The output of each task, not dense.
        inputs: Length of the vectors, or number of values of an image.
        levels: Number of levels.
        common_experts: Experts for all tasks at each level.
        own_experts: Experts for each task at each level.
        expert_widths: Width of each layer of an expert.
        tower_widths: Widths of a tower's hidden layers; with none, a tower is one linear layer.

    Raises:
        ValueError: A task is dense, or a number is not positive.
    """

    default_backbone = None

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        *,
        inputs: int,
        levels: int = 2,
        common_experts: int = 1,
        own_experts: int = 1,
        expert_widths: Sequence[int] = (64,),
        tower_widths: Sequence[int] = (),
    ) -> None:
        super().__init__(tasks)
        check_widths(
            self.outputs, inputs, expert_widths, levels=levels, common_experts=common_experts, own_experts=own_experts
        )
        self.inputs = inputs
        widths = [inputs, *[expert_widths[-1]] * (levels - 1)]
        self.levels = nn.ModuleList(
            Level(list(self.tasks), width, common_experts, own_experts, expert_widths) for width in widths
        )
        self.common_gates = nn.ModuleList(Gate(width, self._levels[0].experts) for width in widths[:-1])
        for task, outputs in self.tasks.items():
            self.decoders[task] = tower((expert_widths[-1], *tower_widths, outputs))

    @property
    def _levels(self) -> list[Level]:
        return cast("list[Level]", list(self.levels))

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task from [B, inputs], or [B, ...] with as many values."""
        common = flattened(images, self.inputs)
        own = common[:, None].expand(-1, len(self.tasks), -1)
        *levels, last = self._levels
        ends: list[Tensor] = []
        for level, common_gate in zip(levels, self.common_gates, strict=True):
            experts = level(common, own)
            if level is not levels[-1]:
                own = torch.stack([level.mix(task, own, experts) for task in self.tasks], dim=1)
            else:
                # Views: the common experts of the last level are computed from these tensors.
                ends = [experts.view_as(experts)]
                if level is not levels[0]:
                    ends.append(own.view_as(own))
            common = common_gate(common, experts)
        shared = [*ends, last.common(common)]
        predictions = {}
        for index, (task, decoder) in enumerate(self.decoders.items()):
            *read, common_results = adapt(task, shared)
            mixture = own[:, index]
            if levels:
                mixture = levels[-1].mix(task, read[1] if len(read) > 1 else own, read[0])
            results = torch.cat([common_results, last.own[task](mixture)], dim=1)
            predictions[task] = decoder(last.gates[task](mixture, results))
        return Outputs(predictions, shared)

    def last_shared_layer(self) -> nn.Module:
        """Return the last layer of the common experts of the last level."""
        return self._levels[-1].common.layers[-1]

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """Return the tower, the task's experts of the last level and its gates of the last two."""
        levels = self._levels
        return [self.decoders[task], levels[-1].own[task], *(level.gates[task] for level in levels[-2:])]


class Level(nn.Module):
    """A level: experts for all tasks, experts for each task, and each task's gate.

    Args:
        tasks: The names of the tasks.
        width: Length of the vectors that experts and gates read.
        common_experts: Number of experts for all tasks.
        own_experts: Number of experts for each.
        expert_widths: Width of each layer of an expert.
    """

    def __init__(
        self, tasks: Sequence[str], width: int, common_experts: int, own_experts: int, expert_widths: Sequence[int]
    ) -> None:
        super().__init__()
        self.counts = (common_experts, *[own_experts] * len(tasks))
        self.common = Experts(common_experts, width, expert_widths)
        self.own = nn.ModuleDict({task: Experts(own_experts, width, expert_widths) for task in tasks})
        self.gates = nn.ModuleDict({task: Gate(width, common_experts + own_experts) for task in tasks})

    @property
    def experts(self) -> int:
        """The number of all experts."""
        return sum(self.counts)

    def forward(self, common: Tensor, own: Tensor) -> Tensor:
        """Return the results of all experts, [B, experts, d]: the common ones, then those of each task.

        Args:
            common: Input of the common experts, [B, width].
            own: Input of each task's experts, [B, T, width].
        """
        results = [experts(own[:, index]) for index, experts in enumerate(self.own.values())]
        return torch.cat([self.common(common), *results], dim=1)

    def mix(self, task: str, own: Tensor, experts: Tensor) -> Tensor:
        """Return the mixture of the common experts and a task's own, [B, d].

        Args:
            task: The task.
            own: Input of each task's gate, [B, T, width].
            experts: The results of all experts.
        """
        index = list(self.gates).index(task)
        common, *others = experts.split(self.counts, dim=1)
        return self.gates[task](own[:, index], torch.cat([common, others[index]], dim=1))
