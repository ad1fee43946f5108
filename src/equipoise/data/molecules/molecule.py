"""Molecules as tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

ELEMENTS = ("H", "C", "N", "O", "F")
"""The elements of QM9, in the order of the features that say which one an atom is."""

NODE_FEATURES = 11
"""Five that say which element an atom is; atomic number; aromatic; sp, sp2, sp3 hybridised; number of hydrogens."""

BONDS = 4
"""Single, double, triple, aromatic, known by 1 to 4; 0 is no bond."""


class Molecule(NamedTuple):
    """A molecule of A atoms.

    Attributes:
        atoms: Features, uint8 ``[A, 11]``, see :data:`NODE_FEATURES`.
        positions: In angstrom, float32 ``[A, 3]``.
        bonds: Kind of the bond between each two atoms, uint8 ``[A, A]``, see :data:`BONDS`.
    """

    atoms: Tensor
    positions: Tensor
    bonds: Tensor


@dataclass
class Molecules:
    """Many molecules, with their atoms one after the other: a hundred thousand fit into some 100 MB.

    Attributes:
        numbers: What the source calls each molecule, int64 ``[N]``.
        sizes: Their numbers of atoms, int64 ``[N]``.
        atoms: The atoms of all.
        positions: Their positions.
        bonds: The bonds of all, row after row.
        properties: What was measured of each, float64 ``[N, P]``.
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
        """Put molecules, one at least, together, each with its number and properties."""
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
        """Return a molecule; its tensors share memory with these."""
        atoms_end, bonds_end = self._atom_ends[row], self._bond_ends[row]
        size = int(self.sizes[row])
        atoms = slice(atoms_end - size, atoms_end)
        bonds = self.bonds[bonds_end - size * size : bonds_end]
        return Molecule(self.atoms[atoms], self.positions[atoms], bonds.reshape(size, size))
