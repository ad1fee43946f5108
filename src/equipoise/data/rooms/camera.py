"""Pinhole cameras, and the search for good views of a room."""

from dataclasses import dataclass

import numpy as np

from equipoise.data.rooms.geometry import Surfaces
from equipoise.data.rooms.scene import Scene
from equipoise.data.rooms.textures import Array

_PREVIEW = 24
_ATTEMPTS = 60


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels and the principal point in the middle.

    Attributes:
        position: Room coordinates in metres, shape `[3]`.
        rotation: Camera to room; its columns are the camera's x (right), y (down) and z (forward), shape `[3, 3]`.
        field_of_view: Horizontal and vertical angle in degrees.
    """

    position: Array
    rotation: Array
    field_of_view: float

    def focal_length(self, size: int) -> float:
        """Return the focal length in pixels of an image with this side."""
        return size / 2 / float(np.tan(np.radians(self.field_of_view) / 2))

    def directions(self, columns: Array, rows: Array, size: int) -> Array:
        """Return rays through image positions, in room coordinates, with length 1 along the optical axis.

        Positions are in pixels of an image of side `size`. The centre of the first pixel is (0.5, 0.5).
        """
        focal = self.focal_length(size)
        rays = np.stack([(columns - size / 2) / focal, (rows - size / 2) / focal, np.ones_like(columns)], axis=-1)
        return (rays @ self.rotation.T).astype(np.float32)

    def pixel_directions(self, size: int) -> Array:
        """Return rays through all pixel centres, row by row, `[size * size, 3]`."""
        centres = np.arange(size) + 0.5
        rows, columns = np.meshgrid(centres, centres, indexing="ij")
        return self.directions(columns.ravel(), rows.ravel(), size)


def look_at(position: Array, target: Array, roll: float, field_of_view: float) -> Camera:
    """Return a camera at `position` that looks at `target`, turned by `roll` radians about its axis."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    rolled = float(np.cos(roll)) * right + float(np.sin(roll)) * down
    return Camera(position, np.stack([rolled, np.cross(forward, rolled), forward], axis=1), field_of_view)


def _free_position(scene: Scene, generator: np.random.Generator) -> Array:
    """Return a place at 0.9 to 1.8 m that is not in furniture, nor close above or beside it."""
    layout = scene.layout
    position = np.zeros(3)
    for _ in range(50):
        x, y = generator.uniform(-0.5, 0.5, 2) * (layout.width - 0.8, layout.depth - 0.8)
        position = np.array([x, y, generator.uniform(0.9, 1.8)])
        if layout.height_near(x, y, 0.3) < position[2] - 0.45:
            break
    return position


def _quality(scene_surfaces: Surfaces, camera: Camera) -> float:
    """Return the quality of a view; 1 or more is good enough."""
    triangle, depth, _, _ = scene_surfaces.first_hit(camera.position, camera.pixel_directions(_PREVIEW))
    piece = scene_surfaces.triangle_piece[triangle]
    if np.quantile(depth, 0.02) < 0.5 or np.median(depth) < 1.2:
        return 0.0
    classes = np.bincount(scene_surfaces.piece_class[piece], minlength=1) / len(piece)
    instances = np.bincount(scene_surfaces.piece_instance[piece], minlength=1) / len(piece)
    objects = 1.0 - instances[0]
    seen = float((classes >= 0.004).sum())
    if len(instances) > 1 and instances[1:].max() > 0.4:
        return 0.0
    return min(seen / 7.0, objects / 0.22)


def choose_camera(scene: Scene, surfaces: Surfaces, generator: np.random.Generator) -> Camera:
    """Return a camera with a varied view: at least seven classes and many objects, if the room allows it.

    Args:
        scene: The room.
        surfaces: The same room, prepared for ray casting.
        generator: The scan's random numbers.
    """
    best: tuple[float, Camera] | None = None
    for _ in range(_ATTEMPTS):
        position = _free_position(scene, generator)
        target = surfaces.targets[int(generator.integers(len(surfaces.targets)))] + generator.normal(0.0, 0.25, 3)
        target[2] = np.clip(target[2], 0.2, 1.6)
        roll, field_of_view = generator.normal(0.0, 0.025), float(generator.uniform(60.0, 75.0))
        if np.hypot(*(target - position)[:2]) < 1.0:
            continue
        camera = look_at(position, target, roll, field_of_view)
        quality = _quality(surfaces, camera)
        if best is None or quality > best[0]:
            best = (quality, camera)
        if quality >= 1.0:
            break
    if best is None:
        raise RuntimeError("no camera position found in a scene, which is an error of the generator")
    return best[1]
