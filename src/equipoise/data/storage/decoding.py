"""Decoders that several datasets share: normals, label codes, MATLAB files, and resampling."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import loadmat
from torch import Tensor
from torchvision.transforms.v2.functional import InterpolationMode, resize

from equipoise.data.core.sample import DatasetError
from equipoise.data.storage.files import read_channels, read_numbers

LONGEST = 1.01
"""The largest component of a unit vector that is accepted; 1 up to rounding."""


def read_coloured_normals(path: Path) -> Tensor:
    """Return normals stored as colours, n = 2 v / 255 - 1, float32 `[3, H, W]`. They are not scaled to unit length.

    Raises:
        DatasetError: The file is missing, no image, or has other than three channels.
    """
    return read_channels(path).float() * (2 / 255) - 1


def read_stored_normals(path: Path) -> Tensor:
    """Return normals stored as numbers in an array `.npy` `[H, W, 3]`, float32 `[3, H, W]`.

    Raises:
        DatasetError: The file is missing, or its numbers cannot be normals.
    """
    array = read_numbers(path)
    if array.ndim != 3 or array.shape[-1] != 3:
        raise DatasetError(path, f"should have the shape (height, width, 3); it has {array.shape}")
    # No comparison holds for a NaN, so the condition is negated as a whole.
    if array.dtype.kind != "f" or not (np.abs(array) <= LONGEST).all():
        raise DatasetError(path, f"should hold real numbers from -1 to 1; it holds {_extremes(array)}")
    return torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1).contiguous()


def unit_normals(vectors: Tensor, shortest: float) -> Tensor:
    """Return vectors `[3, H, W]` scaled to unit length, and zero where their length was at most `shortest`.

    Example:
        >>> unit_normals(torch.tensor([[0.0, 0.004], [0.0, 0.004], [-0.5, 0.004]])[..., None], shortest=0.1).squeeze(-1)
        tensor([[ 0.,  0.],
                [ 0.,  0.],
                [-1.,  0.]])
    """
    # `norm` over the first axis takes sixty times as long.
    length = vectors.square().sum(dim=0, keepdim=True).sqrt()
    return (vectors / length).where(length > shortest, 0)


def as_plane(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array `[H, W]` or `[H, W, 1]` as `[H, W]`.

    Raises:
        DatasetError: It has another shape.
    """
    plane = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    if plane.ndim != 2:
        raise DatasetError(path, f"should have the shape (height, width); it has {array.shape}")
    return plane


def bright(plane: Tensor) -> Tensor:
    """Return 1 where a grey picture `[H, W]` of 8 bits has 128 to 255, else 0, as uint8 `[1, H, W]`."""
    return (plane >= 128).to(torch.uint8)[None]


def check_codes(path: Path, codes: NDArray[Any], largest: int, *extra: int) -> None:
    """Check that an array holds whole numbers from 0 to `largest`, or one of a few others.

    Raises:
        DatasetError: It holds other numbers; the message lists them.
    """
    wrong = codes[~(((codes >= 0) & (codes <= largest) & (codes == np.floor(codes))) | np.isin(codes, extra))]
    if wrong.size:
        named = ", ".join(f"{value:g}" for value in np.unique(wrong)[:5])
        wanted = " or ".join([f"0 to {largest}", *map(str, extra)])
        raise DatasetError(path, f"should hold labels {wanted}; it holds {named} on {wrong.size} pixels")


def read_matrix(path: Path, key: str) -> NDArray[Any]:
    """Return a matrix of numbers from a `.mat` file (up to version 7), `[H, W]`, as it is stored.

    Args:
        path: The file.
        key: The name of the variable.

    Raises:
        DatasetError: The file is missing, no MATLAB file, or has no such matrix.
    """
    matrix = _load(path, key, simplify_cells=False)
    if not isinstance(matrix, np.ndarray) or matrix.dtype.kind not in "buif" or matrix.ndim != 2:
        raise DatasetError(path, f"should hold a matrix of numbers as `{key}`; it holds something else")
    return matrix


def read_structure(path: Path, key: str) -> dict[str, Any]:
    """Return a structure from a `.mat` file (up to version 7) as dictionaries and lists.

    Args:
        path: The file.
        key: The name of the variable.

    Raises:
        DatasetError: The file is missing, no MATLAB file, or has no such structure.
    """
    structure = _load(path, key, simplify_cells=True)
    if not isinstance(structure, dict):
        raise DatasetError(path, f"should hold a structure as `{key}`; it holds something else")
    return structure


def resample_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return an image, uint8 `[3, H, W]`, at another (height, width): bilinear and antialiased."""
    return resize(image, list(size), interpolation=InterpolationMode.BILINEAR, antialias=True)


def resample_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return labels of any type, `[..., H, W]`, at another (height, width), each that of the nearest pixel.

    Example:
        >>> resample_labels(torch.arange(12).reshape(1, 12), (1, 3))
        tensor([[ 2,  6, 10]])
    """
    rows, columns = (
        ((torch.arange(wanted) + 0.5) * length / wanted).floor().long()
        for wanted, length in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[..., rows, :][..., columns]


def centre_crop(values: Tensor, side: int) -> Tensor:
    """Return the square of the given side from the middle of `[..., H, W]`."""
    top, left = ((length - side) // 2 for length in values.shape[-2:])
    return values[..., top : top + side, left : left + side]


def _extremes(array: NDArray[Any]) -> str:
    return f"{array.dtype} from {array.min():g} to {array.max():g}" if array.size else "nothing"


def _load(path: Path, key: str, *, simplify_cells: bool) -> Any:
    if not path.is_file():
        raise DatasetError(path, "is missing")
    try:
        variables = loadmat(path, variable_names=[key], simplify_cells=simplify_cells)
    # For damaged files the decoder raises an error of its own, or index, type and zlib errors.
    except Exception as error:
        raise DatasetError(path, f"cannot be read ({error})") from error
    if key not in variables:
        raise DatasetError(path, f"should hold the variable `{key}`; it does not")
    return variables[key]
