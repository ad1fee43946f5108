"""The files of MNIST and its likes."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from equipoise.data.errors import DatasetError

UNSIGNED_BYTES = 0x08
"""How the format calls the type of the values."""


def read_idx(path: Path) -> Tensor:
    """Return the array of an IDX file, as it is or compressed (``.gz``), as uint8.

    The file begins with two zero bytes, the type of the values, the number of axes, and their lengths, each of four
    bytes with the most significant first.

    Raises:
        DatasetError: The file is missing, damaged or of another type.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        zeros, kind, axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{axes}I", content, 4)
    except FileNotFoundError as error:
        raise DatasetError(path, "is missing") from error
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DatasetError(path, f"cannot be read ({error})") from error
    if zeros != 0 or kind != UNSIGNED_BYTES:
        raise DatasetError(path, f"should be an IDX file of bytes; it begins with {content[:4].hex(' ')}")
    values = content[4 + 4 * axes :]
    if len(values) != math.prod(shape):
        raise DatasetError(path, f"should hold {math.prod(shape)} values, of the shape {shape}; it holds {len(values)}")
    return torch.frombuffer(bytearray(values), dtype=torch.uint8).reshape(shape)
