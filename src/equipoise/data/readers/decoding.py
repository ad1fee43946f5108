"""How the public multi-task files of NYUD and PASCAL write normals and masks."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.data.errors import DatasetError
from equipoise.data.readers.files import read_channels, read_numbers

LONGEST = 1.01
"""Above this, what should be a component of a unit vector is none."""


def read_coloured_normals(path: Path) -> Tensor:
    """Return normals stored as colours, n = 2 v / 255 - 1, float32 ``[3, H, W]``; not of unit length yet.

    Raises:
        DatasetError: The file is missing, no image, or has not three channels.
    """
    return read_channels(path).float() * (2 / 255) - 1


def read_stored_normals(path: Path) -> Tensor:
    """Return normals stored as numbers in an array ``.npy`` ``[H, W, 3]``, float32 ``[3, H, W]``.

    Raises:
        DatasetError: The file is missing, or holds what cannot be normals.
    """
    array = read_numbers(path)
    if array.ndim != 3 or array.shape[-1] != 3:
        raise DatasetError(path, f"should have the shape (height, width, 3); it has {array.shape}")
    # Written so that a NaN, which no comparison holds for, is found.
    if array.dtype.kind != "f" or not (np.abs(array) <= LONGEST).all():
        raise DatasetError(path, f"should hold real numbers from -1 to 1; it holds {_extremes(array)}")
    return torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1).contiguous()


def unit_normals(vectors: Tensor, shortest: float) -> Tensor:
    """Return vectors ``[3, H, W]`` of unit length, and zero where they were not longer than ``shortest``.

    Examples:
        >>> unit_normals(torch.tensor([[0.0, 0.004], [0.0, 0.004], [-0.5, 0.004]])[..., None], shortest=0.1).squeeze(-1)
        tensor([[ 0.,  0.],
                [ 0.,  0.],
                [-1.,  0.]])
    """
    # `norm` over the first axis takes sixty times as long.
    length = vectors.square().sum(dim=0, keepdim=True).sqrt()
    return (vectors / length).where(length > shortest, 0)


def as_plane(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array ``[H, W]`` or ``[H, W, 1]`` as ``[H, W]``.

    Raises:
        DatasetError: It has another shape.
    """
    plane = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    if plane.ndim != 2:
        raise DatasetError(path, f"should have the shape (height, width); it has {array.shape}")
    return plane


def bright(plane: Tensor) -> Tensor:
    """Return where a grey picture ``[H, W]`` of 8 bits is brighter than half (128 to 255), uint8 ``[1, H, W]``."""
    return (plane >= 128).to(torch.uint8)[None]


def check_codes(path: Path, codes: NDArray[Any], largest: int, *extra: int) -> None:
    """See that an array holds whole numbers from 0 to ``largest``, or one of a few others.

    Raises:
        DatasetError: It does not; the numbers and how many there are of them are named.
    """
    wrong = codes[~(((codes >= 0) & (codes <= largest) & (codes == np.floor(codes))) | np.isin(codes, extra))]
    if wrong.size:
        named = ", ".join(f"{value:g}" for value in np.unique(wrong)[:5])
        wanted = " or ".join([f"0 to {largest}", *map(str, extra)])
        raise DatasetError(path, f"should hold labels {wanted}; it holds {named} on {wrong.size} pixels")


def _extremes(array: NDArray[Any]) -> str:
    return f"{array.dtype} from {array.min():g} to {array.max():g}" if array.size else "nothing"
