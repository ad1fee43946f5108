"""The properties of QM9 in the units that they are reported in."""

from collections.abc import Mapping, Sequence

HARTREE = 27.211386246
"""In electronvolt."""

PROPERTIES = ("mu", "alpha", "homo", "lumo", "r2", "zpve", "u0", "u298", "h298", "g298", "cv")
"""As the columns of ``gdb9.sdf.csv`` are called, in P2's order of the tasks."""

FREE_ATOMS = {
    "H": (-0.500273, -0.498857, -0.497912, -0.510927),
    "C": (-37.846772, -37.845355, -37.844411, -37.861317),
    "N": (-54.583861, -54.582445, -54.581501, -54.598897),
    "O": (-75.064579, -75.063163, -75.062219, -75.079532),
    "F": (-99.718730, -99.717314, -99.716370, -99.733544),
}
"""Energies of a free atom in Hartree: at 0 K, at 298.15 K, enthalpy, free energy (Ramakrishnan et al. 2014)."""


def converted(raw: Mapping[str, float], elements: Sequence[str]) -> list[float]:
    """Return the properties of a molecule in debye, bohr^3, eV, bohr^2 and cal/(mol K).

    The four energies become energies of atomisation: those of the molecule less those of its free atoms.

    Args:
        raw: By the names of :data:`PROPERTIES`, energies in Hartree.
        elements: The symbols of the atoms.

    Examples:
        >>> methane = dict.fromkeys(PROPERTIES, 0.0) | {"u0": -40.47893}
        >>> round(converted(methane, "CHHHH")[6], 3)
        -17.172
    """
    atoms = [sum(energies) for energies in zip(*(FREE_ATOMS[element] for element in elements), strict=True)]
    found = dict(raw)
    for name, energy in zip(("u0", "u298", "h298", "g298"), atoms, strict=True):
        found[name] -= energy
    for name in ("homo", "lumo", "zpve", "u0", "u298", "h298", "g298"):
        found[name] *= HARTREE
    return [found[name] for name in PROPERTIES]
