"""Labels of PASCAL: names of classes, parts of people, and borders between regions."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.core.sample import DatasetError
from equipoise.data.storage.decoding import read_structure
from equipoise.metrics.thinning import pack_levels, thin

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor",
)  # fmt: skip
"""Names by class index."""

CONTEXT_CLASSES = 459
"""The number of classes of PASCAL-Context (Mottaghi et al., CVPR 2014), which count from 1."""

INDOOR_CONTEXT_CLASSES = (
    3, 4, 6, 9, 10, 11, 13, 15, 17, 18, 22, 23, 29, 30, 33, 34, 36, 37, 38, 39, 41, 43, 46, 49, 50, 51, 53, 55, 56, 59,
    61, 62, 65, 66, 68, 69, 72, 73, 78, 83, 84, 85, 87, 88, 95, 96, 101, 104, 105, 107, 111, 113, 115, 122, 124, 135,
    141, 142, 143, 146, 150, 154, 157, 158, 159, 165, 172, 174, 181, 183, 184, 191, 193, 195, 197, 199, 202, 213, 215,
    216, 219, 220, 223, 225, 228, 230, 232, 233, 238, 239, 242, 243, 246, 250, 251, 252, 255, 260, 261, 263, 269, 272,
    273, 275, 281, 283, 284, 285, 286, 287, 288, 290, 291, 292, 293, 295, 304, 307, 309, 310, 314, 315, 319, 323, 329,
    330, 331, 336, 342, 345, 349, 350, 351, 352, 355, 357, 368, 370, 371, 374, 379, 380, 383, 384, 397, 401, 403, 405,
    407, 408, 411, 412, 413, 414, 417, 419, 421, 423, 427, 429, 430, 432, 440, 441, 442, 443, 444, 446, 454, 457,
)  # fmt: skip
"""The context classes on which the distilled normals count. Their names are among the 894 of NYU Depth v2, on which the
network behind the normals was trained; `unknown` is left out, and the TV monitor, whose name differs, is added. Wall
(440), floor (158), ceiling (68), chair (72), table (397), sofa (368), person (284), car (59), cat (65), dog (113),
bottle (34) and bicycle (23) are among them; sky, grass, road, building, tree, water, cow, horse, sheep, bus and train
are not."""

PART_CLASSES = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")
"""Names by class index. Hands belong to the lower arms, feet to the lower legs, the neck to the torso."""

PERSON = 15
"""The number of the class "person" among the classes of VOC."""

_PARTS = {
    1: ("head", "hair", "lear", "rear", "lebrow", "rebrow", "leye", "reye", "nose", "mouth"),
    2: ("torso", "neck"),
    3: ("luarm", "ruarm"),
    4: ("llarm", "rlarm", "lhand", "rhand"),
    5: ("luleg", "ruleg"),
    6: ("llleg", "rlleg", "lfoot", "rfoot"),
}
_CLASS_OF = {name: index for index, names in _PARTS.items() for name in names}


def read_parts(path: Path) -> NDArray[np.uint8] | None:
    """Return the part that every pixel shows, `[H, W]`, or none if the file has no person with known parts.

    Objects and parts are painted in the order of the file, later ones over earlier ones. People without parts stay
    background. As in the public loaders, an image counts as one without people if no person in it has a mask with any
    pixel.

    Args:
        path: A `.mat` file with the structure `anno`.

    Raises:
        DatasetError: The file is missing or damaged, or names a part that people do not have.
    """
    people = [
        found for found in _entries(path, _annotation(path), "objects") if _field(path, found, "class_ind") == PERSON
    ]
    if not any(np.any(_field(path, person, "mask")) for person in people):
        return None
    painted: NDArray[np.uint8] | None = None
    for part in (part for person in people for part in _entries(path, person, "parts")):
        name, mask = str(_field(path, part, "part_name")), np.asarray(_field(path, part, "mask"))
        if name not in _CLASS_OF:
            raise DatasetError(path, f"should name parts of people; it names {name!r}")
        if painted is None:
            painted = np.zeros(mask.shape, dtype=np.uint8)
        if mask.ndim != 2 or mask.shape != painted.shape:
            raise DatasetError(path, f"should have masks of one size; it has {painted.shape} and {mask.shape}")
        painted[mask != 0] = _CLASS_OF[name]
    return painted


def _annotation(path: Path) -> dict[str, Any]:
    return read_structure(path, "anno")


def _field(path: Path, structure: Any, name: str) -> Any:
    if not isinstance(structure, dict) or name not in structure:
        raise DatasetError(path, f"should have the field `{name}` in its annotation; it does not")
    return structure[name]


def _entries(path: Path, structure: Any, name: str) -> list[Any]:
    """Return the structures of an array of structures. In MATLAB an array of one is the same as the one."""
    found = _field(path, structure, name)
    return [found] if isinstance(found, dict) else list(found)


def borders(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return which pixels have a neighbour (of four) with another label, `[H, W]`.

    Example:
        >>> borders(np.array([[4, 4, 5, 6, 6]])).astype(int)
        array([[0, 1, 1, 1, 0]])
    """
    found = np.zeros(labels.shape, dtype=bool)
    down, across = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= across
    found[:, :-1] |= across
    return found


def laplacian_borders(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return where the sum of a label's differences from its four neighbours is not zero, `[H, W]`.

    This is the rule of public loaders for PASCAL-Context. It treats labels as numbers, so differences can cancel: a
    stripe of one pixel between labels one below and one above its own is no edge. At the border of the image, the
    neighbour inside stands in for the one outside.

    Example:
        >>> laplacian_borders(np.array([[4, 4, 5, 6, 6]])).astype(int)
        array([[0, 1, 0, 1, 0]])
    """
    values = labels.astype(np.int64)
    # An axis of one pixel has no other side to mirror.
    width = [(int(length > 1),) * 2 for length in labels.shape]
    padded = np.pad(values, width, mode="reflect")
    total = np.zeros_like(values)
    for axis, (margin, _) in enumerate(width):
        inner = [slice(edge, edge + length) for (edge, _), length in zip(width, labels.shape, strict=True)]
        for shift in (-margin, margin):
            moved = list(inner)
            moved[axis] = slice(inner[axis].start + shift, inner[axis].stop + shift)
            total += padded[tuple(moved)] - values
    return total != 0


def thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask `[H, W]` thinned to lines of one pixel."""
    return thin(pack_levels(mask.astype(np.int64), maps=1))[0] > 0
