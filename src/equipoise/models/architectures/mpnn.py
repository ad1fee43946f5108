"""The message-passing network for molecules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from equipoise.extras import imported
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, as_they_are
from equipoise.models.blocks.messages import EdgeMessages
from equipoise.tasks import Output


class Mpnn(MultiTaskModel):
    """The network of P2 (Gama and Grassi) for QM9: message passing, set-to-set pooling, a linear layer for each task.

    Gilmer et al., "Neural Message Passing for Quantum Chemistry", ICML 2017: a linear embedding of the nodes; several
    times the same step, messages (see `EdgeMessages`) with a ReLU that update the state by a GRU; then set-to-set
    pooling (Vinyals et al., "Order Matters", ICLR 2016) and a linear layer with ReLU, where the trunk ends. Gilmer et
    al. sum the messages; the mean is P2's and its predecessors'. With its defaults the trunk has 616,960 parameters,
    and each task one linear layer of 65. It needs the extra `graphs`.

    Args:
        tasks: Task name to what is predicted, not dense.
        node_features: Width of the nodes' features.
        edge_features: Width of the edges' features.
        width: Width of the nodes' states.
        edge_width: Width in between of the edge network.
        steps: How often messages are passed.
        pooling_steps: Steps of the set-to-set pooling.

    Raises:
        ValueError: If a task is dense, or torch-geometric is not installed.
    """

    default_backbone = None

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        *,
        node_features: int = 11,
        edge_features: int = 5,
        width: int = 64,
        edge_width: int = 128,
        steps: int = 3,
        pooling_steps: int = 3,
    ) -> None:
        super().__init__(tasks)
        dense = [task for task, output in self.outputs.items() if output.dense]
        if dense:
            raise ValueError(
                f"`tasks` should have one prediction for a whole graph. Found the dense task `{dense[0]}`."
            )
        geometric = imported("torch_geometric.nn", extra="graphs", purpose="Architecture `mpnn`")
        self.steps = steps
        self.embedding = nn.Linear(node_features, width)
        self.messages = EdgeMessages(edge_features, width, edge_width)
        self.update = nn.GRU(width, width)
        self.pooling = geometric.Set2Set(width, processing_steps=pooling_steps)
        self.linear = nn.Linear(2 * width, width)
        for task, outputs in self.tasks.items():
            self.decoders[task] = nn.Linear(width, outputs)

    def forward(self, images: Any, adapt: Adapt = as_they_are) -> Outputs:
        """Predict every task for the graphs of a `torch_geometric.data.Batch` (`x`, `edge_index`, `edge_attr`)."""
        graphs = images
        states = self.embedding(graphs.x).relu()
        memory = states[None]
        edges = self.messages.prepare(graphs)
        for _ in range(self.steps):
            messages = self.messages(states, edges).relu()
            states, memory = self.update(messages[None], memory)
            states = states[0]
        pooled = self.pooling(states, graphs.batch)
        shared: list[Tensor] = [self.linear(pooled).relu()]
        return Outputs({task: decoder(*adapt(task, shared)) for task, decoder in self.decoders.items()}, shared)

    def last_shared_layer(self) -> nn.Module:
        """The linear layer after the pooling."""
        return self.linear
