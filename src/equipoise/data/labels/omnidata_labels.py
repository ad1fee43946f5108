"""How Omnidata writes labels."""

from pathlib import Path

import torch
from torch import Tensor

from equipoise.data.errors import DatasetError
from equipoise.data.readers.decoding import unit_normals
from equipoise.data.readers.files import read_channels, read_plane, read_wide_plane

UNLABELLED = 255
NO_GEOMETRY = 65535
GREY = 128
SHORTEST = 0.5
"""A vector shorter than this is no direction, but an average of several."""


def number_classes(stored: Tensor, count: int, path: Path) -> Tensor:
    """Return classes from 0 on, uint8 ``[H, W]``, of numbers from 1 on; 255 where the number is 0 or 255.

    Raises:
        DatasetError: There is a number above ``count``.
    """
    unlabelled = (stored == 0) | (stored == UNLABELLED)
    wrong = stored[~unlabelled & (stored > count)].unique().tolist()
    if wrong:
        raise DatasetError(path, f"should hold classes up to {count}; it holds {', '.join(map(str, wrong))}")
    return (stored - 1).masked_fill(unlabelled, UNLABELLED)


def read_depth(path: Path, mask: Path | None) -> Tensor:
    """Return depths in metres, float32 ``[1, H, W]``, 0 where nothing is.

    Raises:
        DatasetError: A file is missing or damaged, or the mask has another size.
    """
    stored = read_wide_plane(path)
    return (stored.float() / 512).where((stored != NO_GEOMETRY) & _seen(mask, stored, path), 0)[None]


def read_normals(path: Path, mask: Path | None) -> Tensor:
    """Return unit vectors, float32 ``[3, H, W]``, zero where nothing is.

    Raises:
        DatasetError: A file is missing or damaged, or the mask has another size.
    """
    stored = read_channels(path)
    known = (stored != GREY).any(dim=0) & _seen(mask, stored[0], path)
    return unit_normals(stored.float() * 2 / 255 - 1, SHORTEST).where(known, 0)


def _seen(mask: Path | None, plane: Tensor, path: Path) -> Tensor:
    """Return where there is something to see, as far as ``mask_valid`` tells."""
    if mask is None:
        return torch.ones_like(plane, dtype=torch.bool)
    valid = read_plane(mask)
    if valid.shape != plane.shape:
        what = f"should have the size of {path.name}, {tuple(plane.shape)}; it has {tuple(valid.shape)}"
        raise DatasetError(mask, what)
    return valid > 0
