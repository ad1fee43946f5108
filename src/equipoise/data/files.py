"""Reads single files into tensors, with errors that name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class DatasetError(RuntimeError):
    """A file of a dataset is missing, cannot be read or holds what it should not.

    Attributes:
        path: The file or directory.
        what: What is wrong with it.
    """

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn the many errors of the decoders into one that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise DatasetError(path, "is missing") from error
    except (OSError, ValueError, EOFError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        raise DatasetError(path, f"cannot be read ({error})") from error


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        DatasetError: The file is missing or no text.
    """
    with _naming(path):
        return path.read_text(encoding="utf-8")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file without empty ones.

    Raises:
        DatasetError: The file is missing or no text.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_colours(path: Path) -> Tensor:
    """Return a colour image as uint8 ``[3, H, W]``.

    Raises:
        DatasetError: The file is missing or no image.
    """
    with _naming(path), Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def read_plane(path: Path) -> Tensor:
    """Return an image of one channel as it is stored, uint8 ``[H, W]``.

    Raises:
        DatasetError: The file is missing, no image, or has several channels or more than 8 bits.
    """
    with _naming(path), Image.open(path) as image:
        mode, pixels = image.mode, np.array(image)
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise DatasetError(path, f"should have one channel of 8 bits; it has the mode {mode!r}")
    return torch.from_numpy(pixels)


def read_array(path: Path, channels: int) -> Tensor:
    """Return a floating-point array ``.npy``, ``[H, W]`` or ``[H, W, C]``, as ``[C, H, W]`` of the stored type.

    Raises:
        DatasetError: The file is missing, no array, or of another type or shape.
    """
    with _naming(path):
        array = np.load(path, allow_pickle=False)
    if array.dtype not in (np.float16, np.float32):
        raise DatasetError(path, f"should hold float16 or float32; it holds {array.dtype}")
    planes = array[..., None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[-1] != channels:
        raise DatasetError(path, f"should have the shape (height, width, {channels}); it has {array.shape}")
    return torch.from_numpy(planes).permute(2, 0, 1).contiguous()
