"""Experts for all tasks, a gate for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from equipoise.models.base import Adapt, MultiTaskModel, Outputs, as_they_are
from equipoise.models.blocks.experts import Experts, Gate, check_widths, flattened, tower
from equipoise.tasks import Output


class Mmoe(MultiTaskModel):
    """Multi-gate mixture of experts (Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts", KDD 2018, figure 1c and equations 5 to 7), for vectors and, flattened, small images.

    Experts, networks of linear layers with ReLU, read the input; the gate of every task, a softmax of a linear layer on
    the same input, mixes them for the task's tower. The mixture is made of what `adapt` makes of the experts' results,
    [B, experts, width], which are where the trunk ends. Gates and towers belong to their tasks, experts to all.

    Args:
        tasks: Task name to what is predicted, not dense.
        inputs: Width of the vectors, or number of values of an image.
        experts: Number of experts.
        expert_widths: Width after each layer of an expert.
        tower_widths: Widths between an expert's and the prediction; with none a tower is one linear layer.

    Raises:
        ValueError: If a task is dense, or a number is not positive.
    """

    default_backbone = None

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        *,
        inputs: int,
        experts: int = 4,
        expert_widths: Sequence[int] = (64, 64),
        tower_widths: Sequence[int] = (),
    ) -> None:
        super().__init__(tasks)
        check_widths(self.outputs, inputs, expert_widths, experts=experts)
        self.inputs = inputs
        self.experts = Experts(experts, inputs, expert_widths)
        self.gates = nn.ModuleDict({task: Gate(inputs, experts) for task in self.tasks})
        for task, outputs in self.tasks.items():
            self.decoders[task] = tower((expert_widths[-1], *tower_widths, outputs))

    def forward(self, images: Tensor, adapt: Adapt = as_they_are) -> Outputs:
        """Predict every task from [B, inputs], or [B, ...] with as many values."""
        vectors = flattened(images, self.inputs)
        shared = [self.experts(vectors)]
        predictions = {}
        for task, decoder in self.decoders.items():
            (experts,) = adapt(task, shared)
            predictions[task] = decoder(self.gates[task](vectors, experts))
        return Outputs(predictions, shared)

    def last_shared_layer(self) -> nn.Module:
        """The last layer of the experts."""
        return self.experts.layers[-1]

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """Gate and tower."""
        return [self.gates[task], self.decoders[task]]
