"""Readers of single files: text, images, arrays and lists. Their errors name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from equipoise.data.core.sample import DatasetError

_HEADERS = Lock()
"""The lock that is held while an array is read. Its header is a Python literal, and in threads the parser of literals
sometimes raises a SystemError (https://github.com/python/cpython/issues/106905)."""

SAMPLE = 0.1
"""A list shorter than this share of the official one counts as a sample of the dataset, made on purpose."""


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn the errors of the decoders into a `DatasetError` that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise DatasetError(path, "is missing") from error
    except (OSError, ValueError, EOFError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        raise DatasetError(path, f"cannot be read ({error})") from error


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        DatasetError: The file is missing or no text.
    """
    with _naming(path):
        return path.read_text(encoding="utf-8-sig")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file without empty ones.

    Raises:
        DatasetError: The file is missing or no text.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_identifiers(path: Path) -> list[str]:
    """Return the names of samples in a list with one name a line, in its order.

    Raises:
        DatasetError: The list is missing, no text, empty, or names a sample twice.
    """
    identifiers = read_lines(path)
    if not identifiers:
        raise DatasetError(path, "lists nothing")
    seen: set[str] = set()
    for identifier in identifiers:
        if identifier in seen:
            raise DatasetError(path, f"lists {identifier!r} twice")
        seen.add(identifier)
    return identifiers


def count_faults(path: Path, found: int, official: int, source: str) -> list[DatasetError]:
    """Return an error if a list has not its official length.

    A small sample of a dataset, for a test or a demonstration, is accepted. Half a dataset is an interrupted download.

    Args:
        path: The list.
        found: The number of samples in the list.
        official: The number of samples in the dataset.
        source: Where to get the dataset.

    Example:
        >>> str(count_faults(Path("train.txt"), 700, 795, "the authors")[0])
        'train.txt: should list 795 images; it lists 700. Get all from the authors'
        >>> count_faults(Path("train.txt"), 8, 795, "the authors")
        []
    """
    if found == official or found < SAMPLE * official:
        return []
    return [DatasetError(path, f"should list {official} images; it lists {found}. Get all from {source}")]


def read_colours(path: Path) -> Tensor:
    """Return a colour image as uint8 `[3, H, W]`.

    Raises:
        DatasetError: The file is missing or no image.
    """
    with _naming(path), Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def read_plane(path: Path) -> Tensor:
    """Return an image of one channel as it is stored, uint8 `[H, W]`.

    Raises:
        DatasetError: The file is missing, no image, or has several channels or more than 8 bits.
    """
    with _naming(path), Image.open(path) as image:
        mode, pixels = image.mode, np.array(image)
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise DatasetError(path, f"should have one channel of 8 bits; it has the mode {mode!r}")
    return torch.from_numpy(pixels)


def read_numbers(path: Path) -> NDArray[Any]:
    """Return an array `.npy` of any shape as it is stored: booleans, integers or real numbers.

    Raises:
        DatasetError: The file is missing, no array, or holds something else than numbers.
    """
    with _naming(path), _HEADERS:
        array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        raise DatasetError(path, f"should hold one array of numbers; it holds {getattr(array, 'dtype', 'several')}")
    return array


def read_array(path: Path, channels: int) -> Tensor:
    """Return a floating-point array `.npy`, `[H, W]` or `[H, W, C]`, as `[C, H, W]` of the stored type.

    Raises:
        DatasetError: The file is missing, no array, or of another type or shape.
    """
    array = read_numbers(path)
    if array.dtype not in (np.float16, np.float32):
        raise DatasetError(path, f"should hold float16 or float32; it holds {array.dtype}")
    planes = array[..., None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[-1] != channels:
        raise DatasetError(path, f"should have the shape (height, width, {channels}); it has {array.shape}")
    return torch.from_numpy(planes).permute(2, 0, 1).contiguous()


def read_wide_plane(path: Path) -> Tensor:
    """Return an image of one channel of 16 bits as it is stored, 0 to 65535, int32 `[H, W]`.

    Raises:
        DatasetError: The file is missing, no image, or has several channels or fewer than 16 bits.
    """
    with _naming(path), Image.open(path) as image:
        mode, pixels = image.mode, np.array(image)
    # Older versions of Pillow widen 16 bits to the mode "I".
    if mode not in ("I;16", "I;16B", "I"):
        raise DatasetError(path, f"should have one channel of 16 bits; it has the mode {mode!r}")
    return torch.from_numpy(pixels.astype(np.int32))


def read_channels(path: Path) -> Tensor:
    """Return an image whose three channels hold numbers, not colours, as uint8 `[3, H, W]`.

    Raises:
        DatasetError: The file is missing, no image, or has other than three channels of 8 bits. (A fourth one, opacity,
            is left out.)
    """
    with _naming(path), Image.open(path) as image:
        mode, pixels = image.mode, np.array(image)
    if mode not in ("RGB", "RGBA"):
        raise DatasetError(path, f"should have three channels of 8 bits; it has the mode {mode!r}")
    return torch.from_numpy(pixels[..., :3]).permute(2, 0, 1).contiguous()


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image without decoding it.

    Raises:
        DatasetError: The file is missing or no image.
    """
    with _naming(path), Image.open(path) as image:
        return image.height, image.width


def read_map(path: Path) -> Tensor:
    """Return the values of a map of any sort, `[C, H, W]`.

    Images become uint8, int32 (16 bits and more) or float32. Opacity is left out, and a palette's indices are read.
    Arrays `.npy`, `[H, W]` or `[H, W, C]`, become int32 or float32, so uint8 always means bytes of an image.

    Raises:
        DatasetError: The file is missing, damaged, or neither image nor array of such a shape.
    """
    if path.suffix == ".npy":
        pixels = read_numbers(path)
    else:
        with _naming(path), Image.open(path) as image:
            opaque = {"RGBA": "RGB", "LA": "L", "PA": "P"}.get(image.mode)
            pixels = np.array(image if opaque is None else image.convert(opaque))
    if pixels.ndim not in (2, 3):
        raise DatasetError(
            path, f"should have the shape (height, width) or (height, width, channels); it has {pixels.shape}"
        )
    if path.suffix == ".npy" or pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32 if pixels.dtype.kind in "bf" else np.int32)
    return torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1).contiguous()
