"""The message-passing network for molecules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from equipoise._core.extras import import_extra
from equipoise._core.registry import register
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, as_they_are
from equipoise.tasks import Output


class Edges(NamedTuple):
    """The edges of a batch of B graphs of n nodes at most, laid out for `EdgeMessages`.

    Attributes:
        hidden: Hidden features of the edge from s to t, zero where there is none, [B, t, s, K + 1].
        degrees: The number of edges that lead to each node, [N, 1]; 1 where there is none.
        places: Of each node: its graph, and its place there, [N] each.
    """

    hidden: Tensor
    degrees: Tensor
    places: tuple[Tensor, Tensor]


class EdgeMessages(nn.Module):
    """Gilmer et al., "Neural Message Passing for Quantum Chemistry" (ICML 2017), equation for "edge networks".

    A node t with the state h_t gets R h_t + b + the mean over its edges (s, t) of A(e_st) h_s, where the matrix A is
    put out by a network of two layers that reads the edge's features. It computes what `torch_geometric.nn.NNConv` does
    with `aggr="mean"`, and has the same parameters, but makes no matrix for an edge: the network's second layer is
    linear, A(e) = sum_k g_k(e) A_k, so A_k h_s is made once for each node and weighted by the edges. On the complete
    graphs of QM9 it takes less than a tenth of the time on a CPU.

    Args:
        edge_features: Width of the edges' features.
        width: Width of the nodes' states.
        edge_width: Width K of the edge network's hidden layer.
    """

    def __init__(self, edge_features: int, width: int, edge_width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(edge_features, edge_width)
        self.matrices = nn.Linear(edge_width, width * width)
        self.root = nn.Linear(width, width)
        nn.init.zeros_(self.root.bias)

    def prepare(self, graphs: Any) -> Edges:
        """Lay out the edges of a `torch_geometric.data.Batch`, once for all steps."""
        hidden = self.hidden(graphs.edge_attr).relu()
        # A last feature that is one carries the bias of the second layer, along edges that exist.
        hidden = torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)
        starts, nodes = graphs.ptr, torch.arange(len(graphs.batch), device=hidden.device)
        place = nodes - starts[graphs.batch]
        sources, targets = graphs.edge_index
        longest = int(starts.diff().max())
        laid_out = hidden.new_zeros(len(starts) - 1, longest, longest, hidden.shape[1]).index_put(
            (graphs.batch[targets], place[targets], place[sources]), hidden, accumulate=True
        )
        degrees = hidden.new_zeros(len(nodes)).index_add(0, targets, hidden[:, -1]).clamp(min=1)
        return Edges(laid_out, degrees[:, None], (graphs.batch, place))

    def forward(self, states: Tensor, edges: Edges) -> Tensor:
        """States [N, width] to what the nodes get, [N, width]."""
        batch, longest, _, parts = edges.hidden.shape
        width = states.shape[1]
        matrices = torch.cat([self.matrices.weight.T, self.matrices.bias[None]]).reshape(parts, width, width)
        turned = torch.einsum("ni,kio->nko", states, matrices)
        by_graph = turned.new_zeros(batch, longest, parts, width).index_put(edges.places, turned)
        sums = edges.hidden.reshape(batch, longest, -1) @ by_graph.reshape(batch, -1, width)
        return self.root(states) + sums[edges.places] / edges.degrees


@register("mpnn")
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
        geometric = import_extra("torch_geometric.nn", extra="graphs", purpose="Architecture `mpnn`")
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
