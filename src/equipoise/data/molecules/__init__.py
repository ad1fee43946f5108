"""Molecules as graphs: reading them, their features, and the tensors that networks get."""

from equipoise.data.molecules.graphs import GraphCollate, complete_graph
from equipoise.data.molecules.molecule import Molecule, Molecules
from equipoise.data.molecules.pictures import draw_molecule
from equipoise.data.molecules.processed import load

__all__ = ["GraphCollate", "Molecule", "Molecules", "complete_graph", "draw_molecule", "load"]
