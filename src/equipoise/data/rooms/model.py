"""What furniture builders return: an object in its own coordinates."""

from dataclasses import dataclass

import numpy as np

from equipoise.data.rooms.shapes import Piece


@dataclass(frozen=True)
class Surface:
    """A horizontal rectangle on which smaller things can stand (object coordinates, metres)."""

    left: float
    right: float
    front: float
    back: float
    height: float
    headroom: float


@dataclass(frozen=True)
class Model:
    """An object standing on z = 0, centred on x = y = 0, its back towards +y.

    Attributes:
        category: Name of its semantic class.
        pieces: Its parts.
        size: Width (x), depth (y) and height (z) of the space it needs, in metres.
        surfaces: Where smaller things can stand.
        light: Height above z = 0 of the middle of a lit lamp or a window, None for everything else.
    """

    category: str
    pieces: tuple[Piece, ...]
    size: tuple[float, float, float]
    surfaces: tuple[Surface, ...] = ()
    light: float | None = None


def model(
    category: str, pieces: list[Piece], surfaces: list[Surface] | None = None, light: float | None = None
) -> Model:
    """A model whose size is measured on its pieces."""
    corners = np.concatenate([piece.corners.reshape(-1, 3) for piece in pieces])
    half = np.abs(corners[:, :2]).max(axis=0)
    size = (float(2 * half[0]), float(2 * half[1]), float(corners[:, 2].max()))
    return Model(category, tuple(pieces), size, tuple(surfaces or ()), light)
