"""What is in the folders of the public multi-task NYUD trees, and how it is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.data.errors import DatasetError
from equipoise.data.labels.nyu_classes import NYU_CLASSES
from equipoise.data.readers.decoding import as_plane, bright, check_codes, read_coloured_normals, read_stored_normals
from equipoise.data.readers.files import read_colours, read_numbers, read_plane
from equipoise.data.readers.matlab import read_matrix

FARTHEST = 20.0
"""Depths above this are no metres: the sensor reaches ten."""


def read_labels(path: Path, stored: NDArray[Any]) -> Tensor:
    """Return class indices, uint8 ``[H, W]``, of labels that count from 1 and are 0 where unlabelled."""
    check_codes(path, stored, len(NYU_CLASSES))
    # As a byte, 0 - 1 is 255.
    return torch.from_numpy(stored.astype(np.uint8)) - 1


def read_depth(path: Path, stored: NDArray[Any]) -> Tensor:
    """Return depths, float32 ``[1, H, W]``."""
    depth = as_plane(path, stored)
    if depth.dtype.kind != "f":
        raise DatasetError(path, f"should hold metres as real numbers; it holds {depth.dtype}")
    # Written so that a NaN, which no comparison holds for, is found.
    wrong = depth[~((depth >= 0) & (depth <= FARTHEST))]
    if wrong.size:
        raise DatasetError(
            path, f"should hold metres from 0 to {FARTHEST:g}; it holds {wrong[0]:g} and {wrong.size - 1} more"
        )
    return torch.from_numpy(depth.astype(np.float32))[None]


def read_drawn_edges(path: Path) -> Tensor:
    """Return edges that are drawn in white on black, uint8 ``[1, H, W]`` of 0 and 1; grey belongs to the nearer."""
    plane = read_plane(path)
    if plane.max() == 1:
        raise DatasetError(path, "should hold brightness up to 255; it holds 0 and 1 alone")
    return bright(plane)


def read_stored_edges(path: Path) -> Tensor:
    """Return edges that are stored as 0 and 1, uint8 ``[1, H, W]``; a number between belongs to the nearer."""
    edges = as_plane(path, read_numbers(path))
    if not ((edges >= 0) & (edges <= 1)).all():
        raise DatasetError(path, f"should hold numbers from 0 to 1; it holds {edges.min():g} to {edges.max():g}")
    return torch.from_numpy((edges >= 0.5).astype(np.uint8))[None]


LAYOUT: dict[str, tuple[str, dict[str, Callable[[Path], Tensor]]]] = {
    "image": ("images", {"jpg": read_colours, "png": read_colours}),
    "seg": (
        "segmentation",
        {
            "png": lambda path: read_labels(path, read_plane(path).numpy()),
            "mat": lambda path: read_labels(path, read_matrix(path, "segmentation")),
        },
    ),
    "depth": (
        "depth",
        {
            "npy": lambda path: read_depth(path, read_numbers(path)),
            "mat": lambda path: read_depth(path, read_matrix(path, "depth")),
        },
    ),
    "normals": (
        "normals",
        {"npy": read_stored_normals, "png": read_coloured_normals, "jpg": read_coloured_normals},
    ),
    "edge": ("edge", {"png": read_drawn_edges, "npy": read_stored_edges}),
}
"""Where each part of a sample lies: the folder, and what reads its files by their ending."""
