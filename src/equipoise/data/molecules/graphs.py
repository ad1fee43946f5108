"""What a network reads of molecules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from equipoise.data.collate import stacked_targets
from equipoise.data.molecules.molecule import BONDS, Molecule
from equipoise.extras import imported
from equipoise.tasks import Task


def complete_graph(molecule: Molecule) -> Any:
    """Return a molecule as a ``torch_geometric.data.Data`` in which every two atoms are joined, both ways.

    ``x`` are the features of the atoms, ``edge_attr`` the kind of the bond (four columns, all zero where there is none)
    and the distance in angstrom: five columns; ``pos`` are the positions.

    Raises:
        ValueError: torch-geometric is not installed.

    Examples:
        >>> atoms, bonds = torch.zeros(2, 11), torch.tensor([[0, 1], [1, 0]])
        >>> graph = complete_graph(Molecule(atoms, torch.tensor([[0.0, 0.0, 0.0], [0.0, 3.0, 4.0]]), bonds))
        >>> graph.edge_index.tolist(), graph.edge_attr.tolist()
        ([[0, 1], [1, 0]], [[1.0, 0.0, 0.0, 0.0, 5.0], [1.0, 0.0, 0.0, 0.0, 5.0]])
    """
    geometric = imported("torch_geometric.data", extra="graphs", purpose="A graph")
    edges = _all_pairs(len(molecule.atoms))
    start, end = edges
    kinds = functional.one_hot(molecule.bonds[start, end].long(), BONDS + 1)[:, 1:]
    distances = (molecule.positions[start] - molecule.positions[end]).norm(dim=1, keepdim=True)
    return geometric.Data(
        x=molecule.atoms.float(),
        edge_index=edges,
        edge_attr=torch.cat([kinds.float(), distances], dim=1),
        pos=molecule.positions,
    )


@cache
def _all_pairs(count: int) -> Tensor:
    return (~torch.eye(count, dtype=torch.bool)).nonzero().T.contiguous()


@dataclass(frozen=True)
class GraphCollate:
    """Puts samples with graphs together to a batch; targets as :class:`equipoise.data.Collate` does.

    Attributes:
        input: The key of the graph in a sample.
        tasks: The tasks by name.
    """

    input: str
    tasks: Mapping[str, Task]

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the batch, with a ``torch_geometric.data.Batch`` of the graphs."""
        geometric = imported("torch_geometric.data", extra="graphs", purpose="A batch of graphs")
        graphs = geometric.Batch.from_data_list([sample[self.input] for sample in samples])
        return {self.input: graphs, **stacked_targets(samples, self.tasks)}
