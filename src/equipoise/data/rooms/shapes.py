"""Meshes with normals and surface coordinates: boxes, tubes, balls, cushions, sheets."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import trimesh
from numpy.typing import NDArray

from equipoise.data.rooms.materials import Material
from equipoise.data.rooms.textures import Array

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Piece:
    """A part of an object: triangles of one material.

    Attributes:
        corners: Triangle corners in metres, shape `[M, 3, 3]` (triangle, corner, xyz).
        normals: Outward unit normals at the corners, shape `[M, 3, 3]`. On curved surfaces they differ in a triangle.
        coordinates: Surface coordinates at the corners in metres, shape `[M, 3, 2]`.
        part: Name of the object part.
        material: How it looks.
        casts_shadow: Whether it blocks light. The shade of a lamp does not.
    """

    corners: Array
    normals: Array
    coordinates: Array
    part: str
    material: Material
    casts_shadow: bool = True

    def placed(self, yaw: float, position: Vector) -> "Piece":
        """Return the piece turned about the vertical axis by `yaw` radians, then moved to `position`."""
        turn = rotation_about_z(yaw)
        return replace(self, corners=self.corners @ turn.T + np.asarray(position), normals=self.normals @ turn.T)


def rotation_about_z(yaw: float) -> Array:
    """Return a rotation matrix, counter-clockwise seen from above."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _flat_coordinates(corners: Array, normals: Array) -> Array:
    """Return coordinates within each flat face: u horizontal if the face allows it, v the other direction."""
    axis = np.abs(normals[:, 0]).argmax(axis=1)
    first = np.array([1, 0, 0])[axis]
    second = np.array([2, 2, 1])[axis]
    rows = np.arange(len(corners))[:, None]
    columns = np.arange(3)[None, :]
    return np.stack([corners[rows, columns, first[:, None]], corners[rows, columns, second[:, None]]], axis=-1)


@lru_cache(maxsize=1)
def _unit_box() -> tuple[Array, Array]:
    mesh = trimesh.creation.box()
    return mesh.triangles.copy(), np.repeat(mesh.face_normals[:, None], 3, axis=1)


@lru_cache(maxsize=2)
def _unit_ball(subdivisions: int) -> Array:
    return trimesh.creation.icosphere(subdivisions=subdivisions).triangles.copy()


@lru_cache(maxsize=4)
def _unit_tube(sections: int) -> tuple[Array, NDArray[np.bool_]]:
    """Return the corners of a tube of radius 1 and height 1 on z = 0, and for each triangle whether it is a cap."""
    mesh = trimesh.creation.cylinder(radius=1.0, height=1.0, sections=sections)
    return mesh.triangles + np.array([0.0, 0.0, 0.5]), np.abs(mesh.face_normals[:, 2]) > 0.5


def box(part: str, material: Material, size: Vector, position: Vector, upright_grain: bool = False) -> Piece:
    """Return a box standing with the middle of its base at `position`.

    Args:
        part: Name of the object part.
        material: How it looks.
        size: Width (x), depth (y) and height (z) in metres.
        position: Middle of the base.
        upright_grain: Whether the texture's u axis runs along the longer side of each face instead of sideways.
    """
    unit, normals = _unit_box()
    corners = unit * np.asarray(size) + np.asarray(position) + np.array([0.0, 0.0, size[2] / 2])
    coordinates = _flat_coordinates(corners, normals)
    if upright_grain:
        coordinates = coordinates[..., ::-1]
    return Piece(corners, normals, coordinates, part, material)


def tube(
    part: str,
    material: Material,
    radius: float,
    top_radius: float,
    height: float,
    position: Vector,
    sections: int = 16,
    casts_shadow: bool = True,
) -> Piece:
    """Return a closed tube or truncated cone standing with the middle of its base at `position`."""
    unit, cap = _unit_tube(sections)
    level = unit[..., 2:]
    corners = np.concatenate([unit[..., :2] * (radius + (top_radius - radius) * level), level * height], axis=-1)
    slope = np.broadcast_to((radius - top_radius) / height, (*level.shape[:2], 1))
    outward = np.hypot(unit[..., :1], unit[..., 1:2]).clip(1e-9)
    up = np.where(unit[..., 2:] > 0.5, 1.0, -1.0) * np.array([0.0, 0.0, 1.0])
    normals = np.where(cap[:, None, None], up, np.concatenate([unit[..., :2] / outward, slope], axis=-1))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    angle = np.arctan2(unit[..., 1], unit[..., 0])
    # Triangles that straddle the seam at angle pi would otherwise squeeze the whole texture into themselves.
    angle = np.where((np.ptp(angle, axis=1) > np.pi)[:, None] & (angle < 0), angle + 2 * np.pi, angle)
    wrapped = np.stack([angle * max(radius, top_radius), corners[..., 2]], axis=-1)
    coordinates = np.where(cap[:, None, None], corners[..., :2], wrapped)
    return Piece(corners + np.asarray(position), normals, coordinates, part, material, casts_shadow)


def cushion(
    part: str,
    material: Material,
    size: Vector,
    position: Vector,
    power: float = 5.0,
    subdivisions: int = 3,
    casts_shadow: bool = True,
) -> Piece:
    """Return a superellipsoid standing with the middle of its base at `position`.

    |x/a|^p + |y/b|^p + |z/c|^p = 1 with half sizes a, b, c: power 2 is an ellipsoid, 5 a soft cushion, 8 nearly a box.
    """
    unit = _unit_ball(subdivisions)
    half = np.asarray(size) / 2
    radius = (np.abs(unit) ** power).sum(axis=-1, keepdims=True) ** (-1 / power)
    surface = unit * radius
    normals = np.sign(surface) * np.abs(surface) ** (power - 1) / half
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    corners = surface * half
    middle = normals.mean(axis=1, keepdims=True)
    coordinates = _flat_coordinates(corners, np.repeat(middle, 3, axis=1))
    corners = corners + np.asarray(position) + np.array([0.0, 0.0, half[2]])
    return Piece(corners, normals, coordinates, part, material, casts_shadow)


def ball(part: str, material: Material, radius: float, position: Vector, casts_shadow: bool = True) -> Piece:
    """Return a ball lying with its lowest point at `position`."""
    piece = cushion(
        part, material, (2 * radius, 2 * radius, 2 * radius), position, power=2.0, casts_shadow=casts_shadow
    )
    across = piece.normals
    angle = np.arctan2(across[..., 1], across[..., 0])
    angle = np.where((np.ptp(angle, axis=1) > np.pi)[:, None] & (angle < 0), angle + 2 * np.pi, angle)
    height = np.arcsin(np.clip(across[..., 2], -1, 1))
    return replace(piece, coordinates=np.stack([angle, height], axis=-1) * radius)


def sheet(part: str, material: Material, grid: Array) -> Piece:
    """Return a curved sheet through a grid of points.

    Args:
        part: Name of the object part.
        material: How it looks.
        grid: Points in metres, shape `[R, C, 3]`.
    """
    rows, columns = grid.shape[:2]
    along_row = np.gradient(grid, axis=1)
    normals = np.cross(along_row, np.gradient(grid, axis=0))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    length = np.linalg.norm(along_row, axis=-1).cumsum(axis=1)
    drop = np.linalg.norm(np.gradient(grid, axis=0), axis=-1).cumsum(axis=0)
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    coordinates = np.stack([length, drop], axis=-1).reshape(-1, 2)
    return Piece(grid.reshape(-1, 3)[faces], normals.reshape(-1, 3)[faces], coordinates[faces], part, material)


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
    """Return a model whose size is measured on its pieces."""
    corners = np.concatenate([piece.corners.reshape(-1, 3) for piece in pieces])
    half = np.abs(corners[:, :2]).max(axis=0)
    size = (float(2 * half[0]), float(2 * half[1]), float(corners[:, 2].max()))
    return Model(category, tuple(pieces), size, tuple(surfaces or ()), light)
