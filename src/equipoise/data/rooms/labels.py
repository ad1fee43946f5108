"""Exact label maps of a scan, computed from the hits of its pixels."""

import numpy as np

from equipoise.data.rooms.camera import Camera
from equipoise.data.rooms.classes import OPENINGS, SEMANTIC_CLASSES, STRUCTURE
from equipoise.data.rooms.geometry import Hits, Surfaces

_NEVER_SALIENT = np.array([name in STRUCTURE + OPENINGS for name in SEMANTIC_CLASSES])


def object_edges(instance: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return object boundaries, one pixel wide on the object's side.

    Wherever two pixels side by side or one above the other show different instances, one of the two is marked: the
    object rather than the room's structure, and the nearer of two objects.

    Args:
        instance: Instance numbers, 0 for structure, shape `[H, W]`.
        depth: Metres, shape `[H, W]`.

    Returns:
        bool [H, W].
    """
    edges = np.zeros(instance.shape, bool)
    for axis in (0, 1):
        first_of = tuple(slice(None, -1) if a == axis else slice(None) for a in (0, 1))
        second_of = tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))
        first, second = instance[first_of], instance[second_of]
        differ = first != second
        mark_first = (second == 0) | ((first != 0) & (depth[first_of] <= depth[second_of]))
        edges[first_of] |= differ & mark_first
        edges[second_of] |= differ & ~mark_first
    return edges


def objects_in_focus(instance: np.ndarray, depth: np.ndarray, surfaces: Surfaces) -> np.ndarray:
    """Return the saliency: the one to three objects that the camera is aimed at.

    Each object scores the sum over its pixels of exp(-r^2 / (2 * 0.35^2)), divided by its mean depth, where r is the
    distance from the image's centre in half image sides. So large, central, near objects win. The best one and at most
    two more that reach half its score are salient, with whatever stands on them. Structure, doors, windows, curtains
    and rugs never are.

    Args:
        instance: Instance numbers, 0 for structure, shape `[H, W]`.
        depth: Metres, shape `[H, W]`.
        surfaces: The scene.

    Returns:
        bool [H, W].
    """
    height, width = instance.shape
    rows = (np.arange(height) + 0.5) / height * 2 - 1
    columns = (np.arange(width) + 0.5) / width * 2 - 1
    weight = np.exp(-(rows[:, None] ** 2 + columns[None, :] ** 2) / (2 * 0.35**2))
    count = len(surfaces.carrier)
    pixels = np.bincount(instance.ravel(), minlength=count)
    weights = np.bincount(instance.ravel(), weights=weight.ravel(), minlength=count)
    depths = np.bincount(instance.ravel(), weights=depth.ravel(), minlength=count)
    score = weights * pixels / depths.clip(1e-6)
    score[_NEVER_SALIENT[surfaces.instance_class]] = 0.0
    score[0] = 0.0
    best = np.argsort(-score, kind="stable")[:3]
    chosen = np.zeros(count, bool)
    chosen[best] = (score[best] > 0) & (score[best] >= 0.5 * score[best[0]])
    carried = chosen | chosen[surfaces.carrier]
    return carried[instance]


def label_maps(hits: Hits, surfaces: Surfaces, camera: Camera, size: int) -> dict[str, np.ndarray]:
    """Return all label maps of a scan by modality, each `[size, size]` or `[size, size, 3]`.

    `segmentation` uint8, `instance` uint16, `depth` float32 metres, `normals` float16 unit vectors in the camera frame,
    `edge` and `saliency` uint8 0 or 255, `parts` uint8.
    """
    shape = (size, size)
    depth = hits.depth.reshape(shape).astype(np.float32)
    instance = surfaces.piece_instance[hits.piece].reshape(shape)
    return {
        "segmentation": surfaces.piece_class[hits.piece].reshape(shape),
        "instance": instance,
        "depth": depth,
        "normals": (hits.normals @ camera.rotation).astype(np.float16).reshape(size, size, 3),
        "edge": object_edges(instance, depth).astype(np.uint8) * 255,
        "saliency": objects_in_focus(instance, depth, surfaces).astype(np.uint8) * 255,
        "parts": surfaces.piece_part[hits.piece].reshape(shape),
    }
