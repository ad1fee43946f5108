"""Chemistry of QM9: bonds and features of atoms by RDKit, and units of the properties."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise._core.errors import import_extra
from equipoise.data.datasets.qm9.molecule import ELEMENTS, NODE_FEATURES, Molecule

HYDROGEN = "H"
SINGLE = 1
"""The code of a single bond."""

HARTREE = 27.211386246
"""In electronvolt."""

PROPERTIES = ("mu", "alpha", "homo", "lumo", "r2", "zpve", "u0", "u298", "h298", "g298", "cv")
"""The columns of `gdb9.sdf.csv`, in the order of the tasks."""

FREE_ATOMS = {
    "H": (-0.500273, -0.498857, -0.497912, -0.510927),
    "C": (-37.846772, -37.845355, -37.844411, -37.861317),
    "N": (-54.583861, -54.582445, -54.581501, -54.598897),
    "O": (-75.064579, -75.063163, -75.062219, -75.079532),
    "F": (-99.718730, -99.717314, -99.716370, -99.733544),
}
"""Energies of a free atom in Hartree: at 0 K, at 298.15 K, enthalpy, free energy (Ramakrishnan et al. 2014)."""


def from_smiles(smiles: str, elements: Sequence[str], positions: NDArray[np.floating]) -> Molecule:
    """Return a molecule built from its SMILES and the positions of its atoms.

    The heavy atoms are assumed to have one order in both. If their elements contradict this, they are matched by the
    connections that their distances imply. A hydrogen is bound to the nearest heavy atom. On the molecules of QM9 this
    gives every atom the number of hydrogens that its SMILES has.

    Args:
        smiles: The SMILES without explicit hydrogens.
        elements: The symbols of all atoms.
        positions: Their positions in angstrom, `[A, 3]`.

    Raises:
        ValueError: SMILES and atoms do not match.
    """
    chem = _chem()
    heavy = [atom for atom, element in enumerate(elements) if element != HYDROGEN]
    graph = chem.MolFromSmiles(smiles)
    if graph is None or not heavy:
        raise ValueError(f"{smiles!r} is no molecule")
    symbols = [elements[atom] for atom in heavy]
    if [atom.GetSymbol() for atom in graph.GetAtoms()] != symbols:
        graph = _matched(graph, symbols, positions[heavy])
    bonds = np.zeros((len(elements), len(elements)), np.uint8)
    for start, end, kind in _bonds(graph):
        bonds[heavy[start], heavy[end]] = bonds[heavy[end], heavy[start]] = kind
    for atom, element in enumerate(elements):
        if element == HYDROGEN:
            nearest = heavy[int(np.linalg.norm(positions[heavy] - positions[atom], axis=1).argmin())]
            bonds[atom, nearest] = bonds[nearest, atom] = SINGLE
    return _molecule(elements, positions, bonds, dict(zip(heavy, graph.GetAtoms(), strict=True)))


def from_record(record: Any) -> Molecule:
    """Return a molecule built from a record of an SDF file, as RDKit has read it, with its hydrogens.

    RDKit considers the valences of some molecules of QM9 impossible. Everything else is perceived for them, too.
    """
    chem = _chem()
    chem.SanitizeMol(record, chem.SANITIZE_ALL ^ chem.SANITIZE_PROPERTIES, catchErrors=True)
    elements = [atom.GetSymbol() for atom in record.GetAtoms()]
    bonds = np.zeros((len(elements), len(elements)), np.uint8)
    for start, end, kind in _bonds(record):
        bonds[start, end] = bonds[end, start] = kind
    return _molecule(elements, record.GetConformer().GetPositions(), bonds, dict(enumerate(record.GetAtoms())))


def convert(raw: Mapping[str, float], elements: Sequence[str]) -> list[float]:
    """Return the properties of a molecule in debye, bohr^3, eV, bohr^2 and cal/(mol K).

    The four energies become energies of atomisation: that of the molecule minus those of its free atoms.

    Args:
        raw: The properties by the names of `PROPERTIES`, energies in Hartree.
        elements: The symbols of the atoms.

    Example:
        >>> methane = dict.fromkeys(PROPERTIES, 0.0) | {"u0": -40.47893}
        >>> round(convert(methane, "CHHHH")[6], 3)
        -17.172
    """
    atoms = [sum(energies) for energies in zip(*(FREE_ATOMS[element] for element in elements), strict=True)]
    found = dict(raw)
    for name, energy in zip(("u0", "u298", "h298", "g298"), atoms, strict=True):
        found[name] -= energy
    for name in ("homo", "lumo", "zpve", "u0", "u298", "h298", "g298"):
        found[name] *= HARTREE
    return [found[name] for name in PROPERTIES]


def _chem() -> Any:
    """Return RDKit's main module, with its messages about unusual molecules switched off."""
    import_extra("rdkit.RDLogger", extra="graphs", purpose="Reading molecules").DisableLog("rdApp.*")
    return import_extra("rdkit.Chem", extra="graphs", purpose="Reading molecules")


def _bonds(graph: Any) -> list[tuple[int, int, int]]:
    types = _chem().BondType
    kinds = {types.SINGLE: SINGLE, types.DOUBLE: 2, types.TRIPLE: 3, types.AROMATIC: 4}
    return [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), kinds[bond.GetBondType()]) for bond in graph.GetBonds()]


def _matched(graph: Any, symbols: Sequence[str], positions: NDArray[np.floating]) -> Any:
    """Return the molecule with its atoms in the order that matches the connections implied by short distances."""
    chem = _chem()
    lines = [f"{s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip(symbols, positions, strict=True)]
    bare = chem.MolFromXYZBlock("\n".join([str(len(lines)), "", *lines]))
    import_extra("rdkit.Chem.rdDetermineBonds", extra="graphs", purpose="Reading molecules").DetermineConnectivity(bare)
    plain = chem.RWMol(graph)
    for bond in plain.GetBonds():
        bond.SetBondType(chem.BondType.SINGLE)
        bond.SetIsAromatic(False)
    for molecule in (plain, bare):
        for atom in molecule.GetAtoms():
            atom.SetFormalCharge(0)
            atom.SetIsAromatic(False)
    order = bare.GetSubstructMatch(plain)
    if len(order) != len(symbols) or bare.GetNumBonds() != plain.GetNumBonds():
        raise ValueError(f"the atoms {' '.join(symbols)} do not go with {chem.MolToSmiles(graph)!r}")
    return chem.RenumberAtoms(graph, [order.index(place) for place in range(len(order))])


def _molecule(
    elements: Sequence[str], positions: NDArray[np.floating], bonds: NDArray[np.uint8], described: dict[int, Any]
) -> Molecule:
    kinds = _chem().HybridizationType
    hybridised = (kinds.SP, kinds.SP2, kinds.SP3)
    features = np.zeros((len(elements), NODE_FEATURES), np.uint8)
    for atom, element in enumerate(elements):
        if element not in ELEMENTS:
            raise ValueError(f"has an atom of {element!r}, which is none of {' '.join(ELEMENTS)}")
        features[atom, ELEMENTS.index(element)] = 1
    hydrogens = features[:, 0]
    features[:, 5] = [_chem().GetPeriodicTable().GetAtomicNumber(element) for element in elements]
    for place, atom in described.items():
        features[place, 6:10] = [atom.GetIsAromatic(), *(atom.GetHybridization() == kind for kind in hybridised)]
    features[:, 10] = (bonds > 0) @ hydrogens
    return Molecule(
        torch.from_numpy(features), torch.from_numpy(np.asarray(positions, np.float32)), torch.from_numpy(bonds)
    )
