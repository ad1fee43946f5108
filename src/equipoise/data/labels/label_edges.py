"""Edges drawn from a map of labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.metrics.thinning import pack_levels, thin


def borders(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return which pixels have a neighbour (of four) with another label, ``[H, W]``.

    Examples:
        >>> borders(np.array([[4, 4, 5, 6, 6]])).astype(int)
        array([[0, 1, 1, 1, 0]])
    """
    found = np.zeros(labels.shape, dtype=bool)
    down, across = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= across
    found[:, :-1] |= across
    return found


def laplacian_borders(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return where the sum of a label's differences from its four neighbours is not zero, ``[H, W]``.

    This is what public loaders for PASCAL-Context call edges. Labels are numbers there, so differences cancel: a stripe
    of one pixel between labels one below and one above its own is no edge. At the border of the image the neighbour
    outside is the one inside on the other side.

    Examples:
        >>> laplacian_borders(np.array([[4, 4, 5, 6, 6]])).astype(int)
        array([[0, 1, 0, 1, 0]])
    """
    values = labels.astype(np.int64)
    # An axis of one pixel has no other side to mirror.
    width = [(int(length > 1),) * 2 for length in labels.shape]
    padded = np.pad(values, width, mode="reflect")
    total = np.zeros_like(values)
    for axis, (margin, _) in enumerate(width):
        inner = [slice(edge, edge + length) for (edge, _), length in zip(width, labels.shape, strict=True)]
        for shift in (-margin, margin):
            moved = list(inner)
            moved[axis] = slice(inner[axis].start + shift, inner[axis].stop + shift)
            total += padded[tuple(moved)] - values
    return total != 0


def thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask ``[H, W]`` thinned to lines of one pixel."""
    return thin(pack_levels(mask.astype(np.int64), maps=1))[0] > 0
