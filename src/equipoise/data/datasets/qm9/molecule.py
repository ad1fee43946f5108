"""Molecules as tensors, graphs and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from equipoise._core.errors import import_extra
from equipoise.data.core.sample import stack_targets
from equipoise.tasks import Task

ELEMENTS = ("H", "C", "N", "O", "F")
"""The elements of QM9, in the order of the features."""

NODE_FEATURES = 11
"""The element as one of five; atomic number; aromatic; sp, sp2, sp3 hybridised; number of hydrogens."""

BONDS = 4
"""Kinds of bonds: single, double, triple, aromatic, with the codes 1 to 4; 0 is no bond."""


class Molecule(NamedTuple):
    """A molecule of A atoms.

    Attributes:
        atoms: Features, uint8 `[A, 11]`, see `NODE_FEATURES`.
        positions: In angstrom, float32 `[A, 3]`.
        bonds: Kind of the bond between each two atoms, uint8 `[A, A]`, see `BONDS`.
    """

    atoms: Tensor
    positions: Tensor
    bonds: Tensor


@dataclass
class Molecules:
    """Many molecules, with their atoms in sequence. A hundred thousand need about 100 MB.

    Attributes:
        numbers: The number of each molecule in its source, int64 `[N]`.
        sizes: The number of its atoms, int64 `[N]`.
        atoms: The features of all atoms, uint8 `[sum A, 11]`.
        positions: The positions of all atoms, float32 `[sum A, 3]`.
        bonds: The bonds of all molecules, row after row, uint8 `[sum A^2]`.
        properties: The properties of each molecule, float64 `[N, P]`.
    """

    numbers: Tensor
    sizes: Tensor
    atoms: Tensor
    positions: Tensor
    bonds: Tensor
    properties: Tensor

    def __post_init__(self) -> None:
        self._atom_ends: list[int] = self.sizes.cumsum(0).tolist()
        self._bond_ends: list[int] = self.sizes.square().cumsum(0).tolist()

    @classmethod
    def joined(cls, found: Iterable[tuple[int, Molecule, list[float]]]) -> Molecules:
        """Join molecules, at least one, each with its number and properties."""
        numbers, molecules, properties = zip(*found, strict=True)
        return cls(
            torch.tensor(numbers),
            torch.tensor([len(molecule.atoms) for molecule in molecules]),
            torch.cat([molecule.atoms for molecule in molecules]),
            torch.cat([molecule.positions for molecule in molecules]),
            torch.cat([molecule.bonds.flatten() for molecule in molecules]),
            torch.tensor(properties, dtype=torch.float64),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int) -> Molecule:
        """Return a molecule, whose tensors share memory with these."""
        atoms_end, bonds_end = self._atom_ends[row], self._bond_ends[row]
        size = int(self.sizes[row])
        atoms = slice(atoms_end - size, atoms_end)
        bonds = self.bonds[bonds_end - size * size : bonds_end]
        return Molecule(self.atoms[atoms], self.positions[atoms], bonds.reshape(size, size))


def complete_graph(molecule: Molecule) -> Any:
    """Return a molecule as a `torch_geometric.data.Data` in which every two atoms are joined, both ways.

    `x` holds the features of the atoms. `edge_attr` has five columns: four for the kind of the bond, all zero if there
    is none, and the distance in angstrom. `pos` holds the positions.

    Raises:
        ValueError: torch-geometric is not installed.

    Example:
        >>> atoms, bonds = torch.zeros(2, 11), torch.tensor([[0, 1], [1, 0]])
        >>> graph = complete_graph(Molecule(atoms, torch.tensor([[0.0, 0.0, 0.0], [0.0, 3.0, 4.0]]), bonds))
        >>> graph.edge_index.tolist(), graph.edge_attr.tolist()
        ([[0, 1], [1, 0]], [[1.0, 0.0, 0.0, 0.0, 5.0], [1.0, 0.0, 0.0, 0.0, 5.0]])
    """
    geometric = import_extra("torch_geometric.data", extra="graphs", purpose="A graph")
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
    """Joins samples with graphs to a batch. Targets are joined as in `equipoise.data.Collate`.

    Attributes:
        input: The key of the graph in a sample.
        tasks: The tasks by name.
    """

    input: str
    tasks: Mapping[str, Task]

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the batch, with a `torch_geometric.data.Batch` of the graphs."""
        geometric = import_extra("torch_geometric.data", extra="graphs", purpose="A batch of graphs")
        graphs = geometric.Batch.from_data_list([sample[self.input] for sample in samples])
        return {self.input: graphs, **stack_targets(samples, self.tasks)}


COLOURS = {1: "#d0d0d0", 6: "#404040", 7: "#3050f8", 8: "#e01010", 9: "#50b050"}
"""The usual colours by atomic number."""

ATOMIC_NUMBER = 5
"""The column of the features with the atomic number."""


def draw_molecule(graph: Any, side: int = 96) -> Tensor:
    """Return a picture, uint8 `[3, side, side]`, of a graph made by `complete_graph`.

    Atoms have the usual colours, seen from where they spread widest.
    """
    positions = graph.pos - graph.pos.mean(dim=0)
    _, _, axes = torch.linalg.svd(positions, full_matrices=True)
    places = positions @ axes[:2].T
    radius = side / 20
    places = places / places.abs().max().clamp(min=1.0) * (side / 2 - 2 * radius) + side / 2
    picture = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(picture)
    bonds = graph.edge_attr[:, :BONDS].any(dim=1)
    for start, end in graph.edge_index[:, bonds].T.tolist():
        pen.line([*places[start].tolist(), *places[end].tolist()], fill="#909090", width=2)
    for (across, down), number in zip(places.tolist(), graph.x[:, ATOMIC_NUMBER].tolist(), strict=True):
        size = radius * (0.7 if number == 1 else 1)
        box = (across - size, down - size, across + size, down + size)
        pen.ellipse(box, fill=COLOURS[number], outline="black")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
