"""Pictures of molecules."""

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from equipoise.data.molecules.molecule import BONDS

COLOURS = {1: "#d0d0d0", 6: "#404040", 7: "#3050f8", 8: "#e01010", 9: "#50b050"}
"""By atomic number, in the usual colours."""

ATOMIC_NUMBER = 5
"""The column of the features that holds it."""


def draw_molecule(graph: Any, side: int = 96) -> Tensor:
    """Return a picture, uint8 ``[3, side, side]``, of what :func:`complete_graph` makes of a molecule.

    Atoms are in the usual colours, seen from where they spread widest.
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
