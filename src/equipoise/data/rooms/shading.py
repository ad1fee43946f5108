"""The image of a scan: textures, lamps and windows with shadows, ambient light, exposure and sensor noise."""

import numpy as np
from numpy.typing import NDArray

from equipoise.data.rooms.camera import Camera
from equipoise.data.rooms.geometry import Hits, Surfaces, dot, lengths, unit
from equipoise.data.rooms.scene import Light, Scene
from equipoise.data.rooms.textures import Array, Samples

_GOLDEN_ANGLE = 2.399963
"""An angle in radians. Points at multiples of it fill a disc evenly."""

_FAINT = 0.012
"""Light whose shadow is invisible beside the ambient light of about 0.16."""


def _neighbours(values: np.ndarray) -> list[np.ndarray]:
    """Return the 3 x 3 shifts of maps `[..., H, W]`, with borders repeated."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    height, width = values.shape[-2:]
    return [padded[..., row : row + height, column : column + width] for row in range(3) for column in range(3)]


def _colours(surfaces: Surfaces, hits: Hits, focal_length: float) -> Array:
    """Return linear-light surface colours, `[N, 3]`."""
    facing = -dot(hits.normals, hits.directions) / lengths(hits.directions)
    footprint = hits.depth / focal_length / np.sqrt(facing.clip(0.05))
    kinds = surfaces.piece_texture[hits.piece]
    colours = np.empty((len(kinds), 3), np.float32)
    for kind, texture in enumerate(surfaces.textures):
        chosen = np.flatnonzero(kinds == kind)
        if len(chosen) == 0:
            continue
        piece = hits.piece[chosen]
        u, v = hits.coordinates[chosen, 0], hits.coordinates[chosen, 1]
        first, second = surfaces.first.take(piece, axis=0), surfaces.second.take(piece, axis=0)
        colours[chosen] = texture(Samples(u, v, first, second, surfaces.period[piece], footprint[chosen]))
    return colours.clip(0.0, 1.0)


def _shadows(surfaces: Surfaces, hits: Hits, lights: list[Light], reaches: NDArray[np.bool_], size: int) -> Array:
    """Return the share of each light that reaches each pixel, `[L, N]`.

    Each pixel tests one point of the light, nine neighbours nine different points. The mean over the neighbours that
    show the same piece gives a soft shadow without grain.

    Args:
        surfaces: The scene.
        hits: What the pixels see.
        lights: The lamps and windows.
        reaches: Where a light makes a difference, bool `[L, N]`. Elsewhere its shadow is not computed.
        size: Side of the image in pixels.
    """
    rows, columns = np.divmod(np.arange(size * size), size)
    sample = (rows % 3) * 3 + columns % 3
    angle, spread = np.arange(9) * _GOLDEN_ANGLE, np.sqrt((np.arange(9) + 0.5) / 9)
    disc = np.stack([np.cos(angle) * spread, np.sin(angle) * spread, 0.6 * np.cos(2.3 * angle)], axis=1)
    origin = hits.points + np.float32(2e-3) * hits.normals
    light, pixel = np.nonzero(reaches)
    points = np.array([np.add(light.position, light.radius * disc) for light in lights], np.float32)
    targets = points.reshape(-1, 3).take(light * 9 + sample[pixel], axis=0)
    start = origin.take(pixel, axis=0)
    lit = np.ones(reaches.shape, np.float32)
    lit[light, pixel] = surfaces.lit(start, targets - start)
    lit = lit.reshape(-1, size, size)
    piece = hits.piece.reshape(size, size)
    total, count = np.zeros_like(lit), np.zeros((size, size), np.float32)
    for shifted, other in zip(_neighbours(lit), _neighbours(piece), strict=True):
        same = (other == piece).astype(np.float32)
        total += shifted * same
        count += same
    return (total / count).reshape(reaches.shape)


def _ambient(scene: Scene, hits: Hits, bounce: Array) -> Array:
    """Return the ambient light, dimmed in the corners of the room and near the floor, `[N, 3]`."""
    half = (scene.layout.width / 2, scene.layout.depth / 2)
    openness = np.ones(len(hits.points), np.float32)
    for axis in range(2):
        for side in (-1.0, 1.0):
            away = np.abs(side * half[axis] - hits.points[:, axis])
            parallel = np.abs(hits.normals[:, axis])
            openness *= 1.0 - 0.4 * (1.0 - parallel) * np.exp(-away / 0.22)
    upright = 1.0 - np.abs(hits.normals[:, 2])
    openness *= 1.0 - 0.45 * upright * np.exp(-hits.points[:, 2] / 0.15)
    openness *= 1.0 - 0.3 * upright * np.exp(-(scene.height - hits.points[:, 2]) / 0.2)
    up = 0.5 + 0.5 * hits.normals[:, 2:]
    sky = np.array([1.0, 0.98, 0.95], np.float32)
    return openness[:, None] * (up * sky + (1 - up) * bounce)


def _irradiance(lights: list[Light], hits: Hits) -> tuple[Array, Array]:
    """Return unshadowed light per unit of each lamp's colour, `[L, N]`, and unit vectors to the lamps, `[L, N, 3]`."""
    strength, directions = [], []
    for light in lights:
        towards = np.asarray(light.position, np.float32) - hits.points
        squared = dot(towards, towards)
        towards /= np.sqrt(squared)[:, None]
        # The lamp's own size keeps the light finite right beside it.
        power = dot(hits.normals, towards).clip(0.0) / (np.pi * (squared + 4 * light.radius**2))
        if light.facing is not None:
            power *= np.clip(0.1 - towards @ np.asarray(light.facing, np.float32), 0.0, 1.0)
        strength.append(power)
        directions.append(towards)
    return np.stack(strength), np.stack(directions)


def _mirrored(directions: Array, normals: Array) -> Array:
    """Return the unit vectors of these rays after reflection by a mirror, `[N, 3]`."""
    rays = unit(directions)
    return rays - 2 * dot(rays, normals)[:, None] * normals


def _radiance(scene: Scene, surfaces: Surfaces, hits: Hits, camera: Camera, size: int) -> Array:
    """Return the linear light that reaches the camera through each pixel's centre, `[N, 3]`."""
    colours = _colours(surfaces, hits, camera.focal_length(size))
    floor = colours[hits.points[:, 2] < 0.02]
    bounce = 0.35 + 0.9 * (floor.mean(axis=0) if len(floor) else np.full(3, 0.3, np.float32))
    light = 0.16 * _ambient(scene, hits, bounce)
    strength, towards = _irradiance(scene.lights, hits)
    brightness = np.array([source.colour for source in scene.lights], np.float32)
    strength *= _shadows(surfaces, hits, scene.lights, strength * brightness[:, 1:2] > _FAINT, size)
    light += strength.T @ brightness
    shine = np.zeros_like(light)
    glossy = np.flatnonzero(surfaces.gloss[hits.piece] > 0)
    gloss = surfaces.gloss[hits.piece[glossy]]
    mirrored = _mirrored(hits.directions.take(glossy, axis=0), hits.normals.take(glossy, axis=0))
    for direction, power, colour in zip(towards, strength, brightness, strict=True):
        highlight = dot(mirrored, direction.take(glossy, axis=0)).clip(0.0)
        for _ in range(4):
            highlight *= highlight
        shine[glossy] += (power[glossy] * gloss * highlight)[:, None] * colour
    glow = surfaces.glow[hits.piece][:, None]
    return colours * (light + glow * 0.55) + 0.8 * shine


def _smooth_borders(colours: Array, hits: Hits, surfaces: Surfaces, camera: Camera, size: int) -> Array:
    """Anti-alias: replace pixels at a border between pieces by the mean over four rays through the pixel.

    Each of these rays takes its colour from the nearest pixel that shows the piece it hits.
    """
    piece = hits.piece.reshape(size, size)
    border = np.zeros((size, size), bool)
    across, down = piece[:, 1:] != piece[:, :-1], piece[1:] != piece[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    rows, columns = np.nonzero(border)
    total = np.zeros((len(rows), 3), np.float32)
    image = colours.reshape(size, size, 3)
    offsets = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
    rays = [camera.directions(columns + right, rows + down, size) for down, right in offsets]
    triangles = surfaces.first_hit(camera.position, np.concatenate(rays))[0]
    several = surfaces.triangle_piece[triangles].reshape(4, -1)
    for (offset_row, offset_column), seen in zip(offsets, several, strict=True):
        step_row, step_column = (1 if offset_row > 0.5 else -1), (1 if offset_column > 0.5 else -1)
        chosen = image[rows, columns]
        found = seen == piece[rows, columns]
        for shift_row, shift_column in ((step_row, 0), (0, step_column), (step_row, step_column)):
            other_rows = np.clip(rows + shift_row, 0, size - 1)
            other_columns = np.clip(columns + shift_column, 0, size - 1)
            match = ~found & (seen == piece[other_rows, other_columns])
            chosen[match] = image[other_rows[match], other_columns[match]]
            found |= match
        total += chosen
    smooth = image.copy()
    smooth[rows, columns] = total / 4
    return smooth


def photograph(
    scene: Scene, surfaces: Surfaces, hits: Hits, camera: Camera, size: int, generator: np.random.Generator
) -> np.ndarray:
    """Return the image of a scan, uint8 `[size, size, 3]`, sRGB.

    Args:
        scene: The room.
        surfaces: The same room, prepared for ray casting.
        hits: What the pixels see.
        camera: The camera.
        size: Side of the image in pixels.
        generator: The scan's random numbers, for exposure and sensor noise.
    """
    light = _smooth_borders(_radiance(scene, surfaces, hits, camera, size), hits, surfaces, camera, size)
    grey = light.mean(axis=-1)
    # Automatic exposure: the middle tones come out alike, dark and bright rooms still differ a little.
    exposure = 0.28 / (0.5 * np.median(grey) + 0.5 * grey.clip(0, 1).mean() + 0.02) * generator.uniform(0.85, 1.2)
    tint = (1.0 + generator.normal(0.0, 0.02, 3)).astype(np.float32)
    light = light * (np.float32(exposure) * tint)
    noisy = light + generator.standard_normal(light.shape, np.float32) * np.sqrt(1e-5 + 4e-4 * light.clip(0.0, 1.0))
    # A film-like curve: straight in the dark, bending towards white.
    curved = noisy.clip(0.0) * (1 + noisy.clip(0.0) / 6.0) / (1 + noisy.clip(0.0))
    return (255 * (1.25 * curved).clip(0.0, 1.0) ** (1 / 2.2) + 0.5).astype(np.uint8)
