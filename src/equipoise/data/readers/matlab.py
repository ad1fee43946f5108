"""Reads MATLAB files, with errors that name the file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from equipoise.data.errors import DatasetError


def read_matrix(path: Path, key: str) -> NDArray[Any]:
    """Return a matrix of numbers of a ``.mat`` file (up to version 7), ``[H, W]``, as it is stored.

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
    """Return a structure of a ``.mat`` file (up to version 7) as dictionaries and lists.

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


def _load(path: Path, key: str, *, simplify_cells: bool) -> Any:
    if not path.is_file():
        raise DatasetError(path, "is missing")
    try:
        variables = loadmat(path, variable_names=[key], simplify_cells=simplify_cells)
    # The decoder has an error of its own and lets index, type and zlib errors of damaged files through.
    except Exception as error:
        raise DatasetError(path, f"cannot be read ({error})") from error
    if key not in variables:
        raise DatasetError(path, f"should hold the variable `{key}`; it does not")
    return variables[key]
