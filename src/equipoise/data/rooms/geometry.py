"""Ray casting over all triangles of a scene, which are kept in flat arrays."""

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from equipoise.data.rooms.classes import OPENINGS, PART_CLASSES, SEMANTIC_CLASSES
from equipoise.data.rooms.materials import Texture
from equipoise.data.rooms.scene import Item, Scene
from equipoise.data.rooms.shapes import Piece
from equipoise.data.rooms.textures import Array


def dot(first: Array, second: Array) -> Array:
    """Return the scalar products of corresponding rows, `[N, 3]` and `[N, 3]` -> `[N]`."""
    return np.einsum("ij,ij->i", first, second)


def lengths(vectors: Array) -> Array:
    """Return the Euclidean lengths of rows, `[N, 3]` -> `[N]`."""
    return np.sqrt(dot(vectors, vectors))


def unit(vectors: Array) -> Array:
    """Return the rows scaled to length 1, `[N, 3]` -> `[N, 3]`."""
    return vectors / lengths(vectors).clip(1e-12)[:, None]


Index = NDArray[np.integer]


class Surfaces:
    """A scene prepared for rendering.

    Attributes:
        triangle_piece: Piece of each triangle, shape `[M]`.
        piece_class: Semantic class of each piece, shape `[P]`.
        piece_part: Object part of each piece, shape `[P]`.
        piece_instance: Instance number of each piece, 0 for the room's structure, shape `[P]`.
        carrier: For each instance number the one it stands on, shape `[I + 1]`.
        instance_class: Semantic class of each instance number, shape `[I + 1]`; entry 0 is meaningless.
        targets: Middle of each object worth looking at, in metres, shape `[K, 3]`.
        textures: The different texture functions.
        piece_texture: Index into `textures` of each piece, shape `[P]`.
        first: First colour of each piece, shape `[P, 3]`; `second`, `period`, `gloss` and `glow` likewise.
    """

    def __init__(self, scene: Scene) -> None:
        pieces: list[Piece] = []
        classes: list[int] = []
        instances: list[int] = []
        for category, piece in scene.shell:
            pieces.append(piece)
            classes.append(SEMANTIC_CLASSES.index(category))
            instances.append(0)
        for number, item in enumerate(scene.items, start=1):
            pieces += item.pieces
            classes += [SEMANTIC_CLASSES.index(item.category)] * len(item.pieces)
            instances += [number] * len(item.pieces)
        self.piece_class = np.array(classes, np.uint8)
        self.piece_instance = np.array(instances, np.uint16)
        self.piece_part = np.array([PART_CLASSES.index(piece.part) for piece in pieces], np.uint8)
        self.carrier = np.array([0, *(item.carrier for item in scene.items)])
        self.instance_class = np.array([0, *(SEMANTIC_CLASSES.index(item.category) for item in scene.items)])
        self.targets = np.array([_middle(item) for item in scene.items if item.category not in OPENINGS])
        self._collect_materials(pieces)
        self._collect_triangles(pieces, len(scene.shell))

    def _collect_materials(self, pieces: list[Piece]) -> None:
        materials = [piece.material for piece in pieces]
        self.textures: list[Texture] = list(dict.fromkeys(material.texture for material in materials))
        self.piece_texture = np.array([self.textures.index(material.texture) for material in materials])
        self.first = np.array([material.first for material in materials], np.float32)
        self.second = np.array([material.second for material in materials], np.float32)
        self.period = np.array([material.period for material in materials], np.float32)
        self.gloss = np.array([material.gloss for material in materials], np.float32)
        self.glow = np.array([material.glow for material in materials], np.float32)

    def _collect_triangles(self, pieces: list[Piece], shell: int) -> None:
        counts = [len(piece.corners) for piece in pieces]
        self.triangle_piece = np.repeat(np.arange(len(pieces)), counts)
        corners = np.concatenate([piece.corners for piece in pieces])
        self._normals = np.concatenate([piece.normals for piece in pieces]).astype(np.float32)
        self._coordinates = np.concatenate([piece.coordinates for piece in pieces]).astype(np.float32)
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        flat /= np.linalg.norm(flat, axis=1, keepdims=True).clip(1e-12)
        self._flat = flat.astype(np.float32)
        self._all = _embree_scene(corners)
        # The shell is convex: nothing inside the room can be in its shadow.
        opaque = np.repeat([index >= shell and piece.casts_shadow for index, piece in enumerate(pieces)], counts)
        self._opaque = _embree_scene(corners[opaque])

    def first_hit(self, origin: Array, directions: Array) -> tuple[Index, Array, Array, Array]:
        """Return the first surface along rays from one point.

        Args:
            origin: Shape [3].
            directions: Shape [N, 3], of any length.

        Returns:
            Triangle of each ray (-1 without a hit), the distance in multiples of the ray's direction, and the two
            barycentric coordinates of the hit; each of shape `[N]`.
        """
        directions = np.ascontiguousarray(directions, np.float32)
        origins = np.broadcast_to(np.asarray(origin, np.float32), directions.shape).copy()
        hit = self._all[0].run(origins, directions, output=True)
        return hit["primID"], hit["tfar"], hit["u"], hit["v"]

    def lit(self, points: Array, towards: Array) -> NDArray[np.bool_]:
        """Return whether nothing lies between `points` and `points + towards`, `[N, 3]` -> `[N]`."""
        hit = self._opaque[0].run(
            np.ascontiguousarray(points, np.float32),
            np.ascontiguousarray(towards, np.float32),
            dists=0.999,
            query="OCCLUDED",
        )
        return hit < 0

    def interpolated(self, triangle: Index, u: Array, v: Array, directions: Array) -> tuple[Array, Array]:
        """Return unit normals that face the viewer, `[N, 3]`, and surface coordinates, `[N, 2]`, at these hits."""
        weights = np.stack([1 - u - v, u, v], axis=1)
        normals = unit(np.einsum("nk,nkc->nc", weights, self._normals.take(triangle, axis=0)))
        flat = self._flat.take(triangle, axis=0)
        flat = flat * np.where(dot(flat, directions) > 0, np.float32(-1), np.float32(1))[:, None]
        normals = normals * np.where(dot(normals, flat) < 0, np.float32(-1), np.float32(1))[:, None]
        # At a silhouette the rounded normal may look away although the triangle is seen: there its own normal counts.
        away = dot(normals, directions) > -1e-3 * lengths(directions)
        normals = np.where(away[:, None], flat, normals)
        return normals, np.einsum("nk,nkc->nc", weights, self._coordinates.take(triangle, axis=0))


def _middle(item: Item) -> Array:
    corners = np.concatenate([piece.corners.reshape(-1, 3) for piece in item.pieces])
    return (corners.min(axis=0) + corners.max(axis=0)) / 2


def _embree_scene(corners: Array) -> tuple[EmbreeScene, TriangleMesh]:
    """Return a scene for Embree, and the mesh that owns the memory of the scene."""
    scene = EmbreeScene()
    vertices = np.ascontiguousarray(corners.reshape(-1, 3), np.float32)
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    return scene, TriangleMesh(scene, vertices, faces)


@dataclass(frozen=True)
class Hits:
    """The hits of the rays through the pixel centres of one scan, each of shape `[N, ...]` with N = size * size.

    Attributes:
        piece: Index of the piece.
        depth: Metres along the optical axis.
        points: Room coordinates in metres.
        normals: Unit vectors in room coordinates that face the camera.
        coordinates: Surface coordinates in metres.
        directions: Rays, of length 1 along the optical axis.
    """

    piece: Index
    depth: Array
    points: Array
    normals: Array
    coordinates: Array
    directions: Array


def cast(surfaces: Surfaces, origin: Array, directions: Array) -> Hits:
    """Return the hits of one ray per row of `directions`, `[N, 3]`, from `origin`, `[3]`."""
    triangle, depth, u, v = surfaces.first_hit(origin, directions)
    if (triangle < 0).any():
        raise RuntimeError("a ray left the room: the shell of the scene has a hole, which is an error of the generator")
    normals, coordinates = surfaces.interpolated(triangle, u, v, directions)
    points = np.asarray(origin, np.float32) + directions * depth[:, None]
    return Hits(surfaces.triangle_piece[triangle], depth, points, normals, coordinates, directions)
